"""Maximum-likelihood fit of Student-t laws to windows of returns.

The climb is scalar arithmetic that a kernel compiles as it stands (`kernels.student_t`); only the sums over a
window's returns are written twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.base import special
from pipeline.base.types import FloatArray
from pipeline.risk.measures.dispersion import standard_deviation

DEGREES_OF_FREEDOM_BOUNDS = (2.1, 200.0)
"""Above 2 the variance is finite; at 200, where the fit of normal returns may end, 99 % quantiles differ from a
normal law's by under 1 %."""

LARGEST_EQUAL_ODDS = DEGREES_OF_FREEDOM_BOUNDS[0]
"""Equal returns over the others, above which the likelihood has no bound: it then grows like σ^(ν(n-m) - m) as the law
contracts on m of n returns, for the smallest ν."""

SMALLEST_SCALE = 1e-3
MOST_STEPS = 200

_SMALLEST_RECIPROCAL, _LARGEST_RECIPROCAL = 1.0 / DEGREES_OF_FREEDOM_BOUNDS[1], 1.0 / DEGREES_OF_FREEDOM_BOUNDS[0]
_LARGEST_START = 0.25
"""The law whose kurtosis is infinite."""
_TOLERANCE = 1e-7
"""Steps that short are taken without another look: Newton's next would be of the order of its square."""
_ROUNDING = 1e-13
_LONGEST_STEP = 1.0
_TOWARDS = 0.1
_FIRST_OF_SERIES = 16.0


@dataclass(frozen=True, slots=True)
class StudentTFit:
    """Location and scale in the unit of the returns, and degrees of freedom, (...) each."""

    location: FloatArray
    scale: FloatArray
    degrees_of_freedom: FloatArray


class Law(NamedTuple):
    """A law of standardised returns; `reciprocal` is 1/ν, in which the likelihood is smooth up to the normal law."""

    location: float
    log_scale: float
    reciprocal: float


class Sums(NamedTuple):
    """Means over the returns of a window, with z the return under a law, w = 1 / (1 + z²/ν) and v = 1 - w."""

    log_term: float
    """Of log(1 + z²/ν)."""
    v: float
    vw: float
    wz: float
    wwz: float


class Ascent(NamedTuple):
    """A climb: the best law so far, where it goes from there, and the law to be looked at next."""

    best: Law
    likelihood: float
    step: Law
    """The location in units of the scale."""
    share: float
    """Of the step; halved while the likelihood falls."""
    candidate: Law
    is_done: bool


def fit_student_t(returns: FloatArray) -> StudentTFit:
    """Maximise the likelihood over location, scale and degrees of freedom.

    Newton's method in location, log scale and 1/ν from the law with the window's mean, variance and kurtosis; where
    location and scale lie outside of the concave part, a step of the EM algorithm of Lange, Little & Taylor (1989).
    Steps are halved until the likelihood rises. Hand-written because ``scipy.stats.t.fit`` takes tens of
    milliseconds a window. The result depends on the window alone: nothing is carried from one to the next. Of two
    maxima, as a window of few returns may have, it is the one that the climb reaches.

    Parameters
    ----------
    returns
        (..., n) simple returns.

    Returns
    -------
    StudentTFit
        (...) each. A constant series has scale 0. NaN where the likelihood has no bound, or the scale falls under a
        thousandth of the standard deviation: more than two thirds of the returns are equal or nearly so.
    """
    shape, sessions = returns.shape[:-1], returns.shape[-1]
    rows = np.ascontiguousarray(returns).reshape(-1, sessions)
    mean, deviation = np.mean(rows, axis=-1), standard_deviation(rows)
    fits = np.empty((len(rows), 3))
    for row, values in enumerate(rows):
        if deviation[row] == 0.0:
            fits[row] = mean[row], 0.0, DEGREES_OF_FREEDOM_BOUNDS[1]
        elif _is_unbounded(values):
            fits[row] = np.nan
        else:
            law = _climbed((values - mean[row]) / deviation[row])
            fits[row] = law_of_returns(law, float(mean[row]), float(deviation[row]))
    return StudentTFit(*(values.reshape(shape) for values in np.ascontiguousarray(fits.T)))


