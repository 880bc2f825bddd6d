"""Rolls images out in the services' order, gates each, and restores all of them if one fails."""
