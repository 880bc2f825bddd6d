"""How properties are tried."""

from hypothesis import settings

PROPERTY = settings(max_examples=100, deadline=None, database=None, derandomize=True)
"""The same examples on every run: a red test can be repeated, and a busy machine fails none."""
