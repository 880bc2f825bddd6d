"""Philox, the counter-based random numbers behind every path: 4x64-10 word by word, and 4x32-10 for paths side by side.

A path's numbers are a pure function of (seed, subject, stream, path): no state is shared, so one thread,
many threads and any chunking give the same bits. Hand-written because numpy's generator cannot be called
inside a compiled kernel without holding a state per path; 4x64-10 equals ``numpy.random.Philox`` bit by bit, and
4x32-10 gives its authors' known answers (tested). Products of 32 bits compile to vector instructions, by which a word
takes a fifth of the time. Specification: Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as easy as
1, 2, 3", section 3.3 and table 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

WordArray: TypeAlias = NDArray[np.uint64]
LaneWords: TypeAlias = NDArray[np.uint32]
Words: TypeAlias = tuple[np.uint64, np.uint64, np.uint64, np.uint64]
Key: TypeAlias = tuple[np.uint64, np.uint64]
"""Seed and subject."""

WORDS_PER_BLOCK = 4

_MULTIPLIER_0 = np.uint64(0xD2E7470EE14C6C93)
_MULTIPLIER_1 = np.uint64(0xCA5A826395121157)
_WEYL_0 = np.uint64(0x9E3779B97F4A7C15)
_WEYL_1 = np.uint64(0xBB67AE8584CAA73B)
_ROUNDS = 10


def packed_key(key: tuple[int, int]) -> Key:
    """Seed and subject as the words that a kernel takes; OverflowError outside 0 to 2⁶⁴ - 1."""
    return np.uint64(key[0]), np.uint64(key[1])


def _emit_product(_typing: Any, _a: Any, _b: Any) -> Any:
    """A multiplication of 128 bits, which is one instruction; neither Python nor numba has a type for it."""
    halves = types.UniTuple(types.uint64, 2)  # type: ignore[no-untyped-call]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, wide = ir.IntType(64), ir.IntType(128)
        whole = builder.mul(*(builder.zext(factor, wide) for factor in arguments))
        high = builder.trunc(builder.lshr(whole, ir.Constant(wide, 64)), word)
        return context.make_tuple(builder, signature.return_type, (high, builder.trunc(whole, word)))

    return halves(types.uint64, types.uint64), generate


_product = cast("Callable[[np.uint64, np.uint64], tuple[np.uint64, np.uint64]]", intrinsic(_emit_product))
"""The upper and the lower 64 bits of a product; in compiled code only."""


@njit(cache=True, forceinline=True)
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
        high_0, low_0 = _product(_MULTIPLIER_0, c0)
        high_1, low_1 = _product(_MULTIPLIER_1, c2)
        c0, c1, c2, c3 = high_1 ^ c1 ^ k0, low_1, high_0 ^ c3 ^ k1, low_0
        k0 += _WEYL_0
        k1 += _WEYL_1
    return c0, c1, c2, c3


LANES = 64
"""Paths walked side by side: the more, the better the vector instructions are used, while all fits in the cache."""

LaneKey: TypeAlias = tuple[np.uint64, np.uint64]
"""Two words of 32 bits."""

_NARROW_MULTIPLIER_0 = np.uint64(0xD2511F53)
_NARROW_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_NARROW_WEYL_0 = np.uint64(0x9E3779B9)
_NARROW_WEYL_1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def lane_key(key: tuple[int, int]) -> LaneKey:
    """Seed and subject as one key of 64 bits: the first word of stream 0, which no model uses."""
    zero = np.uint64(0)
    word = random_words(zero, zero, zero, *packed_key(key))[0]
    return np.uint64(word & _LOW), np.uint64(word >> _HALF)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def lane_words(words: LaneWords, block: int, first_path: int, stream: np.uint64, key: LaneKey) -> None:
    """Four words of each block for each of the paths that are walked side by side.

    Products alone read the lower halves of their factors, so the upper ones are left as they come.

    Parameters
    ----------
    words
        (4 · blocks, LANES) to fill.
    block, first_path, stream
        As in `random_words`, each below 2³²; of the first block, and of the first lane.
    """
    for first in range(0, len(words), WORDS_PER_BLOCK):
        for lane in range(LANES):
            c0, c1, c2, c3 = np.uint64(block), np.uint64(first_path) + np.uint64(lane), stream, np.uint64(0)
            k0, k1 = key
            for _ in range(_ROUNDS):
                product_0, product_1 = _NARROW_MULTIPLIER_0 * (c0 & _LOW), _NARROW_MULTIPLIER_1 * (c2 & _LOW)
                c0, c2 = (product_1 >> _HALF) ^ c1 ^ k0, (product_0 >> _HALF) ^ c3 ^ k1
                c1, c3 = product_1, product_0
                k0, k1 = k0 + _NARROW_WEYL_0, k1 + _NARROW_WEYL_1
            words[first, lane], words[first + 1, lane] = np.uint32(c0), np.uint32(c1)
            words[first + 2, lane], words[first + 3, lane] = np.uint32(c2), np.uint32(c3)
        block += 1


@njit(cache=True, nogil=True, error_model="numpy")
def lane_row(words: LaneWords, row: int, first_path: int, stream: np.uint64, key: LaneKey) -> LaneWords:
    """(LANES,) the paths' words of one row of their sequences; rows are asked for in turn, from 0.

    Parameters
    ----------
    words
        (4, LANES) in which the rows of a block are kept.
    """
    within = row % WORDS_PER_BLOCK
    if within == 0:
        lane_words(words, row // WORDS_PER_BLOCK, first_path, stream, key)
    found: LaneWords = words[within]
    return found
