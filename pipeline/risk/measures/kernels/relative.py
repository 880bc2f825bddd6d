"""Rolling beta, from exact sums of products with the benchmark."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numba import njit
from numba.extending import register_jitable

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.kernels.sums import mark_windows, rolling_means, split_all, split_products

_LARGEST = 1.0
_SMALLEST_VARIANCE = 2.0**-24

BetaRoom: TypeAlias = tuple[IntArray, FloatArray]
Pairs: TypeAlias = tuple[FloatArray, FloatArray]
Means: TypeAlias = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


@register_jitable
def _fitting(returns: FloatArray, benchmark: FloatArray, pairs: Pairs) -> None:
    """Both returns of a session, or 0 if one does not fit."""
    own, other = pairs
    for i in range(len(returns)):
        fits = (abs(returns[i]) <= _LARGEST) & (abs(benchmark[i]) <= _LARGEST)
        own[i] = returns[i] if fits else 0.0
        other[i] = benchmark[i] if fits else 0.0


@register_jitable
def _means(pairs: Pairs, window: int, unit: float, limbs: tuple[IntArray, IntArray], means: Means) -> None:
    """Rolling means of both returns, of their product and of the benchmark's square."""
    own, other = pairs
    high, low = limbs
    split_all(own, unit, high, low)
    rolling_means(high, low, window, unit, means[0])
    split_all(other, unit, high, low)
    rolling_means(high, low, window, unit, means[1])
    split_products(own, other, unit, high, low)
    rolling_means(high, low, window, unit, means[2])
    split_products(other, other, unit, high, low)
    rolling_means(high, low, window, unit, means[3])


@register_jitable
def _from_means(means: Means, beta: FloatArray, inexact: IntArray) -> None:
    mean, mean_benchmark, product, square = means[0], means[1], means[2], means[3]
    for row in range(len(beta)):
        mean_squared = mean_benchmark[row] * mean_benchmark[row]
        variance = square[row] - mean_squared
        # A mean return far larger than the benchmark's spread would cancel in the covariance.
        steady = (mean_squared <= variance) & (mean[row] * mean[row] <= variance)
        good = steady & (variance >= _SMALLEST_VARIANCE)
        inexact[row] = 0 if good else 1
        beta[row] = (product[row] - mean[row] * mean_benchmark[row]) / (variance if good else 1.0)


@register_jitable
def _directly(returns: FloatArray, benchmark: FloatArray) -> float:
    """One window in two passes, as the definition says."""
    n = np.float64(len(returns))
    total = total_benchmark = 0.0
    varies = False
    for i in range(len(returns)):
        total += returns[i]
        total_benchmark += benchmark[i]
        varies |= benchmark[i] != benchmark[0]
    if not varies:
        return math.nan
    covariance = variance = 0.0
    for i in range(len(returns)):
        deviation = benchmark[i] - total_benchmark / n
        covariance += deviation * (returns[i] - total / n)
        variance += deviation * deviation
    return covariance / variance if variance > 0.0 else math.nan


def rolling_beta_python(
    returns: FloatArray, benchmark: FloatArray, window: int, unit: float, room: BetaRoom, beta: FloatArray
) -> None:
    """Fill `beta` with the slope of every window.

    Parameters
    ----------
    returns, benchmark
        (t,) simple returns.
    unit
        `unit_of` the window.
    room
        (3, t) integers and (6, t) numbers to work in, or more.
    beta
        (t - window + 1,); NaN where the benchmark does not vary.
    """
    integers, numbers = room
    rows = len(returns) - window + 1
    limbs, inexact = (integers[0][: len(returns)], integers[1][: len(returns)]), integers[2][:rows]
    pairs = (numbers[0], numbers[1])
    means = (numbers[2][:rows], numbers[3][:rows], numbers[4][:rows], numbers[5][:rows])
    _fitting(returns, benchmark, pairs)
    _means(pairs, window, unit, limbs, means)
    _from_means(means, beta, inexact)
    for position in range(len(returns)):
        if not (abs(returns[position]) <= _LARGEST and abs(benchmark[position]) <= _LARGEST):
            mark_windows(position, window, inexact)
    for row in range(rows):
        if inexact[row]:
            beta[row] = _directly(returns[row : row + window], benchmark[row : row + window])


rolling_beta = njit(cache=True, nogil=True, error_model="numpy")(rolling_beta_python)
