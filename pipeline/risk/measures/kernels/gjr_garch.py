"""GJR-GARCH(1,1) with Student-t surprises: the likelihood with its slopes, and the climb to its top, compiled.

The climb is written here because an optimiser in Python spends more between two looks at the likelihood than on them.
A law is six numbers, of returns with mean 0 and standard deviation 1: the mean, ω, the response to the square of a
gain, that to a loss, the persistence, and the reciprocal of the degrees of freedom, in which the likelihood is smooth
up to the normal law. In them the constraints are bounds, except β ≥ 0, beyond which the likelihood counts as none.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numba.extending import register_jitable

from pipeline.base.types import BoolArray, FloatArray
from pipeline.risk.measures.student_t_fit import half_steps

MEAN, OMEGA, GAIN, LOSS, PERSISTENCE, RECIPROCAL = range(6)
SIZE = 6

LOWEST = np.array([-10.0, 1e-7, 0.0, 0.0, 0.0, 1.0 / 500.0])
HIGHEST = np.array([10.0, 10.0, 1.0, 2.0, 0.9999, 1.0 / 2.05])
"""2.05 to 500 degrees of freedom, as arch has them."""

MOST_STEPS = 200
MOST_HALVINGS = 30
CONVERGED_RISE = 1e-8
"""By which the next step would raise the log-likelihood of the whole window."""

_ARMIJO = 1e-4
_FACTORS = 8
"""Variances whose product is taken before its logarithm: each lies between 1e-7 and 1e30, so that eight do not
overflow."""

register_jitable(half_steps)


def initial_variance_python(x: FloatArray) -> float:
    """What stands for the squares before the first return: those of the first 75, weighted by 0.94ⁱ, as in arch."""
    mean = 0.0
    for value in x:
        mean += value
    mean /= len(x)
    total, weights, weight = 0.0, 0.0, 1.0
    for i in range(min(75, len(x))):
        total += weight * (x[i] - mean) * (x[i] - mean)
        weights += weight
        weight *= 0.94
    return total / weights


initial_variance = njit(cache=True, nogil=True, error_model="numpy")(initial_variance_python)


def filter_variances_python(x: FloatArray, law: FloatArray, before: float, out: FloatArray) -> None:
    """Fill `out` with the variance of every session, and of the one after the last.

    Parameters
    ----------
    x
        (n,) returns.
    law
        (6,) as in the module's words.
    before
        `initial_variance`.
    out
        (n + 1,).
    """
    gain, loss = law[GAIN], law[LOSS]
    beta = law[PERSISTENCE] - 0.5 * (gain + loss)
    out[0] = law[OMEGA] + law[PERSISTENCE] * before
    for t in range(len(x)):
        surprise = x[t] - law[MEAN]
        response = gain if surprise >= 0.0 else loss
        out[t + 1] = law[OMEGA] + response * surprise * surprise + beta * out[t]


filter_variances = njit(cache=True, nogil=True, error_model="numpy")(filter_variances_python)


def likelihood_python(  # noqa: PLR0915 - one pass over the returns, and nothing is computed twice
    x: FloatArray, law: FloatArray, before: float, slope: FloatArray, outer: FloatArray
) -> float:
    """Mean log-likelihood of a window, and its slopes in the six numbers.

    Parameters
    ----------
    x
        (n,) returns with mean 0 and standard deviation 1.
    law, before
        As in `filter_variances_python`.
    slope
        (6,) to fill.
    outer
        (6, 6) to fill with the mean of the outer products of the sessions' slopes; (0, 0) where it is not wanted.
    """
    gain, loss, persistence = law[GAIN], law[LOSS], law[PERSISTENCE]
    beta = persistence - 0.5 * (gain + loss)
    slope[:] = 0.0
    if beta < 0.0:
        return -math.inf
    freedom = 1.0 / law[RECIPROCAL]
    spare, more = freedom - 2.0, freedom + 1.0
    constant, rise, _ = half_steps(0.5 * freedom)
    constant -= 0.5 * math.log(math.pi * spare)
    by_freedom = 0.5 * rise - 0.5 / spare
    outer[:] = 0.0
    score = np.zeros(SIZE)
    h = law[OMEGA] + persistence * before
    # How h changes with each number; the persistence moves β, and so do the responses, the other way.
    h_mean, h_omega, h_gain, h_loss, h_persistence = 0.0, 1.0, 0.0, 0.0, before
    variances = scales = 1.0
    logs_of_variances = logs_of_scales = 0.0
    s_mean = s_omega = s_gain = s_loss = s_persistence = s_share = 0.0
    n = len(x)
    for t in range(n):
        surprise = x[t] - law[MEAN]
        square = surprise * surprise
        scale = h * spare + square
        variances *= h
        scales *= scale
        if t % _FACTORS == _FACTORS - 1:
            logs_of_variances += math.log(variances)
            logs_of_scales += math.log(scales)
            variances = scales = 1.0
        inverse = 1.0 / (scale * h)
        share = square * h * inverse
        by_h = 0.5 * scale * inverse * (more * share - 1.0)
        by_surprise = more * surprise * h * inverse
        s_mean += by_h * h_mean + by_surprise
        s_omega += by_h * h_omega
        s_gain += by_h * h_gain
        s_loss += by_h * h_loss
        s_persistence += by_h * h_persistence
        s_share += share
        if len(outer) > 0:
            by_reciprocal = by_freedom - 0.5 * math.log(scale / (h * spare)) + 0.5 * more / spare * share
            score[MEAN], score[OMEGA], score[GAIN] = by_h * h_mean + by_surprise, by_h * h_omega, by_h * h_gain
            score[LOSS], score[PERSISTENCE] = by_h * h_loss, by_h * h_persistence
            score[RECIPROCAL] = -freedom * freedom * by_reciprocal
            for i in range(SIZE):
                for j in range(i + 1):
                    outer[i, j] += score[i] * score[j] / n
        is_gain = surprise >= 0.0
        response = gain if is_gain else loss
        h_mean = beta * h_mean - 2.0 * response * surprise
        h_omega = beta * h_omega + 1.0
        h_gain = beta * h_gain + (square if is_gain else 0.0) - 0.5 * h
        h_loss = beta * h_loss + (0.0 if is_gain else square) - 0.5 * h
        h_persistence = beta * h_persistence + h
        h = law[OMEGA] + response * square + beta * h
    logs_of_variances += math.log(variances)
    logs_of_scales += math.log(scales)
    log_term = (logs_of_scales - logs_of_variances) / n - math.log(spare)
    slope[MEAN], slope[OMEGA], slope[GAIN] = s_mean / n, s_omega / n, s_gain / n
    slope[LOSS], slope[PERSISTENCE] = s_loss / n, s_persistence / n
    slope[RECIPROCAL] = -freedom * freedom * (by_freedom - 0.5 * log_term + 0.5 * more / spare * s_share / n)
    for i in range(len(outer)):
        for j in range(i):
            outer[j, i] = outer[i, j]
    found: float = constant - 0.5 * logs_of_variances / n - 0.5 * more * log_term
    return found


likelihood = njit(cache=True, nogil=True, error_model="numpy")(likelihood_python)


@register_jitable
def _solved(matrix: FloatArray, right: FloatArray, is_free: BoolArray, out: FloatArray) -> None:
    """Solve for the free numbers by Cholesky's method; the diagonal grows until the matrix is positive definite."""
    lower = np.zeros((SIZE, SIZE))
    ridge = 1e-12
    is_positive = False
    while not is_positive:
        is_positive = True
        for i in range(SIZE):
            for j in range(i + 1):
                total = matrix[i, j] if is_free[i] and is_free[j] else 0.0
                if i == j:
                    total = total + ridge * (1.0 + total) if is_free[i] else 1.0
                for k in range(j):
                    total -= lower[i, k] * lower[j, k]
                if i != j:
                    lower[i, j] = total / lower[j, j]
                elif total > 0.0:
                    lower[i, i] = math.sqrt(total)
                else:
                    is_positive = False
                    lower[i, i] = 1.0
        ridge *= 100.0
    for i in range(SIZE):
        total = right[i] if is_free[i] else 0.0
        for k in range(i):
            total -= lower[i, k] * out[k]
        out[i] = total / lower[i, i]
    for back in range(SIZE):
        i = SIZE - 1 - back
        total = out[i]
        for k in range(i + 1, SIZE):
            total -= lower[k, i] * out[k]
        out[i] = total / lower[i, i]


