"""Forecast slice: what volatility and return distribution to expect, and how past forecasts did."""
