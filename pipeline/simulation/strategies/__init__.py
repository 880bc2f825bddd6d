"""Strategies: rules that weigh stocks anew at each month's end, and the walk that follows them through time."""
