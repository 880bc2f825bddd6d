"""Render as a target of rollouts: its API, its deploy hooks."""
