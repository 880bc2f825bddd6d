"""Rolling dispersion, ratios, higher moments and beta, from exact sums of powers."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numba import njit
from numba.extending import register_jitable

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.kernels.sums import mark_windows, rolling_means, split_all, split_products

MOMENT_MEASURES = ("volatility", "sharpe_ratio", "sortino_ratio", "skewness", "excess_kurtosis")

_LARGEST = 1.0
"""A larger return, a gain of more than 100 %, does not fit: its windows are summed one by one."""
_SMALLEST_VARIANCE = 2.0**-24
"""Below a daily volatility of 2.4 basis points a term's fixed steps would be felt."""
_SMALLEST_DOWNSIDE = 2.0**-54
_SHRINK = 0.5
"""A return of -1 lies up to 2 below the target."""

MomentRoom: TypeAlias = tuple[IntArray, FloatArray]
Factors: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]
Moments: TypeAlias = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]
"""Rolling means of the powers one to four and of the squared shortfall."""


@register_jitable
def _factors(returns: FloatArray, target: float, factors: Factors) -> None:
    """What the powers are products of; 0 for a return that does not fit."""
    fitting, squares, shortfalls = factors
    for i in range(len(returns)):
        x = returns[i] if abs(returns[i]) <= _LARGEST else 0.0
        fitting[i] = x
        squares[i] = x * x
        shortfalls[i] = min(x - target, 0.0) * _SHRINK


@register_jitable
def _means(factors: Factors, window: int, unit: float, limbs: tuple[IntArray, IntArray], means: Moments) -> None:
    """Rolling means of the powers one to four and of the squared shortfall."""
    fitting, squares, shortfalls = factors
    high, low = limbs
    split_all(fitting, unit, high, low)
    rolling_means(high, low, window, unit, means[0])
    split_all(squares, unit, high, low)
    rolling_means(high, low, window, unit, means[1])
    split_products(squares, fitting, unit, high, low)
    rolling_means(high, low, window, unit, means[2])
    split_products(squares, squares, unit, high, low)
    rolling_means(high, low, window, unit, means[3])
    split_products(shortfalls, shortfalls, unit, high, low)
    rolling_means(high, low, window, unit, means[4])


@register_jitable
def _dispersion(
    mean: FloatArray, square: FloatArray, below: FloatArray, inverse: FloatArray, inexact: IntArray
) -> None:
    """One over the standard deviation; `inexact` marks windows whose raw moments cancel or are too small."""
    for row in range(len(mean)):
        mean_squared = mean[row] * mean[row]
        variance = square[row] - mean_squared
        good = (variance >= _SMALLEST_VARIANCE) & (mean_squared <= variance) & (below[row] >= _SMALLEST_DOWNSIDE)
        inexact[row] = 0 if good else 1
        inverse[row] = 1.0 / math.sqrt(variance if good else 1.0)


@register_jitable
def _ratios(means: Moments, inverse: FloatArray, window: int, law: tuple[float, float], out: FloatArray) -> None:
    """Volatility, Sharpe and Sortino ratios, a loop each, which compiles to vector instructions."""
    target, periods = law
    n = np.float64(window)
    to_volatility, to_sharpe = math.sqrt(periods * n / (n - 1.0)), math.sqrt(periods * (n - 1.0) / n)
    to_sortino = math.sqrt(periods) * _SHRINK
    mean, square, below = means[0], means[1], means[4]
    for row in range(len(inverse)):
        out[0, row] = (square[row] - mean[row] * mean[row]) * inverse[row] * to_volatility
    for row in range(len(inverse)):
        out[1, row] = (mean[row] - target) * inverse[row] * to_sharpe
    for row in range(len(inverse)):
        out[2, row] = (mean[row] - target) * to_sortino / math.sqrt(max(below[row], _SMALLEST_DOWNSIDE))


@register_jitable
def _higher(means: Moments, inverse: FloatArray, skewness: FloatArray, kurtosis: FloatArray) -> None:
    """Skewness and excess kurtosis from the raw moments."""
    first, second, third, fourth = means[0], means[1], means[2], means[3]
    for row in range(len(inverse)):
        mean, scale = first[row], inverse[row]
        skewness[row] = (third[row] - mean * (3.0 * second[row] - 2.0 * mean * mean)) * scale * scale * scale
    for row in range(len(inverse)):
        mean, precision = first[row], inverse[row] * inverse[row]
        inner = 6.0 * second[row] - 3.0 * mean * mean
        central = fourth[row] - mean * (4.0 * third[row] - mean * inner)
        kurtosis[row] = central * precision * precision - 3.0


@register_jitable
def moments_directly(values: FloatArray, law: tuple[float, float], out: FloatArray) -> None:
    """The `MOMENT_MEASURES` of one window in two passes, as the definitions say."""
    target, periods = law
    n = np.float64(len(values))
    total = excess = below = 0.0
    varies = False
    for x in values:
        total += x
        excess += x - target
        shortfall = min(x - target, 0.0)
        below += shortfall * shortfall
        varies |= x != values[0]
    mean = total / n
    second = third = fourth = 0.0
    for x in values:
        square = (x - mean) * (x - mean)
        second += square
        third += square * (x - mean)
        fourth += square * square
    variance = second / n
    deviation = math.sqrt(second / (n - 1.0))
    out[0] = deviation * math.sqrt(periods) if varies else 0.0
    out[1] = excess / n / deviation * math.sqrt(periods) if varies and deviation > 0.0 else math.nan
    out[2] = excess / n / math.sqrt(below / n) * math.sqrt(periods) if below > 0.0 else math.nan
    out[3] = third / n / (variance * math.sqrt(variance)) if varies and variance > 0.0 else math.nan
    out[4] = fourth / n / (variance * variance) - 3.0 if varies and variance > 0.0 else math.nan


def rolling_moments_python(
    returns: FloatArray, window: int, law: tuple[float, float], unit: float, room: MomentRoom, out: FloatArray
) -> None:
    """Fill `out` with the `MOMENT_MEASURES` of every window.

    Parameters
    ----------
    returns
        (t,) simple returns, finite.
    law
        Daily target, which is the risk-free rate, and periods per year.
    unit
        `unit_of` the window.
    room
        (3, t) integers and (8, t) numbers to work in, or more integers.
    out
        (5, t - window + 1).
    """
    integers, numbers = room
    rows = len(returns) - window + 1
    # Row by row, so that each is known to lie without gaps: only then are loops over it compiled to vectors.
    limbs, inexact = (integers[0][: len(returns)], integers[1][: len(returns)]), integers[2][:rows]
    factors = (numbers[0], numbers[1], numbers[2])
    means = (numbers[3][:rows], numbers[4][:rows], numbers[5][:rows], numbers[6][:rows], numbers[7][:rows])
    inverse = numbers[0][:rows]  # once the factors are no longer needed
    _factors(returns, law[0], factors)
    _means(factors, window, unit, limbs, means)
    _dispersion(means[0], means[1], means[4], inverse, inexact)
    _ratios(means, inverse, window, law, out)
    _higher(means, inverse, out[3], out[4])
    for position in range(len(returns)):
        if not abs(returns[position]) <= _LARGEST:
            mark_windows(position, window, inexact)
    for row in range(rows):
        if inexact[row]:
            moments_directly(returns[row : row + window], law, out[:, row])


rolling_moments = njit(cache=True, nogil=True, error_model="numpy")(rolling_moments_python)
