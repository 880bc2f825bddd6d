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

from pipeline.simulation.models.vectors import emit_constant, emit_fused

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
_POWERS = 8
"""Of Taylor's series: those below."""

SMALL_SQUARE = 0.34**2
"""Of a number below ½ log 2."""


def _emit_fused(_typing: Any, a: Any, _b: Any, _c: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return a(a, a, a), generate


fused = cast("Callable[[Number, Number, Number], Number]", intrinsic(_emit_fused))
"""a · b + c of numbers of one precision, rounded once; in compiled code only."""


def emit_growth_less_one(builder: Any, x: Any) -> Any:
    """Code for `growth_less_one` of a number, or of each of a vector."""
    shifted = emit_fused(builder, x, emit_constant(x.type, _LOG2_E), emit_constant(x.type, _ROUNDER))
    whole = builder.fsub(shifted, emit_constant(x.type, _ROUNDER))
    r = emit_fused(builder, whole, emit_constant(x.type, -_LOG_2), x)
    r = emit_fused(builder, whole, emit_constant(x.type, -_LOG_2_REST), r)
    scale = _emit_power(builder, shifted)
    rest = emit_small_growth_less_one(builder, r, builder.fmul(r, r))
    return emit_fused(builder, scale, rest, builder.fsub(scale, emit_constant(x.type, 1.0)))


def emit_small_growth_less_one(builder: Any, r: Any, square: Any) -> Any:
    """The same, to the last bit, of numbers whose square is below `SMALL_SQUARE`, by which k is 0."""
    series = emit_constant(r.type, 1.0 / math.factorial(_POWERS - 1))
    for power in range(_POWERS - 2, 1, -1):
        series = emit_fused(builder, r, series, emit_constant(r.type, 1.0 / math.factorial(power)))
    return emit_fused(builder, square, series, r)


def _emit_power(builder: Any, shifted: Any) -> Any:
    """2ᵏ of k plus the rounder, whose bits become an exponent."""
    words: Any = ir.IntType(32)
    if isinstance(shifted.type, ir.VectorType):
        words = ir.VectorType(words, shifted.type.count)
    bits = builder.add(builder.bitcast(shifted, words), emit_constant(words, _BIAS))
    return builder.bitcast(builder.shl(bits, emit_constant(words, _MANTISSA_BITS)), shifted.type)


def _emit_growth(_typing: Any, _x: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return emit_growth_less_one(builder, arguments[0])

    return types.float32(types.float32), generate


growth_less_one = cast("Callable[[np.float32], np.float32]", intrinsic(_emit_growth))
"""eˣ - 1 of a number from -80 to 80; errs by less than 3e-7 of itself (tested). In compiled code only.

x = k log 2 + r with |r| ≤ ½ log 2, Taylor's series of eʳ - 1 up to the seventh power, and 2ᵏ (eʳ - 1) + (2ᵏ - 1).
"""


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