@register_jitable
def _learned(curvature: FloatArray, step: FloatArray, change: FloatArray) -> None:
    """Broyden, Fletcher, Goldfarb and Shanno's update of the curvature by a step and the fall of the slopes."""
    product = np.zeros(SIZE)
    along, bent = 0.0, 0.0
    for i in range(SIZE):
        for j in range(SIZE):
            product[i] += curvature[i, j] * step[j]
    for i in range(SIZE):
        along += step[i] * change[i]
        bent += step[i] * product[i]
    if along <= 1e-3 * bent or bent <= 0.0:
        return
    for i in range(SIZE):
        for j in range(SIZE):
            curvature[i, j] += change[i] * change[j] / along - product[i] * product[j] / bent


def climb_python(x: FloatArray, law: FloatArray) -> tuple[float, bool]:
    """Raise the likelihood to its top.

    Quasi-Newton steps that begin with the curvature of Berndt, Hall, Hall & Hausman (1974), the mean of the outer
    products of slopes. Numbers at a bound that the slope leads out of are left out of a step (Bertsekas 1982).

    Parameters
    ----------
    x
        (n,) returns with mean 0 and standard deviation 1.
    law
        (6,) where the climb begins, and then where it ended.

    Returns
    -------
    tuple[float, bool]
        Mean log-likelihood, and whether no step would raise it any more.
    """
    before = initial_variance(x)
    slope, curvature, nothing = np.zeros(SIZE), np.zeros((SIZE, SIZE)), np.zeros((0, 0))
    ahead, ahead_slope, step, change = np.zeros(SIZE), np.zeros(SIZE), np.zeros(SIZE), np.zeros(SIZE)
    is_free = np.ones(SIZE, dtype=np.bool_)
    best = likelihood(x, law, before, slope, curvature)
    is_fresh = True
    for _ in range(MOST_STEPS):
        for i in range(SIZE):
            is_out = (law[i] <= LOWEST[i] and slope[i] < 0.0) or (law[i] >= HIGHEST[i] and slope[i] > 0.0)
            is_free[i] = not is_out
        _solved(curvature, slope, is_free, step)
        rise = 0.0
        for i in range(SIZE):
            rise += slope[i] * step[i]
        if 0.5 * rise * len(x) < CONVERGED_RISE:
            return best, True
        share, found, promised = 1.0, -math.inf, 0.0
        for _ in range(MOST_HALVINGS):
            promised = 0.0
            for i in range(SIZE):
                ahead[i] = min(max(law[i] + share * step[i], LOWEST[i]), HIGHEST[i])
                promised += slope[i] * (ahead[i] - law[i])
            found = likelihood(x, ahead, before, ahead_slope, nothing)
            if found >= best + _ARMIJO * promised and found > -math.inf:
                break
            share *= 0.5
        if not found > best:
            if is_fresh:
                return best, 0.5 * rise * len(x) < math.sqrt(CONVERGED_RISE)
            best = likelihood(x, law, before, slope, curvature)
            is_fresh = True
            continue
        is_fresh = False
        # Loops: numba compiles what checks the shapes of whole arrays for two seconds.
        for i in range(SIZE):
            step[i], change[i] = ahead[i] - law[i], slope[i] - ahead_slope[i]
            law[i], slope[i] = ahead[i], ahead_slope[i]
        _learned(curvature, step, change)
        best = found
    return best, False


climb = njit(cache=True, nogil=True, error_model="numpy")(climb_python)
