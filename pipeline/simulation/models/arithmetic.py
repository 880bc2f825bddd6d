"""Arithmetic of compiled kernels that compiles to vector instructions, and rounds the same on every machine.

A compiler may contract a product and a sum to one rounding or not, as the machine has it; here each says which it is.
What a session earns is computed in single precision, which doubles the width of vectors: each return errs by 3e-7 of
itself, without a bias, against standard errors a thousand times as large (tested). Values add up in double precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable
from numpy.typing import NDArray

SingleArray: TypeAlias = NDArray[np.float32]
Number = TypeVar("Number", float, np.float32)

_LOG2_E = np.float32(math.log2(math.e))
_LOG_2 = np.float32(math.log(2.0))
_LOG_2_REST = np.float32(math.log(2.0) - float(_LOG_2))
_ROUNDER = np.float32(1.5 * 2.0**23)
"""Added to a number below 2²², it leaves the nearest whole number in the lowest bits."""
_ONE = np.float32(1.0)
_NOTHING = np.float32(-1.0)
_BIAS = np.uint32(127)
_MANTISSA_BITS = np.uint32(23)
_BITS_OF_ROOT_OF_HALF = 0x3F3504F3
_L0, _L1, _L2, _L3 = (np.float32(value) for value in (0.99999994, -0.500003636, 0.333350599, -0.249699086))
_L4, _L5, _L6, _L7 = (np.float32(value) for value in (0.199001655, -0.172508299, 0.162225783, -0.101068906))
_C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(1.0 / math.factorial(power)) for power in range(2, 8))


def _emit_fused(_typing: Any, a: Any, _b: Any, _c: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return a(a, a, a), generate


fused = cast("Callable[[Number, Number, Number], Number]", intrinsic(_emit_fused))
"""a · b + c of numbers of one precision, rounded once; in compiled code only."""


def _emit_power(_typing: Any, _shifted: Any) -> Any:
    """The bits of a number to which the rounder was added, as an exponent."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        bits = builder.add(builder.bitcast(arguments[0], word), ir.Constant(word, int(_BIAS)))
        return builder.bitcast(builder.shl(bits, ir.Constant(word, int(_MANTISSA_BITS))), ir.FloatType())

    return types.float32(types.float32), generate


_power_of_two = cast("Callable[[np.float32], np.float32]", intrinsic(_emit_power))
"""2ᵏ of k plus the rounder; in compiled code only."""


def _emit_parts(_typing: Any, x: Any) -> Any:
    """A positive number as 2ᵏ m with m from √½ to √2: by whole numbers, for the bits of a float rise with it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, mantissa_bits = ir.IntType(32), ir.Constant(ir.IntType(32), int(_MANTISSA_BITS))
        bits = builder.bitcast(arguments[0], word)
        power = builder.ashr(builder.sub(bits, ir.Constant(word, _BITS_OF_ROOT_OF_HALF)), mantissa_bits)
        rest = builder.bitcast(builder.sub(bits, builder.shl(power, mantissa_bits)), ir.FloatType())
        return context.make_tuple(builder, signature.return_type, (builder.sitofp(power, ir.FloatType()), rest))

    return types.UniTuple(types.float32, 2)(x), generate  # type: ignore[no-untyped-call]


_parts = cast("Callable[[np.float32], tuple[np.float32, np.float32]]", intrinsic(_emit_parts))
"""k and m; in compiled code only."""


@register_jitable
def growth_less_one(x: np.float32) -> np.float32:
    """eˣ - 1 of a number from -80 to 80; errs by less than 3e-7 of itself (tested).

    x = k log 2 + r with |r| ≤ ½ log 2, Taylor's series of eʳ - 1 up to the seventh power, and 2ᵏ (eʳ - 1) + (2ᵏ - 1).
    """
    shifted = fused(x, _LOG2_E, _ROUNDER)
    whole = shifted - _ROUNDER
    r = fused(whole, -_LOG_2_REST, fused(whole, -_LOG_2, x))
    series = fused(r, fused(r, fused(r, fused(r, fused(r, _C7, _C6), _C5), _C4), _C3), _C2)
    power = _power_of_two(shifted)
    return fused(power, fused(r * r, series, r), power - _ONE)


@register_jitable
def log_of(x: np.float32) -> np.float32:
    """Natural logarithm of a positive normal number; errs by less than 3e-7 of itself, or of 1 (tested).

    log x = k log 2 + r L(r) with r = m - 1; L is fitted to least relative error.
    """
    power, rest = _parts(x)
    r = rest - _ONE
    upper = fused(r, fused(r, fused(r, _L7, _L6), _L5), _L4)
    series = fused(r, fused(r, fused(r, fused(r, upper, _L3), _L2), _L1), _L0)
    return fused(power, _LOG_2, r * series)


@register_jitable
def return_at_most_lost(location: np.float32, scale: np.float32, x: np.float32) -> np.float32:
    """Location + scale · x, and at least -1: more than everything is not lost."""
    earned = fused(scale, x, location)
    return earned if earned > _NOTHING else _NOTHING
