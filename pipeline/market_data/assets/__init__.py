"""Assets of the market_data code location: read, call, write."""