def standard_student_t_density(t: FloatArray, freedom: FloatArray) -> FloatArray:
    """Density at t of the law with location 0 and scale 1."""
    constant = special.gammaln((freedom + 1.0) / 2.0) - special.gammaln(freedom / 2.0) - 0.5 * np.log(np.pi * freedom)
    density: FloatArray = np.exp(constant - (freedom + 1.0) / 2.0 * np.log1p(t * t / freedom))
    return density


def _is_unbounded(values: FloatArray) -> bool:
    """Whether so many returns are equal; if they are, the median is one of them."""
    middle = len(values) // 2
    equal = int(np.count_nonzero(values == np.partition(values, middle)[middle]))
    return equal > LARGEST_EQUAL_ODDS * (len(values) - equal)


def _climbed(x: FloatArray) -> Law:
    """The likeliest law of standardised returns (n,)."""
    squares = x * x
    ascent = first_ascent(float(np.mean(squares)), float(np.mean(squares * squares)))
    for _ in range(MOST_STEPS):
        ascent = ascended(ascent, _sums(x, ascent.candidate))
        if ascent.is_done:
            break
    return ascent.candidate


def _sums(x: FloatArray, law: Law) -> Sums:
    z = (x - law.location) / math.exp(law.log_scale)
    ratio = z * z * law.reciprocal
    w = 1.0 / (1.0 + ratio)
    v, wz = ratio * w, w * z
    totals = (np.add.reduce(values) for values in (np.log1p(ratio), v, v * w, wz, wz * w))
    return Sums(*(float(total) / len(x) for total in totals))


# From here on scalars only.


def law_of_returns(law: Law, mean: float, deviation: float) -> tuple[float, float, float]:
    """Location, scale and degrees of freedom of the returns themselves; NaN where the law has contracted."""
    scale = math.exp(law.log_scale)
    if not scale > SMALLEST_SCALE:
        return math.nan, math.nan, math.nan
    return mean + deviation * law.location, deviation * scale, 1.0 / law.reciprocal


def first_ascent(second_moment: float, fourth_moment: float) -> Ascent:
    """A climb that begins at the law with these moments about 0."""
    excess = fourth_moment / (second_moment * second_moment) - 3.0
    reciprocal = min(max(excess, 0.0) / (4.0 * max(excess, 0.0) + 6.0), _LARGEST_START)
    reciprocal = max(reciprocal, _SMALLEST_RECIPROCAL)
    start = Law(0.0, 0.5 * math.log(1.0 - 2.0 * reciprocal), reciprocal)
    return Ascent(start, -math.inf, Law(0.0, 0.0, 0.0), 1.0, start, False)


def ascended(ascent: Ascent, sums: Sums) -> Ascent:
    """Go on from the candidate if it is likelier than the best, and half as far from the best if it is not."""
    best, likelihood, step, share = ascent.best, ascent.likelihood, ascent.step, ascent.share
    found = log_likelihood(ascent.candidate, sums)
    if found >= likelihood - _ROUNDING:
        best, likelihood, share = ascent.candidate, found, 1.0
        step = newton_step(best, sums)
    else:
        share = 0.5 * share
    candidate = Law(
        best.location + share * step.location * math.exp(best.log_scale),
        best.log_scale + share * step.log_scale,
        min(max(best.reciprocal + share * step.reciprocal, _SMALLEST_RECIPROCAL), _LARGEST_RECIPROCAL),
    )
    longest = share * max(abs(step.location), abs(step.log_scale), abs(step.reciprocal))
    is_done = longest < _TOLERANCE or math.exp(candidate.log_scale) <= SMALLEST_SCALE
    return Ascent(best, likelihood, step, share, candidate, is_done)


def log_likelihood(law: Law, sums: Sums) -> float:
    """Mean log-likelihood of a window."""
    freedom = 1.0 / law.reciprocal
    constant = half_steps(0.5 * freedom)[0] - 0.5 * math.log(math.pi * freedom)
    return constant - law.log_scale - 0.5 * (freedom + 1.0) * sums.log_term


