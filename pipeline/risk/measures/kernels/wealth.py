"""Rolling growth and drawdown, from logarithms of growth in fixed point.

Logarithms turn the compounding of a window into a sum of integers, and its deepest fall into the least difference
of two partial sums in order of time. The latter has no inverse that would take the oldest session away, but it is
associative, so windows are cut at block boundaries and put together from a part before and a part after (van Herk
1992, "A fast algorithm for local minimum and maximum filters", Pattern Recognition Letters 13). On integers every
cut gives the same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numba.extending import register_jitable

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.kernels.exponentials import (
    LARGEST_EXPONENT,
    LARGEST_RETURN,
    growth_of,
    log_growth,
)
from pipeline.risk.measures.kernels.sums import mark_windows, rolling_sums

WEALTH_MEASURES = ("cagr", "max_drawdown", "calmar_ratio")

_STEPS = 2.0**50
"""Fixed-point steps in a logarithm of 1: a step is four times the rounding of a growth factor."""
_LARGEST = 8.0
_RANGE = 4096.0
"""Bounds of one logarithm, and of a window's sum of them, so that integers hold every partial sum."""


@register_jitable
def _logs_of(returns: FloatArray, window: int, logs: IntArray, direct: IntArray) -> None:
    """Logarithms of growth; `direct` marks windows with a total loss or what does not fit."""
    for i in range(len(returns)):
        x = returns[i] if abs(returns[i]) <= LARGEST_RETURN else 0.0
        logs[i] = np.int64(np.rint(log_growth(x) * _STEPS))
    bound = min(_LARGEST, _RANGE / window)
    for i in range(len(returns)):
        if abs(returns[i]) > LARGEST_RETURN:
            logarithm = math.log(1.0 + returns[i]) if returns[i] > -1.0 else -math.inf
            if abs(logarithm) <= bound:
                logs[i] = np.int64(np.rint(logarithm * _STEPS))
            else:
                mark_windows(i, window, direct)


@register_jitable
def _falls_before(logs: IntArray, boundary: int, window: int, peaks: IntArray, falls: IntArray) -> None:
    """Highest level and deepest fall from each of the sessions before a boundary up to it.

    Levels are relative to that of the boundary; index 0 is the boundary itself.
    """
    level = peak = fall = logs[0] - logs[0]
    peaks[0], falls[0] = peak, fall
    lowest = level
    for back in range(1, window + 1):
        level -= logs[boundary - back]
        fall = min(fall, lowest - level)
        lowest = min(lowest, level)
        peak = max(peak, level)
        peaks[back], falls[back] = peak, fall


@register_jitable
def _rolling_falls(logs: IntArray, window: int, peaks: IntArray, falls: IntArray, deepest: IntArray) -> None:
    """Fill ``deepest[i]`` with the least difference of levels over ``logs[i : i + window]``."""
    rows = len(logs) - window + 1
    for first in range(0, rows, window):
        boundary = first + window
        _falls_before(logs, boundary, window, peaks, falls)
        deepest[first] = falls[window]
        level = peak = lowest = fall = logs[0] - logs[0]
        for after in range(1, min(window, rows - first)):
            level += logs[boundary + after - 1]
            fall = min(fall, level - peak)
            peak = max(peak, level)
            lowest = min(lowest, level)
            before = window - after
            deepest[first + after] = min(fall, falls[before], lowest - peaks[before])


@register_jitable
def _growths(logs: IntArray, scale: float, growths: FloatArray) -> None:
    """Growth of sums of logarithms."""
    for row in range(len(logs)):
        y = np.float64(logs[row]) * scale
        growths[row] = growth_of(min(max(y, -LARGEST_EXPONENT), LARGEST_EXPONENT))
    for row in range(len(logs)):
        y = np.float64(logs[row]) * scale
        if abs(y) > LARGEST_EXPONENT:
            growths[row] = math.expm1(y)


@register_jitable
def _calmar(growths: FloatArray, drawdowns: FloatArray, ratios: FloatArray) -> None:
    for row in range(len(ratios)):
        fell = drawdowns[row] < 0.0
        ratios[row] = growths[row] / (-drawdowns[row] if fell else 1.0) if fell else math.nan


@register_jitable
def _directly(returns: FloatArray, years: float, out: FloatArray, row: int) -> None:
    """One window by compounding, as the definitions say."""
    wealth = peak = 1.0
    drawdown = 0.0
    for x in returns:
        wealth *= 1.0 + x
        peak = max(peak, wealth)
        drawdown = min(drawdown, wealth / peak - 1.0)
    growth = math.pow(wealth, 1.0 / years) - 1.0
    out[0, row] = growth
    out[1, row] = drawdown
    out[2, row] = growth / -drawdown if drawdown < 0.0 else math.nan


def rolling_wealth_python(
    returns: FloatArray, window: int, periods_per_year: float, integers: IntArray, out: FloatArray
) -> None:
    """Fill `out` with the `WEALTH_MEASURES` of every window.

    Parameters
    ----------
    returns
        (t,) simple returns, finite, -1 or more.
    integers
        (6, t + 1) room to work in, or more.
    out
        (3, t - window + 1).
    """
    sessions = len(returns)
    rows = sessions - window + 1
    logs, totals, deepest, direct = integers[0][:sessions], integers[1][:rows], integers[2][:rows], integers[3][:rows]
    years = window / periods_per_year
    direct[:] = 0
    _logs_of(returns, window, logs, direct)
    rolling_sums(logs, window, totals)
    _rolling_falls(logs, window, integers[4], integers[5], deepest)
    _growths(totals, 1.0 / (_STEPS * years), out[0])
    _growths(deepest, 1.0 / _STEPS, out[1])
    _calmar(out[0], out[1], out[2])
    for row in range(rows):
        if direct[row]:
            _directly(returns[row : row + window], years, out, row)


rolling_wealth = njit(cache=True, nogil=True, error_model="numpy")(rolling_wealth_python)
