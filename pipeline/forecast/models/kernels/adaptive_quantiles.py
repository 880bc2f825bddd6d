"""Quantiles of a sliding window at levels that learn from their own misses, and the means below them."""

from __future__ import annotations

import numpy as np
from numba import njit
from numba.extending import register_jitable

from pipeline.base.types import FloatArray

MOST = 0.9
"""No level moves further than this from the end that it is near to."""


@register_jitable
def place_of(ordered: FloatArray, size: int, value: float) -> int:
    """Values below `value` among the first `size` of an ascending array."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@register_jitable
def quantile_at(ordered: FloatArray, size: int, level: float) -> float:
    """Quantile with linear interpolation between the values, the i-th of which stands for (i - ½) / n (Hazen 1914)."""
    place = level * size - 0.5
    if place <= 0.0:
        return float(ordered[0])
    below = int(place)
    if below >= size - 1:
        return float(ordered[size - 1])
    part = place - below
    return float((1.0 - part) * ordered[below] + part * ordered[below + 1])


@register_jitable
def mean_below(ordered: FloatArray, size: int, level: float) -> float:
    """Mean of the lowest `level` of the values, the last of them in part (Rockafellar & Uryasev 2002)."""
    worst = level * size
    total, rank = 0.0, 0
    while rank < size and rank < worst:
        total += min(1.0, worst - rank) * ordered[rank]
        rank += 1
    return total / worst


@register_jitable
def swap(ordered: FloatArray, size: int, old: float, value: float) -> None:
    """Put a value in another's place in an ascending array: only those between both move, a third on average."""
    gone = place_of(ordered, size, old)
    if value > old:
        while gone + 1 < size and ordered[gone + 1] < value:
            ordered[gone] = ordered[gone + 1]
            gone += 1
    else:
        while gone > 0 and ordered[gone - 1] > value:
            ordered[gone] = ordered[gone - 1]
            gone -= 1
    ordered[gone] = value


@register_jitable
def learn(moved: FloatArray, asked: FloatArray, told: FloatArray, value: float, learning: tuple[float, float]) -> None:
    """Move each level by the rate × its rarity × (level - miss), and keep it within a factor of its rarity."""
    for i in range(len(asked)):
        rarity = min(asked[i], 1.0 - asked[i])
        miss = 1.0 if value < told[i] else 0.0
        level = moved[i] + learning[0] * rarity * (asked[i] - miss)
        # Rarity is the level's distance from the nearer end, which the moved level must not reach.
        distance = level if asked[i] <= 0.5 else 1.0 - level
        distance = min(max(distance, rarity / learning[1]), rarity * learning[1], MOST)
        moved[i] = distance if asked[i] <= 0.5 else 1.0 - distance


def adaptive_quantiles_python(
    residuals: FloatArray,
    shape: tuple[int, int, int, int],
    levels: FloatArray,
    learning: tuple[float, float],
    tails: FloatArray,
    quantiles: FloatArray,
    shortfalls: FloatArray,
) -> None:
    """Fill the quantiles and means below them of the value that begins with each row.

    Parameters
    ----------
    residuals
        (n,) values: the i-th begins with row i and is known `shape[2]` rows later.
    shape
        Newest values that make the distribution, at most and at least; rows until one is known; and the first row whose
        means are wanted.
    levels
        (q,) asked for; each is moved after every value by `learning[0]` × its own rarity × (level - miss), and kept
        within a factor of `learning[1]` of its rarity.
    learning
        Rate, and the factor.
    tails
        (s,) levels of the means, moved likewise.
    quantiles, shortfalls
        (m, q) and (m, s) to fill, with m of n + `shape[2]` at most; NaN before the least number of values.
    """
    window, least, delay, since = shape
    count = len(levels)
    asked = np.concatenate((levels, tails))
    moved = asked.copy()
    # Quantiles whose value is not known yet, by row modulo the delay.
    pending = np.full((delay, len(asked)), np.nan)
    ordered = np.empty(window)
    size = 0
    for row in range(len(quantiles)):
        found = pending[row % delay]
        if size < least:
            found[:] = np.nan
            quantiles[row, :] = np.nan
            shortfalls[row, :] = np.nan
        else:
            for i in range(len(asked)):
                found[i] = quantile_at(ordered, size, moved[i])
                if i < count:
                    quantiles[row, i] = found[i]
                elif row >= since:
                    shortfalls[row, i - count] = min(mean_below(ordered, size, moved[i]), found[i])
                else:
                    shortfalls[row, i - count] = np.nan
        known = row + 1 - delay
        if known < 0 or known >= len(residuals):
            continue
        value, told = residuals[known], pending[known % delay]
        if not np.isnan(told[0]):
            learn(moved, asked, told, value, learning)
        if size == window:
            swap(ordered, size, residuals[known - window], value)
        else:
            new = place_of(ordered, size, value)
            for i in range(size, new, -1):
                ordered[i] = ordered[i - 1]
            ordered[new] = value
            size += 1


adaptive_quantiles = njit(cache=True, nogil=True, error_model="numpy")(adaptive_quantiles_python)
