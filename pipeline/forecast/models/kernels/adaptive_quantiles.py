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


def adaptive_quantiles_python(
    residuals: FloatArray,
    shape: tuple[int, int],
    levels: FloatArray,
    learning: tuple[float, float],
    tails: FloatArray,
    quantiles: FloatArray,
    shortfalls: FloatArray,
) -> None:
    """Fill the quantiles and means below them of the value after each row.

    Parameters
    ----------
    residuals
        (n,) values.
    shape
        Newest values that make the distribution, at most and at least.
    levels
        (q,) asked for; each is moved after every value by `learning[0]` × its own rarity × (level - miss), and kept
        within a factor of `learning[1]` of its rarity.
    learning
        Rate, and the factor.
    tails
        (s,) levels of the means, moved likewise.
    quantiles, shortfalls
        (n + 1, q) and (n + 1, s) to fill; NaN before the least number of values.
    """
    window, least = shape
    count = len(levels)
    asked = np.concatenate((levels, tails))
    moved = asked.copy()
    found = np.empty(len(asked))
    ordered = np.empty(window + 1)
    size = 0
    for row in range(len(residuals) + 1):
        if size < least:
            quantiles[row, :] = np.nan
            shortfalls[row, :] = np.nan
        else:
            for i in range(len(asked)):
                found[i] = quantile_at(ordered, size, moved[i])
                if i < count:
                    quantiles[row, i] = found[i]
                else:
                    shortfalls[row, i - count] = min(mean_below(ordered, size, moved[i]), found[i])
        if row == len(residuals):
            break
        value = residuals[row]
        if size >= least:
            for i in range(len(asked)):
                rarity = min(asked[i], 1.0 - asked[i])
                miss = 1.0 if value < found[i] else 0.0
                level = moved[i] + learning[0] * rarity * (asked[i] - miss)
                # Rarity is the level's distance from the nearer end, which the moved level must not reach.
                distance = level if asked[i] <= 0.5 else 1.0 - level
                distance = min(max(distance, rarity / learning[1]), rarity * learning[1], MOST)
                moved[i] = distance if asked[i] <= 0.5 else 1.0 - distance
        if size == window:
            gone = place_of(ordered, size, residuals[row - window])
            for i in range(gone, size - 1):
                ordered[i] = ordered[i + 1]
            size -= 1
        new = place_of(ordered, size, value)
        for i in range(size, new, -1):
            ordered[i] = ordered[i - 1]
        ordered[new] = value
        size += 1


adaptive_quantiles = njit(cache=True, nogil=True, error_model="numpy")(adaptive_quantiles_python)
