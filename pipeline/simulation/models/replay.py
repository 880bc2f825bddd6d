"""What the replay of a history in blocks looks up: what positions were worth, when a path stops, where blocks begin."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numba.extending import register_jitable

from pipeline.base.types import FloatArray, IntArray
from pipeline.simulation.models.plan import Plan
from pipeline.simulation.models.stretches import WIDTH, figures_of_stretches

STREAM = np.uint64(1)
_HALF_WORD = np.uint64(32)
_LOW_HALF = np.uint64(0xFFFFFFFF)


class Tables(NamedTuple):
    """What paths look up; a named tuple, because compiled kernels take one.

    Parameters
    ----------
    growth
        (n, t + 1 + `WIDTH`) of `growth_index`.
    closes
        (t + 1, m) the same by session; m is n, rounded up to whole vectors, and what is more is 0.
    bought
        (t + 1, m) units of each position for 1.
    figures
        (t, longest + 1, 4) of `figures_of_stretches`; of length 1 without.
    """

    growth: FloatArray
    closes: FloatArray
    bought: FloatArray
    figures: FloatArray


def growth_index(history: FloatArray) -> FloatArray:
    """(n, t + 1 + `WIDTH`) value of each position from 1 on, and zeros that may be read with what comes before."""
    sessions, positions = history.shape
    index = np.zeros((positions, sessions + 1 + WIDTH))
    index[:, 0] = 1.0
    np.cumprod(1.0 + history.T, axis=1, out=index[:, 1 : sessions + 1])
    return index


def tables_of(index: FloatArray, targets: FloatArray, longest: int) -> Tables:
    """The tables of a growth index.

    Parameters
    ----------
    longest
        Of the stretches to tabulate, in sessions; 0 for none.
    """
    padded = ((0, 0), (0, -len(index) % WIDTH))
    closes = np.ascontiguousarray(index.T[:-WIDTH])
    with np.errstate(divide="ignore"):  # of a position that is worth nothing none can be bought
        bought = 1.0 / closes
    figures = figures_of_stretches(index, targets, longest) if longest > 0 else np.ones((1, 1, 4))
    return Tables(index, np.pad(closes, padded), np.pad(bought, padded), figures)


@register_jitable
def block_of(word: np.uint64, sessions: int, log_stay: float) -> tuple[np.int64, int]:
    """Where a block begins, by the upper half of a word, and its length, by inversion of the lower.

    ``(half · t) >> 32`` favours no start by more than t / 2³².
    """
    start = np.int64(((word >> _HALF_WORD) * np.uint64(sessions)) >> _HALF_WORD)
    log_uniform = np.log((np.float64(word & _LOW_HALF) + 0.5) / 4294967296.0)
    return start, 1 + int(log_uniform / log_stay)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def stops_of(plan: Plan, fan_steps: IntArray) -> IntArray:
    """(horizon,) steps that are done when next something is traded or kept, by those done before."""
    horizon = len(plan.flows)
    is_stop = plan.rebalances | (plan.flows != 0.0) | (plan.band < np.inf)
    for step in fan_steps:
        is_stop[step - 1] = True
    stops, stop = np.empty(horizon, np.int64), horizon
    for step in range(horizon - 1, -1, -1):
        stop = step + 1 if is_stop[step] else stop
        stops[step] = stop
    return stops