def newton_step(law: Law, sums: Sums) -> Law:
    """Newton's step, with 1/ν kept inside of its bounds and the others given what it really moves."""
    freedom, more = 1.0 / law.reciprocal, 1.0 + law.reciprocal
    _, first, second = half_steps(0.5 * freedom)
    v, vw = sums.v, sums.vw
    by_location, by_scale = more * sums.wz, (freedom + 1.0) * v - 1.0
    by_freedom = 0.5 * (first - law.reciprocal) - 0.5 * sums.log_term + 0.5 * more * v
    # Minus the second derivatives in location (in units of the scale) and log scale: [[a, b], [b, c]].
    a, b, c = more * (1.0 - v - 2.0 * vw), 2.0 * more * sums.wwz, 2.0 * (freedom + 1.0) * vw
    determinant = a * c - b * b
    if not (a > 0.0 and determinant > 0.0):
        return Law(_bounded(sums.wz / (1.0 - v)), _bounded(0.5 * math.log((freedom + 1.0) * v)), 0.0)
    crossed_location, crossed_scale = -freedom * (sums.wz - more * sums.wwz), -freedom * freedom * (v - more * vw)
    by_freedom_twice = (
        0.25 * second
        + 0.5 * law.reciprocal * law.reciprocal
        + 0.5 * law.reciprocal * ((1.0 - law.reciprocal) * v - more * vw)
    )
    gradient = -freedom * freedom * by_freedom
    curvature = freedom * freedom * freedom * (freedom * by_freedom_twice + 2.0 * by_freedom)
    location = (c * by_location - b * by_scale) / determinant
    scale = (a * by_scale - b * by_location) / determinant
    location_turn = (c * crossed_location - b * crossed_scale) / determinant
    scale_turn = (a * crossed_scale - b * crossed_location) / determinant
    # What is left of both once location and scale follow 1/ν.
    gradient += crossed_location * location + crossed_scale * scale
    curvature += crossed_location * location_turn + crossed_scale * scale_turn
    wanted = -gradient / curvature if curvature < 0.0 else math.copysign(_TOWARDS, gradient)
    moved = min(max(law.reciprocal + wanted, _SMALLEST_RECIPROCAL), _LARGEST_RECIPROCAL) - law.reciprocal
    return Law(_bounded(location + location_turn * moved), _bounded(scale + scale_turn * moved), moved)


def half_steps(x: float) -> tuple[float, float, float]:
    """The logarithm of Γ(x+½) / Γ(x) and its first two derivatives, without the cancellation of a difference.

    The asymptotic series in 1/x (Tricomi & Erdélyi 1951), after recurrence up to 16; the first term left out is below
    1e-17.
    """
    ratio, first, second = 1.0, 0.0, 0.0
    while x < _FIRST_OF_SERIES:
        low, high = 1.0 / x, 1.0 / (x + 0.5)
        ratio *= (x + 0.5) * low
        first += 0.5 * low * high
        second -= (low - high) * (low + high)
        x += 1.0
    y = 1.0 / x
    q = y * y
    far = 1.0 / 640.0 - q * (17.0 / 14336.0 - q * (31.0 / 18432.0 - q * (691.0 / 180224.0)))
    logarithm = 0.5 * math.log(x) - math.log(ratio) - y * (1.0 / 8.0 - q * (1.0 / 192.0 - q * far))
    far = 1.0 / 128.0 - q * (17.0 / 2048.0 - q * (31.0 / 2048.0 - q * (691.0 / 16384.0)))
    first += y * (0.5 + y * (1.0 / 8.0 - q * (1.0 / 64.0 - q * far)))
    far = 3.0 / 64.0 - q * (17.0 / 256.0 - q * (155.0 / 1024.0 - q * (2073.0 / 4096.0)))
    second -= q * (0.5 + y * (1.0 / 4.0 - q * (1.0 / 16.0 - q * far)))
    return logarithm, first, second


def _bounded(step: float) -> float:
    return min(max(step, -_LONGEST_STEP), _LONGEST_STEP)
