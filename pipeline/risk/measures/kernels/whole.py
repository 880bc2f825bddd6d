"""Twelve measures of whole series, in one reading of each: for reports on many series at once.

A series is read once for its moments, which also tell where its tail begins, and once for its drawdown and tail while
it is still in the processor's cache. Sums run in lanes, so that they compile to vector instructions although their
order is fixed.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numba import njit
from numba.extending import register_jitable

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.kernels.moments import MOMENT_MEASURES, moments_directly
from pipeline.risk.measures.kernels.tail import TAIL_MEASURES, shortfall, tail_law
from pipeline.risk.measures.kernels.wealth import WEALTH_MEASURES
from pipeline.risk.measures.windows import RiskSpec, require_returns

WHOLE_MEASURES = (*WEALTH_MEASURES, *MOMENT_MEASURES, *TAIL_MEASURES)

LANES = 192
"""Measured; rows of a power of two would evict each other from the cache, and odd ones leave a rest."""
STRIP = 64
"""Sessions whose extremes tell whether a drawdown can lie in them."""
_TAIL_BEGINS = 1.3
"""Standard deviations below the mean: where to look for the lowest twentieth first."""

Strips: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]
"""Lowest, highest and last wealth of each."""


def whole_measures(returns: FloatArray, spec: RiskSpec) -> dict[str, FloatArray]:
    """Twelve measures of each series, over all its sessions.

    Parameters
    ----------
    returns
        (series, t) simple returns, t ≥ 2.
    spec
        Its window is not used: the whole series is the window.

    Returns
    -------
    dict
        Measure name → (series,); NaN where a measure has no value.

    Raises
    ------
    MeasureInputError
        For NaN, infinity, a loss above 100 % or fewer than two sessions.
    """
    returns = np.ascontiguousarray(require_returns(returns), dtype=np.float64)
    out = np.empty((len(returns), len(WHOLE_MEASURES)))
    law = spec.risk_free_rate_daily, float(spec.periods_per_year)
    measure_whole(returns, law, tail_law(returns.shape[1]), out)
    return dict(zip(WHOLE_MEASURES, np.ascontiguousarray(out.T), strict=True))


@register_jitable
def _add_strip(x: FloatArray, target: float, sums: FloatArray) -> None:
    """Add some sessions' powers and squared shortfalls to the lanes; few arrays a loop, which compiles to vectors."""
    first, second, third, fourth, below = sums[0], sums[1], sums[2], sums[3], sums[4]
    for j in range(len(x)):
        first[j] += x[j]
        second[j] += x[j] * x[j]
    for j in range(len(x)):
        square = x[j] * x[j]
        third[j] += square * x[j]
        fourth[j] += square * square
    for j in range(len(x)):
        missing = min(x[j] - target, 0.0)
        below[j] += missing * missing


@register_jitable
def _fold(lanes: FloatArray) -> None:
    """Leave the sum of the lanes in the first, by halves, which compiles to vector instructions as well."""
    size = len(lanes)
    while size % 2 == 0:
        size //= 2
        low, high = lanes[:size], lanes[size : 2 * size]
        for j in range(size):
            low[j] += high[j]
    for j in range(1, size):
        lanes[0] += lanes[j]


@register_jitable
def _moments(x: FloatArray, law: tuple[float, float], sums: FloatArray, out: FloatArray) -> tuple[float, float]:
    """The `MOMENT_MEASURES`; gives the mean and the population's standard deviation."""
    sums[:] = 0.0
    for start in range(0, len(x), LANES):
        _add_strip(x[start : start + LANES], law[0], sums)
    for term in range(5):
        _fold(sums[term])
    n, target, periods = np.float64(len(x)), law[0], law[1]
    mean, raw2, raw3, raw4, below = sums[0, 0] / n, sums[1, 0] / n, sums[2, 0] / n, sums[3, 0] / n, sums[4, 0] / n
    square = mean * mean
    variance = raw2 - square
    if not (square <= variance and below > 0.0 and raw4 < math.inf and variance * variance > 0.0):
        moments_directly(x, law, out)
        return mean, out[0] * math.sqrt((n - 1.0) / (n * periods))
    deviation = math.sqrt(variance)
    third = raw3 - mean * (3.0 * raw2 - 2.0 * square)
    fourth = raw4 - mean * (4.0 * raw3 - mean * (6.0 * raw2 - 3.0 * square))
    out[0] = deviation * math.sqrt(periods * n / (n - 1.0))
    out[1] = (mean - target) / deviation * math.sqrt(periods * (n - 1.0) / n)
    out[2] = (mean - target) / math.sqrt(below) * math.sqrt(periods)
    out[3] = third / (variance * deviation)
    out[4] = fourth / (variance * variance) - 3.0
    return mean, deviation


