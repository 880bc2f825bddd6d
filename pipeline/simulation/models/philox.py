"""Philox4x64-10, the counter-based random numbers behind every path.

A path's numbers are a pure function of (seed, subject, stream, path): no state is shared, so one thread,
many threads and any chunking give the same bits. Hand-written because numpy's generator cannot be called
inside a compiled kernel without holding a state per path; it equals ``numpy.random.Philox`` bit by bit
(tested). Specification: Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3",
section 3.3 and table 2.
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
        high_0, low_0 = _product(_MULTIPLIER_0, c0)
        high_1, low_1 = _product(_MULTIPLIER_1, c2)
        c0, c1, c2, c3 = high_1 ^ c1 ^ k0, low_1, high_0 ^ c3 ^ k1, low_0
        k0 += _WEYL_0
        k1 += _WEYL_1
    return c0, c1, c2, c3
