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
STRIP = 128
"""Sessions whose extremes tell whether a drawdown can lie in them."""
_TAIL_BEGINS = 1.3
"""Standard deviations below the mean: where to look for the lowest twentieth first."""

Room: TypeAlias = tuple[FloatArray, IntArray, FloatArray, IntArray]
"""Wealth of every session and two extremes, each also as its bits."""


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
def _moments(x: FloatArray, law: tuple[float, float], sums: FloatArray, out: FloatArray) -> tuple[float, float]:
    """The `MOMENT_MEASURES`; gives the mean and the population's standard deviation."""
    sums[:] = 0.0
    for start in range(0, len(x), LANES):
        _add_strip(x[start : start + LANES], law[0], sums)
    for term in range(5):
        for j in range(1, LANES):
            sums[term, 0] += sums[term, j]
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
def _read(x: FloatArray, limit: float, wealth: FloatArray, found: FloatArray) -> int:
    """Wealth within each of four stretches from 1 on, and the returns up to a limit; gives how many these are.

    Four stretches, since a product waits for the one before it.
    """
    stretch = len(x) // 4
    x0, x1, x2, x3 = x[:stretch], x[stretch : 2 * stretch], x[2 * stretch : 3 * stretch], x[3 * stretch :]
    w0, w1 = wealth[:stretch], wealth[stretch : 2 * stretch]
    w2, w3 = wealth[2 * stretch : 3 * stretch], wealth[3 * stretch :]
    a = b = c = d = 1.0
    size = 0
    for i in range(stretch):
        a *= 1.0 + x0[i]
        b *= 1.0 + x1[i]
        c *= 1.0 + x2[i]
        d *= 1.0 + x3[i]
        w0[i], w1[i], w2[i], w3[i] = a, b, c, d
        size = _collect(found, size, x0[i], limit)
        size = _collect(found, size, x1[i], limit)
        size = _collect(found, size, x2[i], limit)
        size = _collect(found, size, x3[i], limit)
    for i in range(stretch, len(x3)):
        d *= 1.0 + x3[i]
        w3[i] = d
        size = _collect(found, size, x3[i], limit)
    return size


@register_jitable
def _deepest(
    wealth: FloatArray, bits: IntArray, extremes: tuple[FloatArray, IntArray], before: tuple[float, float]
) -> tuple[float, float]:
    """Highest wealth and its lowest fraction of the highest, over a stretch and what came before.

    Strips that cannot hold a deeper fall are passed over. Numbers that are not negative lie in the order of their
    bits, whose extremes compile to vector instructions.
    """
    peak, fraction = before
    numbers, words = extremes
    for start in range(0, len(wealth), STRIP):
        strip = bits[start : start + STRIP]
        low = high = strip[0]
        for j in range(len(strip)):
            low = min(low, strip[j])
            high = max(high, strip[j])
        words[0], words[1] = low, high
        if numbers[0] < fraction * max(peak, numbers[1]):
            for level in wealth[start : start + STRIP]:
                peak = max(peak, level)
                if level < fraction * peak:
                    fraction = level / peak
        peak = max(peak, numbers[1])
    return peak, fraction


@register_jitable
def _wealth(sessions: int, periods: float, room: Room, out: FloatArray) -> None:
    """The `WEALTH_MEASURES` of wealth that `_read` left."""
    wealth, bits, numbers, words = room
    stretch = sessions // 4
    total = peak = fraction = 1.0
    for part in range(4):
        start, stop = part * stretch, (part + 1) * stretch if part < 3 else sessions
        if start < stop and total > 0.0:
            peak, fraction = _deepest(wealth[start:stop], bits[start:stop], (numbers, words), (peak, fraction))
            total *= wealth[stop - 1]
            peak = peak / wealth[stop - 1] if total > 0.0 else peak
    out[0] = math.pow(total, periods / sessions) - 1.0
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

    Values that equal the pivot are set aside, so ties do not make it slow. A position behind the last is none.
    """
    while position < len(values) and len(values) > 1:
        a, b, c = values[0], values[len(values) // 2], values[-1]
        pivot = max(min(a, b), min(max(a, b), c))
        less = _move_below(values, pivot)
        if position < less:
            values = values[:less]
        else:
            values, position = values[less:], position - less
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
    wealth, extremes, sums = np.empty(returns.shape[1]), np.empty(2), np.empty((5, LANES))
    bits, words, found = wealth.view(np.int64), extremes.view(np.int64), np.empty(returns.shape[1] + 1)
    for number in range(len(returns)):
        x, row = returns[number], out[number]
        mean, deviation = _moments(x, law, sums, row[3:8])
        size = _read(x, mean - _TAIL_BEGINS * deviation, wealth, found)
        if size <= tail[0][0]:
            size = len(x)
            found[:size] = x
        _wealth(len(x), law[1], (wealth, bits, extremes, words), row[:3])
        _tail(found[:size], tail, row[8:])


measure_whole = njit(cache=True, nogil=True, error_model="numpy")(measure_whole_python)