@register_jitable
def _collect(found: FloatArray, size: int, x: float, limit: float) -> int:
    """Append a return if it does not lie above the limit; without a branch, which would be mispredicted."""
    found[size] = x
    return size + (1 if x <= limit else 0)


@register_jitable
def _read(x: FloatArray, limit: float, strips: Strips, found: FloatArray) -> int:
    """Extremes of wealth in each strip of four stretches and a rest, and the returns up to a limit, which it counts.

    Wealth is 1 where a stretch begins. Four stretches, since a product waits for the one before it.
    """
    lows, highs, ends = strips
    count = len(x) // (4 * STRIP)
    stretch = count * STRIP
    a = b = c = d = 1.0
    size = 0
    for number in range(count):
        start = number * STRIP
        x0, x1 = x[start : start + STRIP], x[stretch + start : stretch + start + STRIP]
        x2, x3 = x[2 * stretch + start :], x[3 * stretch + start :]
        low_a, low_b, low_c, low_d = math.inf, math.inf, math.inf, math.inf
        high_a, high_b, high_c, high_d = 0.0, 0.0, 0.0, 0.0
        for i in range(STRIP):
            a *= 1.0 + x0[i]
            b *= 1.0 + x1[i]
            c *= 1.0 + x2[i]
            d *= 1.0 + x3[i]
            low_a, high_a = min(low_a, a), max(high_a, a)
            low_b, high_b = min(low_b, b), max(high_b, b)
            low_c, high_c = min(low_c, c), max(high_c, c)
            low_d, high_d = min(low_d, d), max(high_d, d)
            size = _collect(found, size, x0[i], limit)
            size = _collect(found, size, x1[i], limit)
            size = _collect(found, size, x2[i], limit)
            size = _collect(found, size, x3[i], limit)
        at_b, at_c, at_d = number + count, number + 2 * count, number + 3 * count
        lows[number], highs[number], ends[number] = low_a, high_a, a
        lows[at_b], highs[at_b], ends[at_b] = low_b, high_b, b
        lows[at_c], highs[at_c], ends[at_c] = low_c, high_c, c
        lows[at_d], highs[at_d], ends[at_d] = low_d, high_d, d
    a, low_a, high_a = 1.0, math.inf, 0.0
    for value in x[4 * stretch :]:
        a *= 1.0 + value
        low_a, high_a = min(low_a, a), max(high_a, a)
        size = _collect(found, size, value, limit)
    lows[4 * count], highs[4 * count], ends[4 * count] = low_a, high_a, a
    return size


@register_jitable
def _deepest_within(x: FloatArray, level: float, peak: float, fraction: float) -> float:
    """The lowest wealth by its peak so far, of a strip and what came before it."""
    for value in x:
        level *= 1.0 + value
        peak = max(peak, level)
        if level < fraction * peak:
            fraction = level / peak
    return fraction


