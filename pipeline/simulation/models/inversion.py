"""Draws by inversion: a random word, through the quantile function of a law.

One word a draw and no rejection, so paths that are walked side by side stay in step. The quantile function is a table
of cubics that meet its values and slopes at their ends: Hörmann & Leydold (2003), "Continuous random variate generation
by fast numerical inversion", ACM TOMACS 13. Its cells halve with the probability, which keeps the relative error as
small in the tail as in the middle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from pipeline.base.types import FloatArray
from pipeline.simulation.models.philox import LaneWords, WordArray

CELL_BITS = 5
"""32 cells for each halving of the probability."""

_CELLS = 2**CELL_BITS
_TAIL_BITS = 31
_OCTAVES = _TAIL_BITS + 1
_TAIL_UNIT = 2.0 ** -(_TAIL_BITS + 1)

# A float64 is a sign, 11 bits of exponent (1023 for numbers from 1 to 2) and 52 of mantissa.
_MANTISSA_BITS = 52
_ONE = np.uint64(1023 << _MANTISSA_BITS)
_WHOLE = np.uint64((1023 + _MANTISSA_BITS) << _MANTISSA_BITS)  # 2⁵²: the mantissa then counts units
_HALF_LESS = 2.0**_MANTISSA_BITS - 0.5
_TAIL = np.uint32(2**_TAIL_BITS - 1)
_SIDE_SHIFT = np.uint32(_TAIL_BITS)
_CELL_SHIFT = np.uint64(_MANTISSA_BITS - CELL_BITS)
_CELL_OF_HALF = np.uint64(1022 << CELL_BITS)
_WITHIN_CELL = np.uint64((1 << (_MANTISSA_BITS - CELL_BITS)) - 1)
_WITHIN_SHIFT = np.uint64(CELL_BITS)
_TABLE_CELLS = np.uint64(_CELLS * _OCTAVES)


def quantile_table(
    quantile: Callable[[FloatArray], FloatArray], density: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """One side of a law's quantile function, for `draw_two_sided`.

    Parameters
    ----------
    quantile
        Of probabilities from 2⁻³³ to ½.
    density
        At those quantiles; not 0.

    Returns
    -------
    FloatArray
        (cells, 4) coefficients of rising powers of the position in the cell, from 0 to 1.
    """
    octaves = np.ldexp(1.0, np.arange(-1, _TAIL_BITS))
    starts = np.outer(octaves, 1.0 + np.arange(_CELLS) / _CELLS).ravel()
    ends = np.append(starts, 2.0**_TAIL_BITS) * _TAIL_UNIT
    values = quantile(ends)
    slopes = 1.0 / density(values)
    widths = np.diff(ends)
    rise, first, last = np.diff(values), widths * slopes[:-1], widths * slopes[1:]
    return np.column_stack([values[:-1], first, 3.0 * rise - 2.0 * first - last, first + last - 2.0 * rise])


def _emit_bits(_typing: Any, _value: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), generate


def _emit_float(_typing: Any, _bits: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), generate


bits_of = cast("Callable[[float], np.uint64]", intrinsic(_emit_bits))
"""A float's bits as a word; in compiled code only."""
float_of = cast("Callable[[np.uint64], float]", intrinsic(_emit_float))
"""The float of those bits; in compiled code only."""


@njit(cache=True, nogil=True, error_model="numpy")
def draw_two_sided(words: LaneWords, tables: FloatArray, cells: WordArray, draws: FloatArray) -> None:
    """Turn random words into draws of the law, which rise or fall with the words of either half.

    The uppermost bit is the side. The others, as the middle of one of 2³¹ equal steps of the probability of lying
    farther out, are a float whose own exponent and first bits of mantissa name the cell. In two loops, of which the
    first compiles to vector instructions; only the table has to be read one by one.

    Parameters
    ----------
    words
        (n,) of `lane_words`.
    tables
        Two of `quantile_table`, one on the other: below the median by the probability of lying lower, and above it by
        that of lying higher.
    cells
        (n,) to work in.
    draws
        (n,) to fill.
    """
    for i in range(len(words)):
        bits = bits_of(float_of(np.uint64(words[i] & _TAIL) | _WHOLE) - _HALF_LESS)
        cells[i] = (bits >> _CELL_SHIFT) - _CELL_OF_HALF + np.uint64(words[i] >> _SIDE_SHIFT) * _TABLE_CELLS
        draws[i] = float_of(((bits & _WITHIN_CELL) << _WITHIN_SHIFT) | _ONE) - 1.0
    for i in range(len(words)):
        cell, x = cells[i], draws[i]
        draws[i] = tables[cell, 0] + x * (tables[cell, 1] + x * (tables[cell, 2] + x * tables[cell, 3]))
