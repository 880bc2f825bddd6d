"""Rolling regression on a benchmark and active risk, from exact sums of products."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numba import njit
from numba.extending import register_jitable

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.kernels.sums import (
    mark_windows,
    rolling_means,
    rolling_sums,
    split_all,
    split_products,
)

RELATIVE_MEASURES = ("beta", "alpha", "r_squared", "tracking_error", "information_ratio")

_LARGEST = 1.0
_SMALLEST_VARIANCE = 2.0**-24
_ROUNDING = 4.0 * 2.0**-52
"""Active returns that vary by no more of the returns than this have no risk but their own rounding."""

RelativeRoom: TypeAlias = tuple[IntArray, FloatArray]
Series: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]
"""Returns, those of the benchmark, and their difference."""
Means: TypeAlias = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]
"""Rolling means of two series, of their product and of their squares."""


@register_jitable
def _fits(own: float, other: float) -> bool:
    return abs(own) <= _LARGEST and abs(other) <= _LARGEST and abs(own - other) <= _LARGEST


@register_jitable
def _fitting(returns: FloatArray, benchmark: FloatArray, series: Series) -> None:
    """What the products are made of: the returns of a session, or 0 if one does not fit."""
    own, other, active = series
    for i in range(len(returns)):
        difference = returns[i] - benchmark[i]
        fits = (abs(returns[i]) <= _LARGEST) & (abs(benchmark[i]) <= _LARGEST) & (abs(difference) <= _LARGEST)
        own[i] = returns[i] if fits else 0.0
        other[i] = benchmark[i] if fits else 0.0
        active[i] = difference if fits else 0.0


@register_jitable
def _mean_of(terms: FloatArray, window: int, unit: float, limbs: tuple[IntArray, IntArray], mean: FloatArray) -> None:
    split_all(terms, unit, limbs[0], limbs[1])
    rolling_means(limbs[0], limbs[1], window, unit, mean)


@register_jitable
def _mean_product(
    left: FloatArray, right: FloatArray, window: int, unit: float, limbs: tuple[IntArray, IntArray], mean: FloatArray
) -> None:
    split_products(left, right, unit, limbs[0], limbs[1])
    rolling_means(limbs[0], limbs[1], window, unit, mean)


@register_jitable
def _spread(mean: float, square: float) -> float:
    """The variance, or 0 where it is too small or cancels in its raw moments."""
    variance = square - mean * mean
    return variance if (variance >= _SMALLEST_VARIANCE) & (mean * mean <= variance) else 0.0


@register_jitable
def _regression(means: Means, law: tuple[float, float], out: FloatArray, inexact: IntArray) -> None:
    """Beta, alpha and the share explained."""
    target, periods = law
    own, other, product, own_square, other_square = means
    beta, alpha, explained = out[0], out[1], out[2]
    for row in range(len(own)):
        variance, other_variance = _spread(own[row], own_square[row]), _spread(other[row], other_square[row])
        good = (variance > 0.0) & (other_variance > 0.0)
        covariance = product[row] - own[row] * other[row]
        slope = covariance / (other_variance if good else 1.0)
        inexact[row] = 0 if good else 1
        beta[row] = slope
        alpha[row] = (own[row] - target - slope * (other[row] - target)) * periods
        explained[row] = min(slope * covariance / (variance if good else 1.0), 1.0)


@register_jitable
def _activity(
    mean: FloatArray, square: FloatArray, differing: IntArray, law: tuple[float, float], window: int, out: FloatArray
) -> None:
    """Tracking error and information ratio; `differing` counts a window's active returns that are not 0.

    It is left at 1 or more for windows that must be computed by themselves.
    """
    periods, n = law[1], np.float64(window)
    to_error, to_ratio = math.sqrt(periods * n / (n - 1.0)), math.sqrt(periods * (n - 1.0) / n)
    error, ratio = out[3], out[4]
    for row in range(len(mean)):
        variance = _spread(mean[row], square[row])
        good = variance > 0.0
        deviation = math.sqrt(variance if good else 1.0)
        error[row] = deviation * to_error if good else 0.0
        ratio[row] = mean[row] / deviation * to_ratio if good else math.nan
        differing[row] = 0 if good else differing[row]


@register_jitable
def _regression_directly(returns: FloatArray, benchmark: FloatArray, law: tuple[float, float], out: FloatArray) -> None:
    """The regression of one window in two passes, as the definitions say."""
    target, periods = law
    n = np.float64(len(returns))
    total = other_total = 0.0
    varies = other_varies = False
    for i in range(len(returns)):
        total += returns[i]
        other_total += benchmark[i]
        varies |= returns[i] != returns[0]
        other_varies |= benchmark[i] != benchmark[0]
    mean, other_mean = total / n, other_total / n
    covariance = variance = other_variance = 0.0
    for i in range(len(returns)):
        deviation, other = returns[i] - mean, benchmark[i] - other_mean
        covariance += other * deviation
        variance += deviation * deviation
        other_variance += other * other
    beta = covariance / other_variance if other_varies and other_variance > 0.0 else math.nan
    scale = math.sqrt(variance) * math.sqrt(other_variance)
    correlation = covariance / scale if varies and other_varies and scale > 0.0 else math.nan
    out[0] = beta
    out[1] = (mean - target - beta * (other_mean - target)) * periods
    out[2] = min(correlation * correlation, 1.0) if scale > 0.0 else math.nan


@register_jitable
def _activity_directly(returns: FloatArray, benchmark: FloatArray, periods: float, out: FloatArray) -> None:
    """Active risk of one window in two passes, as the definitions say."""
    n = np.float64(len(returns))
    total = largest = 0.0
    low = high = returns[0] - benchmark[0]
    for i in range(len(returns)):
        active = returns[i] - benchmark[i]
        total += active
        low, high = min(low, active), max(high, active)
        largest = max(largest, abs(returns[i]) + abs(benchmark[i]))
    mean, square = total / n, 0.0
    for i in range(len(returns)):
        deviation = returns[i] - benchmark[i] - mean
        square += deviation * deviation
    risky = high - low > _ROUNDING * largest
    deviation = math.sqrt(square / (n - 1.0)) if risky else 0.0
    out[3] = deviation * math.sqrt(periods)
    out[4] = mean / deviation * math.sqrt(periods) if deviation > 0.0 else math.nan


def rolling_relative_python(
    returns: FloatArray,
    benchmark: FloatArray,
    window: int,
    law: tuple[float, float],
    unit: float,
    room: RelativeRoom,
    out: FloatArray,
) -> None:
    """Fill `out` with the `RELATIVE_MEASURES` of every window.

    Sums of the active returns are their own: as a difference of the others they would cancel for a fund that
    follows its index.

    Parameters
    ----------
    returns, benchmark
        (t,) simple returns.
    law
        Daily risk-free rate and periods per year.
    unit
        `unit_of` the window.
    room
        (5, t) integers and (10, t) numbers to work in, or more.
    out
        (5, t - window + 1); NaN where the benchmark, the returns or their difference do not vary.
    """
    integers, numbers = room
    rows = len(returns) - window + 1
    # Row by row, so that each is known to lie without gaps: only then are loops over it compiled to vectors.
    limbs = (integers[0][: len(returns)], integers[1][: len(returns)])
    inexact, differing, differs = integers[2][:rows], integers[3][:rows], integers[4][: len(returns)]
    series = (numbers[0], numbers[1], numbers[2])
    own, other, active = series
    means = (numbers[3][:rows], numbers[4][:rows], numbers[5][:rows], numbers[6][:rows], numbers[7][:rows])
    mean_active, square_active = numbers[8][:rows], numbers[9][:rows]
    _fitting(returns, benchmark, series)
    for i in range(len(returns)):
        differs[i] = 1 if active[i] != 0.0 else 0
    rolling_sums(differs, window, differing)
    _mean_of(own, window, unit, limbs, means[0])
    _mean_of(other, window, unit, limbs, means[1])
    _mean_product(own, other, window, unit, limbs, means[2])
    _mean_product(own, own, window, unit, limbs, means[3])
    _mean_product(other, other, window, unit, limbs, means[4])
    _mean_of(active, window, unit, limbs, mean_active)
    _mean_product(active, active, window, unit, limbs, square_active)
    _regression(means, law, out, inexact)
    _activity(mean_active, square_active, differing, law, window, out)
    for position in range(len(returns)):
        if not _fits(returns[position], benchmark[position]):
            mark_windows(position, window, inexact)
            mark_windows(position, window, differing)
    for row in range(rows):
        if inexact[row]:
            _regression_directly(returns[row : row + window], benchmark[row : row + window], law, out[:, row])
        if differing[row]:
            _activity_directly(returns[row : row + window], benchmark[row : row + window], law[1], out[:, row])


rolling_relative = njit(cache=True, nogil=True, error_model="numpy")(rolling_relative_python)
