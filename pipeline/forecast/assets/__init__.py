"""Assets of the forecast code location: read, call, write."""
