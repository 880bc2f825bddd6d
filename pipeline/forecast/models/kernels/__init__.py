"""Compiled recursions, each beside the plain Python it is tested against."""
