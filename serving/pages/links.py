"""Addresses of the pages that explain numbers."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, urlencode

Explained = Callable[[str], str]
"""Session → address that explains the number on it."""


def why(address: str, **query: object) -> str:
    """The page that explains a number.

    Parameters
    ----------
    address
        Of the kind of numbers, such as ``/portfolios/core/tail``.
    """
    return f"{address}/explain?{urlencode(query)}"


def portfolio_at(reference: str) -> str:
    """The page of a portfolio."""
    return f"/portfolios/{quote(reference)}"


def instrument_at(reference: str) -> str:
    """The page of an instrument."""
    return f"/instruments/{quote(reference)}"
