"""Student's t by maximum likelihood at a given location and shape: the scale and the degrees of freedom.

Newton's method, hand-written because scipy's optimisers solve their small equations by LAPACK, whose threads cost
simulations that run side by side more than the fit itself. The risk core fits the location as well
(`pipeline.risk.measures.student_t_fit`); here it is the mean, whatever the likelihood says of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.special import digamma, zeta

from pipeline.base.types import FloatArray
from pipeline.risk.measures.student_t_fit import DEGREES_OF_FREEDOM_BOUNDS

Pair: TypeAlias = tuple[float, float]
"""Something of the logarithms of scale and degrees of freedom."""

_LOWEST = (math.log(1e-6), math.log(DEGREES_OF_FREEDOM_BOUNDS[0]))
_HIGHEST = (math.log(10.0), math.log(DEGREES_OF_FREEDOM_BOUNDS[1]))
_START = (math.log(0.7), math.log(5.0))
_MOST_STEPS = 200
_CONVERGED_STEP = 1e-7
"""The error after a step of Newton's method is about the square of the step."""
_LONGEST_STEP = 1.0


@dataclass(frozen=True, slots=True)
class LogLikelihood:
    """Mean logarithm of the density, and how it changes with the logarithms of scale and degrees of freedom.

    Parameters
    ----------
    value
        Without the constant -½ k log π, for k dimensions.
    slope
        First derivatives.
    curvature
        Second derivatives: by the scale twice, by both, by the degrees of freedom twice.
    """

    value: float
    slope: Pair
    curvature: tuple[float, float, float]

    @classmethod
    def at(cls, point: Pair, squares: FloatArray, dimensions: int = 1) -> LogLikelihood:
        """Of vectors by their squared lengths (Kotz & Nadarajah 2004, section 1.1)."""
        freedom = math.exp(point[1])
        ratio = squares * (math.exp(-2.0 * point[0]) / freedom)
        below = 1.0 + ratio
        share = ratio / below
        log_term, pull, width = float(np.log(below).mean()), float(share.mean()), float((share / below).mean())
        more, half = (freedom + dimensions) / 2.0, freedom / 2.0
        rise = float(digamma(more) - digamma(half)) - dimensions / freedom
        bend = (
            half * half * float(zeta(2.0, more) - zeta(2.0, half)) + 0.5 * dimensions
        )  # ζ(2, x) is the trigamma function
        mixed = freedom * pull - 2.0 * more * width
        return cls(
            math.lgamma(more) - math.lgamma(half) - dimensions * (0.5 * math.log(freedom) + point[0]) - more * log_term,
            (2.0 * more * pull - dimensions, half * (rise - log_term) + more * pull),
            (-4.0 * more * width, mixed, half * (rise - log_term) + bend + freedom * pull - more * width),
        )


def most_likely(squares: FloatArray, dimensions: int = 1) -> Pair:
    """Scale and degrees of freedom.

    Parameters
    ----------
    squares
        (n,) squared lengths of vectors with mean 0 and the identity as covariance, which the bounds of the scale
        presume.
    """
    point = _START
    here = LogLikelihood.at(point, squares, dimensions)
    for _ in range(_MOST_STEPS):
        step = _ascent(point, here)
        if max(map(abs, step)) < _CONVERGED_STEP:
            break
        ahead = None
        while ahead is None and max(map(abs, step)) >= _CONVERGED_STEP:
            there = _within_bounds((point[0] + step[0], point[1] + step[1]))
            found = LogLikelihood.at(there, squares, dimensions)
            ahead = found if found.value > here.value else None
            step = (step[0] / 2.0, step[1] / 2.0)
        if ahead is None:
            break
        point, here = there, ahead
    return math.exp(point[0]), math.exp(point[1])


def _ascent(point: Pair, here: LogLikelihood) -> Pair:
    """Newton's step, or one along the slope where the likelihood is not concave; none that leads out of a bound."""
    slope_0, slope_1 = here.slope
    bend_0, mixed, bend_1 = here.curvature
    if _held(0, point, slope_0):
        slope_0, bend_0, mixed = 0.0, -1.0, 0.0
    if _held(1, point, slope_1):
        slope_1, bend_1, mixed = 0.0, -1.0, 0.0
    determinant = bend_0 * bend_1 - mixed * mixed
    step = (slope_0, slope_1)
    if bend_0 < 0.0 and determinant > 0.0:
        step = (
            (mixed * slope_1 - bend_1 * slope_0) / determinant,
            (mixed * slope_0 - bend_0 * slope_1) / determinant,
        )
    shorten = min(1.0, _LONGEST_STEP / max(abs(step[0]), abs(step[1]), _LONGEST_STEP))
    return step[0] * shorten, step[1] * shorten


def _held(parameter: int, point: Pair, slope: float) -> bool:
    """Whether a bound keeps a parameter from rising or falling along the slope."""
    return (point[parameter] <= _LOWEST[parameter] and slope < 0.0) or (
        point[parameter] >= _HIGHEST[parameter] and slope > 0.0
    )


def _within_bounds(point: Pair) -> Pair:
    return (
        min(max(point[0], _LOWEST[0]), _HIGHEST[0]),
        min(max(point[1], _LOWEST[1]), _HIGHEST[1]),
    )