@register_jitable
def _wealth(x: FloatArray, periods: float, strips: Strips, out: FloatArray) -> None:
    """The `WEALTH_MEASURES`, from the strips that `_read` left.

    A strip's lowest level tells its fall from a peak before it. What fell from a peak of its own is looked for only
    where the strip's extremes leave room for a deeper fall.
    """
    lows, highs, ends = strips
    count = len(x) // (4 * STRIP)
    total = peak = fraction = level = 1.0
    for number in range(4 * count + 1):
        low, high = lows[number], highs[number]
        if low < fraction * peak:
            fraction = low / peak
        if high > peak and low < fraction * high:
            stop = (number + 1) * STRIP if number < 4 * count else len(x)
            fraction = _deepest_within(x[number * STRIP : stop], level, peak, fraction)
        peak, level = max(peak, high), ends[number]
        if number == 4 * count or (number + 1) % count == 0:  # the next stretch begins at 1
            total *= level
            if total <= 0.0:
                break
            peak, level = peak / level, 1.0
    out[0] = math.pow(total, periods / len(x)) - 1.0
    out[1] = fraction - 1.0
    out[2] = out[0] / -out[1] if out[1] < 0.0 else math.nan


@register_jitable
def _move_below(values: FloatArray, pivot: float) -> int:
    """Move what lies below the pivot to the front; gives how many. Without a branch, which would be mispredicted."""
    size = 0
    for i in range(len(values)):
        value = values[i]
        values[i] = values[size]
        values[size] = value
        size += 1 if value < pivot else 0
    return size


@register_jitable
def _move_equal(values: FloatArray, pivot: float) -> int:
    """Move what equals the pivot to the front of what does not lie below it; gives how many."""
    size = 0
    for i in range(len(values)):
        value = values[i]
        values[i] = values[size]
        values[size] = value
        size += 1 if value == pivot else 0
    return size


@register_jitable
def _place(values: FloatArray, position: int) -> None:
    """Move the value that belongs at a position there, and no higher one before it (Hoare 1961, "Find").

    Values that equal the lowest are set aside at once, so ties do not make it slow. A position behind the last is
    none.
    """
    while position < len(values) and len(values) > 1:
        a, b, c = values[0], values[len(values) // 2], values[-1]
        pivot = max(min(a, b), min(max(a, b), c))
        less = _move_below(values, pivot)
        if position < less:
            values = values[:less]
        else:
            values, position = values[less:], position - less
            if less == 0:
                equal = _move_equal(values, pivot)
                if position < equal:
                    return
                values, position = values[equal:], position - equal


@register_jitable
def _tail(found: FloatArray, law: tuple[IntArray, FloatArray], out: FloatArray) -> None:
    """The `TAIL_MEASURES` of a series whose lowest returns were found."""
    positions, weights = law
    wide, middle, narrow = positions[0], positions[2], positions[3]
    _place(found, wide)
    _place(found[:wide], middle)
    _place(found[:middle], narrow)
    below = 0.0
    for i in range(narrow):
        below += found[i]
    out[3] = shortfall(found[narrow], below, weights[3])
    for i in range(narrow, middle):
        below += found[i]
    out[2] = shortfall(found[middle], below, weights[2])
    out[0], out[1] = 0.0 - found[wide], 0.0 - found[narrow]


def measure_whole_python(
    returns: FloatArray, law: tuple[float, float], tail: tuple[IntArray, FloatArray], out: FloatArray
) -> None:
    """Fill `out` with the `WHOLE_MEASURES` of every series.

    Parameters
    ----------
    returns
        (series, t) simple returns, finite, -1 or more.
    law
        Daily target, which is the risk-free rate, and periods per year.
    tail
        `tail_law` of t sessions.
    out
        (series, 12).
    """
    sums, found = np.empty((5, LANES)), np.empty(returns.shape[1] + 1)
    most = returns.shape[1] // STRIP + 1
    lows, highs, ends = np.empty(most), np.empty(most), np.empty(most)
    for number in range(len(returns)):
        x, row = returns[number], out[number]
        mean, deviation = _moments(x, law, sums, row[3:8])
        size = _read(x, mean - _TAIL_BEGINS * deviation, (lows, highs, ends), found)
        if size <= tail[0][0]:
            size = len(x)
            found[:size] = x
        _wealth(x, law[1], (lows, highs, ends), row[:3])
        _tail(found[:size], tail, row[8:])


measure_whole = njit(cache=True, nogil=True, error_model="numpy")(measure_whole_python)
