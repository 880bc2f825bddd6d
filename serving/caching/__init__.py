"""What the response cache stands on: keys, kept answers, the version of the data, a cache that services share."""
