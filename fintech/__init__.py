"""The command line: runs the whole platform on one machine."""
