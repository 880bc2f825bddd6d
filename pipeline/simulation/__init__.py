"""Simulated futures of portfolios: models, the run that turns paths into a distribution, and their assets."""
