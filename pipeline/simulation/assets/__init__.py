"""Assets of the simulation code location: read, call, write."""
