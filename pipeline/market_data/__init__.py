"""Market data slice: from a provider's payload to prices that the other slices may trust."""
