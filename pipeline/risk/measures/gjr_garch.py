"""Volatility that rises more after losses than after gains: GJR-GARCH(1,1) with Student-t surprises.

r(t) = μ + ε(t), ε(t) = √h(t) · z(t), h(t+1) = ω + (α + γ · [ε(t) < 0]) ε(t)² + β h(t): Glosten, Jagannathan & Runkle
(1993), "On the relation between the expected value and the volatility of the nominal excess return on stocks", Journal
of Finance 48. The z are independent, with variance 1 and Student's law (Bollerslev 1987). Simulation draws from it,
and forecasts have to beat it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.kernels import gjr_garch as kernel

MINIMUM_RETURNS = 60
"""Ten a parameter. Fits of so few are rough; a window of four years or more is usual."""

_STARTS = ((0.03, 0.12, 0.97), (0.06, 0.2, 0.9), (0.01, 0.06, 0.99), (0.02, 0.05, 0.5))
"""Response to a gain, response to a loss, persistence: what stocks have, and what series without clusters have."""

_START_RECIPROCAL = 1.0 / 6.0


class GarchFitError(MeasureInputError):
    """Returns to which no such law can be fitted."""


@dataclass(frozen=True, slots=True)
class GjrGarch:
    """A fitted law; variances are of one session, in squared units of the returns.

    Parameters
    ----------
    mu
        Mean return of a session.
    omega, alpha, gamma, beta
        Of the recursion in the module's words. Persistence α + γ/2 + β is at most 0.9999.
    nu
        Degrees of freedom of the surprises, from 2.05 to 500.
    loglik
        Log-likelihood of the returns that it was fitted to.
    converged
        False where the climb ended before the top; the law is then the best that was met.
    """

    mu: float
    omega: float
    alpha: float
    gamma: float
    beta: float
    nu: float
    loglik: float
    converged: bool

    @property
    def persistence(self) -> float:
        """Share of a variance's distance from its mean that is left a session later: α + γ/2 + β."""
        return self.alpha + 0.5 * self.gamma + self.beta

    @property
    def long_run_variance(self) -> float:
        """What variances return to: ω / (1 - persistence)."""
        return self.omega / (1.0 - self.persistence)

    def packed(self, scale: float = 1.0, mean: float = 0.0) -> FloatArray:
        """The six numbers of the kernels, of returns from which `mean` was taken and that were divided by `scale`."""
        return np.array(
            [
                (self.mu - mean) / scale,
                self.omega / scale**2,
                self.alpha,
                self.alpha + self.gamma,
                self.persistence,
                1.0 / self.nu,
            ]
        )


def fit_gjr_garch_t(returns: FloatArray, *, start: GjrGarch | None = None) -> GjrGarch:
    """Fit by maximum likelihood, with arch's start of the recursion; its laws and likelihoods are the same (tested).

    Parameters
    ----------
    returns
        (n,) simple returns, oldest first, n ≥ 60.
    start
        A law to begin with, such as that of the window before; None for the likeliest of four, whose long-run variance
        is that of the returns.

    Raises
    ------
    GarchFitError
        For too few returns, NaN, infinity, or returns that do not vary.
    """
    x, mean, deviation = _standardised(returns)
    begun = _start(x) if start is None else start.packed(deviation, mean)
    law: FloatArray = np.clip(begun, kernel.LOWEST, kernel.HIGHEST)
    law[kernel.PERSISTENCE] = max(law[kernel.PERSISTENCE], 0.5 * (law[kernel.GAIN] + law[kernel.LOSS]))
    likelihood, converged = kernel.climb(x, law)
    if not math.isfinite(likelihood):
        raise GarchFitError("returns: the likelihood has no top; most of them are equal, check their prices")
    loglik = len(x) * (likelihood - math.log(deviation))
    return _unpacked(law, mean, deviation, loglik, bool(converged))


def conditional_variances(returns: FloatArray, law: GjrGarch) -> FloatArray:
    """Variance of every session given those before it, and of the one after the last.

    Parameters
    ----------
    returns
        (n,) simple returns, oldest first.

    Returns
    -------
    FloatArray
        (n + 1,).

    Raises
    ------
    GarchFitError
        For no returns, NaN or infinity.
    """
    values = _checked(returns, 1)
    out = np.empty(len(values) + 1)
    before = float(kernel.initial_variance(values))
    kernel.filter_variances(values, law.packed(), before, out)
    return out


def standardised_residuals(returns: FloatArray, law: GjrGarch) -> FloatArray:
    """(n,) surprises in standard deviations: (r - μ) / √h; errors as in `conditional_variances`."""
    residuals: FloatArray = (returns - law.mu) / np.sqrt(conditional_variances(returns, law)[:-1])
    return residuals


def forecast_variances(law: GjrGarch, next_variance: float, horizon_sessions: int) -> FloatArray:
    """Expected variance of each session ahead.

    E h(t+k) = v + (α + γ/2 + β)^(k-1) (h(t+1) - v), with v the long-run variance: the surprises' law is symmetric, so
    half of their squares follow losses.

    Parameters
    ----------
    next_variance
        Of the next session: the last of `conditional_variances`.

    Returns
    -------
    FloatArray
        (horizon_sessions,); their sum is the variance of the sum of returns.

    Raises
    ------
    GarchFitError
        For a horizon below 1.
    """
    if horizon_sessions < 1:
        raise GarchFitError(f"horizon_sessions={horizon_sessions}: give 1 or more")
    mean = law.long_run_variance
    remaining: FloatArray = np.power(law.persistence, np.arange(horizon_sessions, dtype=np.float64))
    return mean + remaining * (next_variance - mean)


def _checked(returns: FloatArray, least: int) -> FloatArray:
    values: FloatArray = np.ascontiguousarray(returns, dtype=np.float64)
    if values.ndim != 1:
        raise GarchFitError(f"returns: {values.ndim} dimensions are given; give one series")
    if len(values) < least:
        raise GarchFitError(f"returns: {len(values)} given, at least {least} are needed; give a longer history")
    if not np.isfinite(values).all():
        raise GarchFitError("returns: NaN or infinite; drop those sessions or repair their prices")
    return values


def _standardised(returns: FloatArray) -> tuple[FloatArray, float, float]:
    values = _checked(returns, MINIMUM_RETURNS)
    mean, deviation = float(values.mean()), float(values.std())
    if np.ptp(values) == 0.0 or not deviation > 0.0:
        raise GarchFitError("returns: they do not vary; check the prices")
    return (values - mean) / deviation, mean, deviation


def _start(x: FloatArray) -> FloatArray:
    before, slope, nothing = float(kernel.initial_variance(x)), np.empty(kernel.SIZE), np.empty((0, 0))
    laws = [
        np.array([0.0, 1.0 - persistence, gain, loss, persistence, _START_RECIPROCAL])
        for gain, loss, persistence in _STARTS
    ]
    return max(laws, key=lambda law: float(kernel.likelihood(x, law, before, slope, nothing)))


def _unpacked(law: FloatArray, mean: float, deviation: float, loglik: float, converged: bool) -> GjrGarch:
    mu, omega, gain, loss, persistence, reciprocal = law.tolist()
    return GjrGarch(
        mean + deviation * mu,
        deviation**2 * omega,
        gain,
        loss - gain,
        persistence - 0.5 * (gain + loss),
        1.0 / reciprocal,
        loglik,
        converged,
    )
