"""Rolling capture of a benchmark's gains and losses, from logarithms of growth in fixed point."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numba import njit
from numba.extending import register_jitable

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.kernels.exponentials import LARGEST_RETURN, growth_of, log_growth
from pipeline.risk.measures.kernels.sums import mark_windows, rolling_sums

CAPTURE_MEASURES = ("up_capture", "down_capture")

_LARGEST = 1.0
"""A larger logarithm does not fit: its windows are compounded one by one."""
_RESOLUTION = 2.0**40
"""Fixed-point steps in the benchmark's mean logarithm that make those of the terms too small to be felt."""

Logs: TypeAlias = tuple[IntArray, IntArray, IntArray]
"""Of the returns, of the benchmark's, and 1 for a session that counts."""


@register_jitable
def _logarithm(x: float) -> float:
    if abs(x) <= LARGEST_RETURN:
        return log_growth(x)
    return math.log(1.0 + x) if x > -1.0 else -math.inf


@register_jitable
def _counted(
    returns: FloatArray, benchmark: FloatArray, side: float, window: int, unit: float, logs: Logs, direct: IntArray
) -> None:
    """Logarithms of the sessions on which the benchmark moved to one side, 0 on the others."""
    own, other, counted = logs
    for i in range(len(returns)):
        own[i] = other[i] = counted[i] = 0
        if not math.isfinite(returns[i] + benchmark[i]):
            mark_windows(i, window, direct)
        elif side * benchmark[i] > 0.0:
            growth, growth_of_other = _logarithm(returns[i]), _logarithm(benchmark[i])
            if abs(growth) <= _LARGEST and abs(growth_of_other) <= _LARGEST:
                own[i], other[i] = np.int64(np.rint(growth * unit)), np.int64(np.rint(growth_of_other * unit))
                counted[i] = 1
            else:
                mark_windows(i, window, direct)


@register_jitable
def _ratios(sums: Logs, unit: float, ratios: FloatArray, direct: IntArray) -> None:
    """Mean growth by the benchmark's; NaN where no session counts."""
    own, other, sessions = sums
    step = 1.0 / unit
    for row in range(len(ratios)):
        count = np.float64(sessions[row])
        if sessions[row] == 0:
            ratios[row] = math.nan
        elif np.float64(abs(other[row])) >= _RESOLUTION * count:
            growth = growth_of(np.float64(own[row]) / count * step)
            ratios[row] = growth / growth_of(np.float64(other[row]) / count * step)
        else:
            direct[row] = 1


@register_jitable
def _directly(returns: FloatArray, benchmark: FloatArray, side: float) -> float:
    """One window by compounding, as the definition says."""
    own = other = 1.0
    sessions = 0
    for i in range(len(returns)):
        if not math.isfinite(returns[i] + benchmark[i]):
            return math.nan
        if side * benchmark[i] > 0.0:
            own *= 1.0 + returns[i]
            other *= 1.0 + benchmark[i]
            sessions += 1
    if sessions == 0:
        return math.nan
    growth, growth_of_other = math.pow(own, 1.0 / sessions) - 1.0, math.pow(other, 1.0 / sessions) - 1.0
    if growth_of_other == 0.0:
        return math.nan if growth == 0.0 else math.copysign(math.inf, growth)
    return growth / growth_of_other


def rolling_capture_python(
    returns: FloatArray, benchmark: FloatArray, window: int, unit: float, integers: IntArray, out: FloatArray
) -> None:
    """Fill `out` with the `CAPTURE_MEASURES` of every window.

    Parameters
    ----------
    returns, benchmark
        (t,) simple returns, -1 or more.
    unit
        `unit_of` the window.
    integers
        (7, t) room to work in, or more.
    out
        (2, t - window + 1); NaN where the benchmark never moved to that side.
    """
    sessions, rows = len(returns), len(returns) - window + 1
    logs = (integers[0][:sessions], integers[1][:sessions], integers[2][:sessions])
    sums, direct = (integers[3][:rows], integers[4][:rows], integers[5][:rows]), integers[6][:rows]
    for number in range(2):
        side = 1.0 - 2.0 * number
        direct[:] = 0
        _counted(returns, benchmark, side, window, unit, logs, direct)
        for term in range(3):
            rolling_sums(logs[term], window, sums[term])
        _ratios(sums, unit, out[number], direct)
        for row in range(rows):
            if direct[row]:
                span = slice(row, row + window)
                out[number, row] = _directly(returns[span], benchmark[span], side)


rolling_capture = njit(cache=True, nogil=True, error_model="numpy")(rolling_capture_python)
