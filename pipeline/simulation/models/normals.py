"""Normal draws by inversion, many at a time: a random word, through polynomials that compile to vector instructions.

With t = 1 - x² for the word's place x between -1 and 1, the quantile is x times a function of w = -log t that is almost
a line, and far out one of √w: Giles (2012), "Approximating the erfinv function", GPU Computing Gems, chapter 10. The
polynomials here are fitted to least relative error (Lawson's weights) and evaluated in single precision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, register_jitable

from pipeline.simulation.models.arithmetic import SingleArray, fused, log_of
from pipeline.simulation.models.philox import LANES, WORDS_PER_BLOCK, LaneKey, LaneWords, lane_words

FEWEST_ROWS = 8
"""Drawn together: a row alone would wait for the end of its chain of operations."""

_GROUP = WORDS_PER_BLOCK * LANES
"""Draws among which is looked for far ones."""

_UNIT, _HALF_UNIT, _TWO = np.float32(2.0**-31), np.float32(2.0**-32), np.float32(2.0)
_FAR = np.float32(8.0)
"""Beyond this -log t, which three draws in 20,000 are, the second polynomial counts."""
_UPPER_HALF = np.uint32(2**31)

_MIDDLE_OF_NEAR = np.float32(4.0)
_N = tuple(
    np.float32(coefficient)
    for coefficient in (
        *(2.62871051, 0.322941691, -0.0102118654, -0.000287669012, 0.000167991631, -2.22371837e-05),
        *(7.11569328e-07, 2.96696953e-07, -4.94906054e-08, -6.93188729e-10, 5.53861845e-10),
    )
)
_N0, _N1, _N2, _N3, _N4, _N5, _N6, _N7, _N8, _N9, _N10 = _N
_MIDDLE_OF_FAR = np.float32(3.5)
_F = tuple(
    np.float32(coefficient)
    for coefficient in (
        *(4.71707773, 1.42471027, 0.00439266162, -0.00243289326),
        *(0.0008604186, -0.000240675596, 4.49086547e-05, -2.84555836e-06),
    )
)
_F0, _F1, _F2, _F3, _F4, _F5, _F6, _F7 = _F


class Page(NamedTuple):
    """The draws of some sessions, made together; a named tuple, because compiled kernels take one.

    Parameters
    ----------
    sessions
        So many that their rows are whole blocks of random words.
    words
        (sessions · n, LANES).
    room
        (4 · LANES,) to work in.
    draws
        (sessions · n, LANES).
    """

    sessions: int
    words: LaneWords
    room: SingleArray
    draws: SingleArray


def _emit_place(_typing: Any, _word: Any) -> Any:
    """A word as a number from -2³¹ to 2³¹, which rises with it."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.sitofp(builder.xor(arguments[0], ir.Constant(ir.IntType(32), -(2**31))), ir.FloatType())

    return types.float32(types.uint32), generate


def _emit_steps(_typing: Any, _word: Any) -> Any:
    """How many words lie beyond one, on its side."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.xor(arguments[0], builder.ashr(arguments[0], ir.Constant(ir.IntType(32), 31)))

    return types.int32(types.uint32), generate


_place = cast("Callable[[np.uint32], np.float32]", intrinsic(_emit_place))
_steps = cast("Callable[[np.uint32], np.int32]", intrinsic(_emit_steps))


@njit(cache=True, nogil=True, error_model="numpy")
def new_page(n: int) -> Page:
    """Room for the draws of n positions."""
    sessions = 1
    while sessions * n < FEWEST_ROWS or sessions * n % WORDS_PER_BLOCK != 0:
        sessions *= 2
    shape = (sessions * n, LANES)
    return Page(sessions, np.empty(shape, np.uint32), np.empty(_GROUP, np.float32), np.empty(shape, np.float32))


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def session_draws(page: Page, step: int, first_path: int, stream: np.uint64, key: LaneKey) -> SingleArray:
    """(n, LANES) draws of one session of the paths, to work on; sessions are asked for in turn, from 0.

    Parameters
    ----------
    first_path, stream, key
        As in `lane_words`.
    """
    rows = len(page.draws)
    within = step % page.sessions
    if within == 0:
        block = step // page.sessions * (rows // WORDS_PER_BLOCK)
        lane_words(page.words, block, first_path, stream, key)
        normal_draws(page.words.ravel(), page.room, page.draws.ravel())
    n = rows // page.sessions
    found: SingleArray = page.draws[within * n : (within + 1) * n]
    return found


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def normal_draws(words: LaneWords, room: SingleArray, draws: SingleArray) -> None:
    """Turn words into standard normal draws, which rise with them; they err by less than 3e-7 of themselves (tested).

    Parameters
    ----------
    words
        (k,).
    room
        (min(k, 4 · LANES),) to work in.
    draws
        (k,) to fill.
    """
    for first in range(0, len(words), _GROUP):
        word, z = words[first : first + _GROUP], draws[first : first + _GROUP]
        is_any_far = False
        for i in range(len(word)):
            beyond = fused(np.float32(_steps(word[i])), _UNIT, _HALF_UNIT)  # 1 - |x|
            w = -log_of(beyond * (_TWO - beyond))
            is_any_far |= bool(w >= _FAR)
            room[i] = w
            z[i] = fused(_place(word[i]), _UNIT, _HALF_UNIT) * _near(w - _MIDDLE_OF_NEAR)
        if is_any_far:
            for i in range(len(word)):
                size = _far(np.sqrt(room[i]) - _MIDDLE_OF_FAR)
                signed = size if word[i] >= _UPPER_HALF else -size
                z[i] = signed if room[i] >= _FAR else z[i]


@register_jitable
def _near(v: np.float32) -> np.float32:
    upper = fused(v, fused(v, fused(v, fused(v, fused(v, _N10, _N9), _N8), _N7), _N6), _N5)
    return fused(v, fused(v, fused(v, fused(v, fused(v, upper, _N4), _N3), _N2), _N1), _N0)


@register_jitable
def _far(v: np.float32) -> np.float32:
    upper = fused(v, fused(v, fused(v, _F7, _F6), _F5), _F4)
    return fused(v, fused(v, fused(v, fused(v, upper, _F3), _F2), _F1), _F0)
