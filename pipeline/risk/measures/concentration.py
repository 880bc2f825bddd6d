"""Concentration: how much of a portfolio lies in few positions."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.windows import quotient


def largest_weight(weights: FloatArray) -> FloatArray:
    """The largest position, long or short, as a fraction of the portfolio's value (Hall & Tideman 1967).

    Parameters
    ----------
    weights
        (..., n) fractions of the portfolio's value, negative if short.

    Returns
    -------
    FloatArray
        (...).
    """
    return top_weight(weights, 1)


def top_weight(weights: FloatArray, positions: int) -> FloatArray:
    """What the largest positions, long or short, sum to, as a fraction of the portfolio's value.

    The concentration ratio of Hall & Tideman (1967).

    Parameters
    ----------
    weights
        (..., n).
    positions
        How many; all if there are fewer.

    Returns
    -------
    FloatArray
        (...); above 1 where a portfolio is levered.
    """
    if positions < 1:
        raise MeasureInputError(f"positions={positions}: give at least 1")
    ascending = np.sort(np.abs(_require_weights(weights)), axis=-1)
    total: FloatArray = np.sum(ascending[..., ::-1][..., :positions], axis=-1)
    return total


def herfindahl_index(weights: FloatArray) -> FloatArray:
    """Sum of squared shares of the gross exposure (Hirschman 1964), from 1/n to 1.

    A share is |w| / Σ|w|, so shorts count, and neither leverage nor cash does.

    Parameters
    ----------
    weights
        (..., n).

    Returns
    -------
    FloatArray
        (...); NaN where nothing is held.
    """
    gross = np.abs(_require_weights(weights))
    total = np.sum(gross, axis=-1)
    shares = quotient(gross, total[..., None], np.broadcast_to(total[..., None] > 0.0, gross.shape))
    index: FloatArray = np.sum(shares * shares, axis=-1)
    return index


def effective_positions(weights: FloatArray) -> FloatArray:
    """How many equal positions would be as concentrated: 1 / Herfindahl (Laakso & Taagepera 1979).

    Parameters
    ----------
    weights
        (..., n).

    Returns
    -------
    FloatArray
        (...) from 1 to n; NaN where nothing is held.
    """
    number: FloatArray = 1.0 / herfindahl_index(weights)
    return number


def concentration(weights: FloatArray) -> dict[str, FloatArray]:
    """Every measure of this file by its name, as limits ask for them."""
    return {
        "largest_weight": largest_weight(weights),
        "top_5_weight": top_weight(weights, 5),
        "herfindahl_index": herfindahl_index(weights),
        "effective_positions": effective_positions(weights),
    }


def _require_weights(weights: FloatArray) -> FloatArray:
    if weights.ndim == 0 or weights.shape[-1] == 0:
        raise MeasureInputError("weights: none given; a portfolio needs at least one position")
    if not np.isfinite(weights).all():
        raise MeasureInputError("weights: NaN or infinite; give the fraction of the portfolio in each position")
    return weights
