"""Assets of the risk code location: read, call, write."""
