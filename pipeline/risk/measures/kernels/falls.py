"""Rolling measures of every session's drawdown: its mean, its root mean square and its worst twentieth.

Wealth as a fraction of its peak so far is f ← min(f (1 + r), 1), from 1 on. The next window has one session less to
fall from; its fractions differ from this one's up to the session where the two are first equal, and from there on
they are the same to the last bit. So a window walks no further than that.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numba.extending import register_jitable

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.kernels.tail import select, shortfall

FALL_MEASURES = ("average_drawdown", "ulcer_index", "cdar_95")

_NEARLY = 0.9
"""The next window's tail is looked for among falls of at least this fraction of this one's least."""


@register_jitable
def _walk(returns: FloatArray, first: int, known: int, fractions: FloatArray) -> None:
    """Fractions of the peak since a session, given those since the session before up to `known`."""
    fraction = 1.0
    for i in range(first, known):
        fraction = min(fraction * (1.0 + returns[i]), 1.0)
        if fraction == fractions[i]:
            fraction = fractions[known - 1]
            break
        fractions[i] = fraction
    for i in range(known, len(fractions)):
        fraction = min(fraction * (1.0 + returns[i]), 1.0)
        fractions[i] = fraction


@register_jitable
def _sums(fractions: FloatArray, limit: float, found: FloatArray) -> tuple[float, float, int]:
    """Sum of the falls and of their squares, oldest first, and how many are `found` no higher than a limit."""
    total = squares = 0.0
    size = 0
    for i in range(len(fractions)):
        fall = fractions[i] - 1.0
        total += fall
        squares += fall * fall
        found[size] = fall  # without a branch, which would be mispredicted
        size += 1 if fall <= limit else 0
    return total, squares, size


def rolling_falls_python(
    returns: FloatArray, window: int, positions: IntArray, weights: FloatArray, fractions: FloatArray, out: FloatArray
) -> None:
    """Fill `out` with the `FALL_MEASURES` of every window.

    Parameters
    ----------
    returns
        (t,) simple returns, finite, -1 or more.
    positions, weights
        `law_of` the window at the confidence of the worst.
    fractions
        (t,) room to work in.
    out
        (3, t - window + 1).
    """
    average, ulcer, at_risk = out[0], out[1], out[2]
    position = positions[0]
    found, lowest = np.empty(window + 1), np.empty(position + 2)
    limit = 0.0
    for row in range(len(returns) - window + 1):
        known = row + window - 1 if row > 0 else 0
        _walk(returns, row, max(known, row), fractions[: row + window])
        total, squares, size = _sums(fractions[row : row + window], limit, found)
        if size <= position:
            total, squares, size = _sums(fractions[row : row + window], 0.0, found)
        select(found[:size], position + 1, lowest)
        below = 0.0
        for i in range(position):
            below += lowest[i]
        average[row], ulcer[row] = total / window, math.sqrt(squares / window)
        at_risk[row] = shortfall(lowest[position], below, weights[0])
        limit = _NEARLY * lowest[position]


rolling_falls = njit(cache=True, nogil=True, error_model="numpy")(rolling_falls_python)
