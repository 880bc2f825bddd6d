"""The Student-t laws of thousands of windows: `fit_student_t` with its sums compiled."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numba.extending import register_jitable

from pipeline.base.types import FloatArray
from pipeline.risk.measures import student_t_fit
from pipeline.risk.measures.student_t_fit import (
    DEGREES_OF_FREEDOM_BOUNDS,
    LARGEST_EQUAL_ODDS,
    MOST_STEPS,
    Law,
    StudentTFit,
    Sums,
    ascended,
    first_ascent,
    law_of_returns,
)

for _function in (
    student_t_fit._bounded,
    student_t_fit.half_steps,
    student_t_fit.newton_step,
    student_t_fit.log_likelihood,
    ascended,
    first_ascent,
    law_of_returns,
):
    register_jitable(_function)

_FACTORS = 8
"""Terms 1 + z²/ν whose product is taken before its logarithm: each is below 1e12, so that eight do not overflow."""


@register_jitable
def _moments(values: FloatArray) -> tuple[float, float]:
    """Mean and standard deviation (ddof 1), which is 0 for values that are all equal."""
    mean, lowest, highest = 0.0, values[0], values[0]
    for value in values:
        mean += value
        lowest, highest = min(lowest, value), max(highest, value)
    mean /= len(values)
    if lowest == highest:
        return lowest, 0.0
    total = 0.0
    for value in values:
        total += (value - mean) * (value - mean)
    return mean, math.sqrt(total / (len(values) - 1))


@register_jitable
def _is_unbounded(values: FloatArray) -> bool:
    """Whether too many returns are equal; only the winner of a vote can have a majority (Boyer & Moore 1991)."""
    votes, most = 0, values[0]
    for value in values:
        if votes == 0:
            most = value
        votes += 1 if value == most else -1
    equal = 0
    for value in values:
        equal += 1 if value == most else 0
    return equal > LARGEST_EQUAL_ODDS * (len(values) - equal)


@register_jitable
def _sums(x: FloatArray, law: Law, terms: FloatArray, w: FloatArray, wz: FloatArray) -> Sums:
    """The `Sums` of standardised returns (n,): element by element first, as a compiler makes vectors of such loops."""
    inverse = math.exp(-law.log_scale)
    for i in range(len(x)):
        z = (x[i] - law.location) * inverse
        terms[i] = 1.0 + z * z * law.reciprocal
        w[i] = 1.0 / terms[i]
        wz[i] = w[i] * z
    v_sum = vw_sum = wz_sum = wwz_sum = 0.0
    for i in range(len(x)):
        v = (terms[i] - 1.0) * w[i]
        v_sum += v
        vw_sum += v * w[i]
        wz_sum += wz[i]
        wwz_sum += wz[i] * w[i]
    log_sum, product = 0.0, 1.0
    for i in range(len(x)):
        product *= terms[i]
        if i % _FACTORS == _FACTORS - 1:
            log_sum += math.log(product)
            product = 1.0
    log_sum += math.log(product)
    count = len(x)
    return Sums(log_sum / count, v_sum / count, vw_sum / count, wz_sum / count, wwz_sum / count)


@register_jitable
def _climbed(x: FloatArray, terms: FloatArray, w: FloatArray, wz: FloatArray) -> Law:
    second = fourth = 0.0
    for value in x:
        square = value * value
        second += square
        fourth += square * square
    ascent = first_ascent(second / len(x), fourth / len(x))
    for _ in range(MOST_STEPS):
        ascent = ascended(ascent, _sums(x, ascent.candidate, terms, w, wz))
        if ascent.is_done:
            break
    return ascent.candidate


def fit_windows_python(windows: FloatArray, work: FloatArray, out: FloatArray) -> None:
    """Fill `out` with the location, scale and degrees of freedom of every window, as `fit_student_t` defines them.

    Parameters
    ----------
    windows
        (m, n) simple returns, finite.
    work
        (4, n) to work in.
    out
        (3, m).
    """
    x = work[0]
    for row in range(len(windows)):
        values = windows[row]
        mean, deviation = _moments(values)
        if deviation == 0.0:
            out[0, row], out[1, row], out[2, row] = mean, 0.0, DEGREES_OF_FREEDOM_BOUNDS[1]
        elif _is_unbounded(values):
            out[0, row] = out[1, row] = out[2, row] = math.nan
        else:
            for i in range(len(values)):
                x[i] = (values[i] - mean) / deviation
            law = _climbed(x, work[1], work[2], work[3])
            out[0, row], out[1, row], out[2, row] = law_of_returns(law, mean, deviation)


fit_windows = njit(cache=True, nogil=True, error_model="numpy")(fit_windows_python)


def fit_many(windows: FloatArray) -> StudentTFit:
    """`fit_student_t` of windows (m, n)."""
    out = np.empty((3, len(windows)))
    fit_windows(np.ascontiguousarray(windows), np.empty((4, windows.shape[1])), out)
    return StudentTFit(*out)
