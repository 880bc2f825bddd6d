"""Rolling sums that are exact, hence the same from wherever they began.

A term is rounded once to a fixed-point number, and the sum of a window is an integer: adding the newest term and
taking away the oldest leaves no error behind. Superaccumulators sum floating-point numbers by the same idea over
their whole range (Kulisch 2013, "Computer Arithmetic and Validity", chapter 8); returns need less, since a term
above 1 is left to the caller.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from pipeline.base.types import FloatArray, IntArray

LONGEST_WINDOW = 1 << 14
"""Sessions; a longer window would leave a term too few bits."""

_SIGNED_BITS = 62


def unit_of(window_sessions: int) -> float:
    """Steps between 0 and a term of 1, so that the sum of a window of them fits into 63 bits; a power of 2."""
    return 2.0 ** (_SIGNED_BITS - (window_sessions - 1).bit_length())


@register_jitable
def split(term: float, unit: float) -> tuple[float, float]:
    """A term of at most 1 as whole `unit`-ths, and the rest as whole ``unit²``-ths: 96 bits or more.

    Scaling by a power of 2 and taking the whole part away are exact, so only the rest is rounded.
    """
    scaled = term * unit
    whole = np.rint(scaled)
    return whole, np.rint((scaled - whole) * unit)


@register_jitable
def split_all(terms: FloatArray, unit: float, high: IntArray, low: IntArray) -> None:
    """`split` an array."""
    for i in range(len(terms)):
        whole, rest = split(terms[i], unit)
        high[i], low[i] = np.int64(whole), np.int64(rest)


@register_jitable
def split_products(left: FloatArray, right: FloatArray, unit: float, high: IntArray, low: IntArray) -> None:
    """`split` the products of two arrays."""
    for i in range(len(left)):
        whole, rest = split(left[i] * right[i], unit)
        high[i], low[i] = np.int64(whole), np.int64(rest)


@register_jitable
def rolling_sums(terms: IntArray, window: int, sums: IntArray) -> None:
    """Fill ``sums[i]`` with the sum of ``terms[i : i + window]``."""
    total = terms[0]
    for i in range(1, window):
        total += terms[i]
    sums[0] = total
    for i in range(window, len(terms)):
        total += terms[i] - terms[i - window]
        sums[i - window + 1] = total


@register_jitable
def rolling_means(high: IntArray, low: IntArray, window: int, unit: float, means: FloatArray) -> None:
    """Fill ``means[i]`` with the mean of the `split` terms ``[i : i + window]``, rounded once from their exact sum."""
    step = 1.0 / unit
    scale = step / np.float64(window)
    highs, lows = high[0], low[0]
    for i in range(1, window):
        highs += high[i]
        lows += low[i]
    means[0] = (np.float64(highs) + np.float64(lows) * step) * scale
    for i in range(window, len(high)):
        highs += high[i] - high[i - window]
        lows += low[i] - low[i - window]
        means[i - window + 1] = (np.float64(highs) + np.float64(lows) * step) * scale


@register_jitable
def mark_windows(position: int, window: int, marked: IntArray) -> None:
    """Mark every window that holds the session at a position."""
    for row in range(max(position - window + 1, 0), min(position + 1, len(marked))):
        marked[row] = 1
