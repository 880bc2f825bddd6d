"""Philox4x64-10, the counter-based random numbers behind every path.

A path's numbers are a pure function of (seed, subject, stream, path): no state is shared, so one thread,
many threads and any chunking give the same bits. Hand-written because numpy's generator cannot be called
inside a compiled kernel without holding a state per path; it equals ``numpy.random.Philox`` bit by bit
(tested). Specification: Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3",
section 3.3 and table 2.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numba import njit

Words: TypeAlias = tuple[np.uint64, np.uint64, np.uint64, np.uint64]
Key: TypeAlias = tuple[np.uint64, np.uint64]
"""Seed and subject."""

_MULTIPLIER_0 = np.uint64(0xD2E7470EE14C6C93)
_MULTIPLIER_1 = np.uint64(0xCA5A826395121157)
_WEYL_0 = np.uint64(0x9E3779B97F4A7C15)
_WEYL_1 = np.uint64(0xBB67AE8584CAA73B)
_LOW_HALF = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ROUNDS = 10

_UNIFORM_SHIFT = np.uint64(12)
_UNIFORM_STEP = 2.0**-52  # of 2⁵³ steps the last middle would round up to 1


def packed_key(key: tuple[int, int]) -> Key:
    """Seed and subject as the words that a kernel takes; OverflowError outside 0 to 2⁶⁴ - 1."""
    return np.uint64(key[0]), np.uint64(key[1])


@njit(cache=True, inline="always")
def _multiply_high(a: np.uint64, b: np.uint64) -> np.uint64:
    """The upper 64 bits of a product, from its four products of halves."""
    a_low, a_high = a & _LOW_HALF, a >> _HALF
    b_low, b_high = b & _LOW_HALF, b >> _HALF
    middle = a_high * b_low + ((a_low * b_low) >> _HALF)
    crossed = a_low * b_high + (middle & _LOW_HALF)
    return a_high * b_high + (middle >> _HALF) + (crossed >> _HALF)


@njit(cache=True)
def random_words(block: np.uint64, path: np.uint64, stream: np.uint64, seed: np.uint64, subject: np.uint64) -> Words:
    """Four independent 64-bit words.

    Parameters
    ----------
    block
        Position in the path's sequence, in steps of four words.
    path, stream
        Which path, and which use of it: every model has a stream of its own.
    seed, subject
        The key.
    """
    c0, c1, c2, c3 = block, path, stream, np.uint64(0)
    k0, k1 = seed, subject
    for _ in range(_ROUNDS):
        high_0, low_0 = _multiply_high(_MULTIPLIER_0, c0), _MULTIPLIER_0 * c0
        high_1, low_1 = _multiply_high(_MULTIPLIER_1, c2), _MULTIPLIER_1 * c2
        c0, c1, c2, c3 = high_1 ^ c1 ^ k0, low_1, high_0 ^ c3 ^ k1, low_0
        k0 += _WEYL_0
        k1 += _WEYL_1
    return c0, c1, c2, c3


@njit(cache=True, inline="always")
def uniform(word: np.uint64) -> float:
    """A word as a number in (0, 1): the middle of one of 2⁵² equal steps, so never 0 or 1."""
    return (np.float64(word >> _UNIFORM_SHIFT) + 0.5) * _UNIFORM_STEP
