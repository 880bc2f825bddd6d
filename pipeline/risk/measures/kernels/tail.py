"""Rolling value at risk and expected shortfall, from the sorted lowest returns of each window.

Order statistics do not depend on how they were found, and shortfalls sum them in one fixed order, worst first.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit
from numba.extending import register_jitable

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.tail import quantile_rank

TAIL_MEASURES = ("var_95_1d", "var_99_1d", "es_975_1d", "es_99_1d")
_CONFIDENCES = (0.95, 0.99, 0.975, 0.99)

_KEPT, _ROOM = 2, 3
"""Lowest returns that are kept after a search, and at most, as multiples of those in the tail."""


@cache
def tail_law(sessions: int) -> tuple[IntArray, FloatArray]:
    """How the `TAIL_MEASURES` read the ascending returns of a window.

    Returns
    -------
    tuple
        (4,) position of the value at risk, and (4, 2) weights that make the shortfall: of the return there, and
        of the sum of those below it.
    """
    return law_of(sessions, _CONFIDENCES)


def law_of(sessions: int, confidences: tuple[float, ...]) -> tuple[IntArray, FloatArray]:
    """The same for other confidences (k,): positions (k,) and weights (k, 2)."""
    ranks = np.array([quantile_rank(sessions, confidence) for confidence in confidences])
    rest = 1.0 - np.array(confidences)
    atoms = (ranks / sessions - np.array(confidences)) / rest
    return sessions - ranks, np.column_stack([atoms, 1.0 / (sessions * rest)])


def room_of(positions: IntArray, sessions: int) -> int:
    """How many lowest returns `rolling_tail` keeps at most."""
    return min(_ROOM * (int(positions[0]) + 1), sessions)


@register_jitable
def _insert(lowest: FloatArray, size: int, x: float) -> None:
    """Put a number into the sorted ``lowest[:size]``, which grows by one."""
    place = size
    while place > 0 and lowest[place - 1] > x:
        lowest[place] = lowest[place - 1]
        place -= 1
    lowest[place] = x


@register_jitable
def _remove(lowest: FloatArray, size: int, x: float) -> None:
    """Take a number out of the sorted ``lowest[:size]``, which holds it."""
    place = size - 1
    moved = lowest[place]
    while moved != x:
        place -= 1
        moved, lowest[place] = lowest[place], moved


@register_jitable
def select(values: FloatArray, kept: int, lowest: FloatArray) -> None:
    """Fill ``lowest[:kept]`` with the lowest of the values, ascending."""
    for i in range(kept):
        _insert(lowest, i, values[i])
    for i in range(kept, len(values)):
        if values[i] < lowest[kept - 1]:
            _insert(lowest, kept - 1, values[i])


@register_jitable
def shortfall(quantile: float, below: float, weights: FloatArray) -> float:
    """Expected shortfall from the return at the value at risk and the sum of the returns below it."""
    var = 0.0 - quantile
    total: float = var * weights[0] - below * weights[1]
    # With a flat tail the weighted mean can round to an ulp below the value at risk.
    return max(total, var)


@register_jitable
def _figures(lowest: FloatArray, positions: IntArray, weights: FloatArray) -> tuple[float, float, float, float]:
    """The `TAIL_MEASURES` of a window whose lowest returns are given; 0.0 - x turns no 0 into -0."""
    wide, narrow = positions[2], positions[3]
    below = 0.0
    for i in range(narrow):
        below += lowest[i]
    es_99 = shortfall(lowest[narrow], below, weights[3])
    for i in range(narrow, wide):
        below += lowest[i]
    es_975 = shortfall(lowest[wide], below, weights[2])
    return 0.0 - lowest[positions[0]], 0.0 - lowest[positions[1]], es_975, es_99


def rolling_tail_python(
    returns: FloatArray, window: int, positions: IntArray, weights: FloatArray, lowest: FloatArray, out: FloatArray
) -> None:
    """Fill `out` with the `TAIL_MEASURES` of every window.

    The lowest returns are kept in order, several times as many as the tail needs; they are searched for again when
    too few of them are left in the window. What is not among them is no lower than any of them.

    Parameters
    ----------
    returns
        (t,) simple returns, finite.
    positions, weights
        `tail_law` of the window.
    lowest
        (`room_of` the window + 1,) to work in.
    out
        (4, t - window + 1).
    """
    var_95, var_99, es_975, es_99 = out[0], out[1], out[2], out[3]
    tail, room = positions[0] + 1, len(lowest) - 1
    kept = size = min(_KEPT * tail, window)
    select(returns[:window], kept, lowest)
    figures = _figures(lowest, positions, weights)
    highest, limit = lowest[size - 1], lowest[tail - 1]
    for row in range(len(returns) - window + 1):
        gone, come = returns[max(row - 1, 0)], returns[row + window - 1]
        if row > 0 and (gone <= highest or come < highest):
            changed = gone <= limit or come < limit
            if gone <= highest:
                _remove(lowest, size, gone)
                size -= 1
            if come < highest:
                _insert(lowest, size, come)
                size = min(size + 1, room)
            if size < tail:
                size, changed = kept, True
                select(returns[row : row + window], kept, lowest)
            if changed:
                figures = _figures(lowest, positions, weights)
            highest, limit = lowest[size - 1], lowest[tail - 1]
        var_95[row], var_99[row], es_975[row], es_99[row] = figures


rolling_tail = njit(cache=True, nogil=True, error_model="numpy")(rolling_tail_python)


def held_tail_python(
    weights_held: FloatArray,
    asset_returns: FloatArray,
    window: int,
    positions: IntArray,
    weights: FloatArray,
    out: FloatArray,
) -> None:
    """Fill `out` with the `TAIL_MEASURES` of a portfolio: each row's weights times the returns of its window.

    Parameters
    ----------
    weights_held
        (t, n) weights at the close of each session.
    asset_returns
        (n, t) simple returns of what is held, contiguous.
    positions, weights
        `tail_law` of the window.
    out
        (4, t - window + 1).
    """
    scenarios = np.empty(window)
    tail = positions[0] + 1
    lowest = np.empty(tail + 1)
    for row in range(out.shape[1]):
        scenarios[:] = 0.0
        for instrument in range(len(asset_returns)):
            weight = weights_held[row + window - 1, instrument]
            for i in range(window):
                scenarios[i] += weight * asset_returns[instrument, row + i]
        select(scenarios, tail, lowest)
        out[0, row], out[1, row], out[2, row], out[3, row] = _figures(lowest, positions, weights)


held_tail = njit(cache=True, nogil=True, error_model="numpy")(held_tail_python)
