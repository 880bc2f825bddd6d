"""Value at risk and expected shortfall of simulated sessions, with their standard errors.

Random numbers come from numpy's Philox, which is counter-based and keyed by the seed alone. Every window is given
the same numbers, so a window's figures do not depend on the windows computed with it, and differences
between windows are not noise of the draw; nor does the error of a rolling series average out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from pipeline.base.types import FloatArray
from pipeline.risk.measures.dispersion import standard_deviation
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.student_t_fit import fit_student_t
from pipeline.risk.measures.tail import quantile_rank
from pipeline.risk.measures.tail_spec import FittedTail, TailEstimate, TailSpec

_SYMMETRY_TOLERANCE = 1e-10
_BLOCK = 2**20
"""Simulated returns held at a time: 8 MiB."""


def monte_carlo_tail(returns: FloatArray, spec: TailSpec) -> TailEstimate:
    """Of independent sessions drawn from `TailSpec.law` fitted to the window, compounded over the horizon.

    Student-t by maximum likelihood, or normal with the sample's mean and standard deviation (ddof 1).

    Parameters
    ----------
    returns
        (..., n) simple returns of one session.

    Returns
    -------
    TailEstimate
        (...) each, with the standard errors of the simulation; NaN where the fit is undefined.
    """
    return fitted_monte_carlo_tail(returns, spec)(spec.confidence)


def fitted_monte_carlo_tail(returns: FloatArray, spec: TailSpec) -> FittedTail:
    """`monte_carlo_tail` at any confidence; the law is fitted once, and drawn from again each time."""
    rows = returns.reshape(-1, returns.shape[-1])
    law, shocks = _Law.of(rows, spec), _Shocks(spec)
    block = max(1, _BLOCK // spec.paths)

    def at(confidence: float) -> TailEstimate:
        blocks = (slice(first, first + block) for first in range(0, len(rows), block))
        parts = [losses_tail(_earned(law.part(part), spec, shocks), confidence) for part in blocks]
        if not parts:
            empty = np.empty(returns.shape[:-1])
            return TailEstimate(empty, empty, empty, empty)
        columns = zip(*((p.var, p.es, p.var_standard_error, p.es_standard_error) for p in parts), strict=True)
        return TailEstimate(*(np.concatenate(column) for column in columns)).reshaped(returns.shape[:-1])

    return at


def portfolio_monte_carlo_tail(
    weights: FloatArray,
    mean: FloatArray,
    covariance: FloatArray,
    spec: TailSpec,
    degrees_of_freedom: float = 5.0,
) -> TailEstimate:
    """Of positions whose returns are drawn together, held without rebalancing over the horizon.

    No position loses more than its whole value.

    Parameters
    ----------
    weights
        (k,) value of each position as a fraction of the portfolio's.
    mean
        (k,) expected simple return of each per session.
    covariance
        (k, k) of the returns per session, of full rank: the shrunk estimate of Ledoit & Wolf is.
    spec
        With the law ``"student_t"``, all positions share one mixing variable per session (McNeil, Frey &
        Embrechts 2015, section 6.2), scaled so that `covariance` stays their covariance.
    degrees_of_freedom
        Of the Student-t law, above 2; unused otherwise.

    Returns
    -------
    TailEstimate
        Of shape () each, with the standard errors of the simulation.
    """
    root = _cholesky(weights, mean, covariance)
    if spec.law == "student_t" and not degrees_of_freedom > 2.0:
        raise MeasureInputError(f"degrees_of_freedom={degrees_of_freedom}: give more than 2, so that a variance exists")
    generator = _generator(spec.seed)
    wealth = np.ones((spec.paths, len(weights)))
    for _ in range(spec.horizon_sessions):
        shocks = generator.standard_normal((spec.paths, len(weights))) @ root.T
        if spec.law == "student_t":
            mixing = 2.0 * generator.standard_gamma(degrees_of_freedom / 2.0, spec.paths)
            shocks *= np.sqrt((degrees_of_freedom - 2.0) / mixing)[:, None]
        wealth = compounded(wealth, mean + shocks)
    return losses_tail((wealth - 1.0) @ weights, spec.confidence)


def losses_tail(earned: FloatArray, confidence: float) -> TailEstimate:
    """Figures of simulated returns (..., paths) as `historical_var` and `historical_es`, with standard errors.

    ES is VaR plus the mean excess over it / (1-α), the objective of Rockafellar & Uryasev (2002) at its minimum: one
    partial sort serves all four figures. The error of ES is that of the mean excess; that of VaR is half the
    distance between the order statistics one standard deviation of the rank to either side (Serfling 1980,
    section 2.6; Glasserman 2003, section 9.1).
    """
    paths = earned.shape[-1]
    rank, spread = quantile_rank(paths, confidence), math.sqrt(paths * confidence * (1.0 - confidence))
    low, high = max(1, math.floor(rank - spread)), min(paths, math.ceil(rank + spread))
    tail = np.sort(np.partition(-earned, low - 1, axis=-1)[..., low - 1 :], axis=-1)
    var = tail[..., rank - low]
    var_error = (tail[..., high - low] - tail[..., 0]) * (spread / (high - low))
    excess = tail[..., rank - low :] - var[..., None]
    mean, square = np.sum(excess, axis=-1) / paths, np.sum(excess * excess, axis=-1) / paths
    es_error = np.sqrt(np.maximum(square - mean * mean, 0.0) / paths) / (1.0 - confidence)
    return TailEstimate(var, var + mean / (1.0 - confidence), var_error, es_error)


def compounded(wealth: FloatArray, earned: FloatArray) -> FloatArray:
    """Wealth after a session; it cannot fall below 0, whatever the tail of the law says."""
    grown: FloatArray = wealth * np.maximum(1.0 + earned, 0.0)
    return grown


def gaussian_shocks(spec: TailSpec) -> FloatArray:
    """(horizon, paths) standard normal numbers of a seed."""
    shocks: FloatArray = ndtri(uniform_draws(spec))
    return shocks


def uniform_draws(spec: TailSpec) -> FloatArray:
    """(horizon, paths) numbers in (0, 1) of a seed."""
    draws = _generator(spec.seed).random((spec.horizon_sessions, spec.paths))
    # The generator's lowest value is 0, whose quantile is infinite.
    return np.maximum(draws, 2.0**-54)


class _Shocks:
    """Standard shocks of either law from one set of uniform numbers.

    Student-t by the polar method of Bailey (1994), "Polar generation of random variates with the
    t-distribution", Math. Comp. 62: √(ν(w^(-2/ν)-1)) cos θ, of which ν alone differs between windows.
    """

    def __init__(self, spec: TailSpec) -> None:
        generator = _generator(spec.seed)
        shape = (spec.horizon_sessions, spec.paths)
        self._log_radius = np.log(np.maximum(generator.random(shape), 2.0**-54))
        self._cosine = np.cos(2.0 * np.pi * generator.random(shape))

    def student_t(self, session: int, freedom: FloatArray) -> FloatArray:
        """(m, paths) for (m,) degrees of freedom."""
        column = freedom[:, None]
        radius = np.sqrt(column * np.expm1(self._log_radius[session] * (-2.0 / column)))
        shocks: FloatArray = radius * self._cosine[session]
        return shocks

    def gaussian(self, session: int) -> FloatArray:
        """(1, paths): Box & Muller (1958), the limit of the above for ν → ∞."""
        shocks: FloatArray = np.sqrt(-2.0 * self._log_radius[session]) * self._cosine[session]
        return shocks[None]


@dataclass(frozen=True, slots=True)
class _Law:
    """What is drawn from for each window, (m,) each; a normal law has no degrees of freedom."""

    location: FloatArray
    scale: FloatArray
    degrees_of_freedom: FloatArray | None

    @classmethod
    def of(cls, rows: FloatArray, spec: TailSpec) -> _Law:
        """Fit `TailSpec.law` to windows (m, n)."""
        if spec.law == "gaussian":
            return cls(np.mean(rows, axis=-1), standard_deviation(rows), None)
        fit = fit_student_t(rows)
        return cls(fit.location, fit.scale, fit.degrees_of_freedom)

    def part(self, rows: slice) -> _Law:
        """The laws of some of the windows."""
        freedom = None if self.degrees_of_freedom is None else self.degrees_of_freedom[rows]
        return _Law(self.location[rows], self.scale[rows], freedom)


def _earned(law: _Law, spec: TailSpec, shocks: _Shocks) -> FloatArray:
    """(m, paths) simulated returns over the horizon."""
    freedom = law.degrees_of_freedom
    wealth = np.ones((len(law.location), spec.paths))
    earned = wealth
    for session in range(spec.horizon_sessions):
        shock = shocks.gaussian(session) if freedom is None else shocks.student_t(session, freedom)
        earned = law.location[:, None] + law.scale[:, None] * shock
        wealth = compounded(wealth, earned) if spec.horizon_sessions > 1 else wealth
    return earned if spec.horizon_sessions == 1 else wealth - 1.0


def _cholesky(weights: FloatArray, mean: FloatArray, covariance: FloatArray) -> FloatArray:
    """Lower root of the covariance, after checks of all three."""
    positions = len(weights)
    for name, values, shape in (
        ("weights", weights, (positions,)),
        ("mean", mean, (positions,)),
        ("covariance", covariance, (positions, positions)),
    ):
        if values.shape != shape or positions == 0:
            raise MeasureInputError(f"{name}: shape {values.shape}; give {shape}, one entry a position")
        if not np.isfinite(values).all():
            raise MeasureInputError(f"{name}: NaN or infinite; repair or drop those positions")
    if np.abs(covariance - covariance.T).max() > _SYMMETRY_TOLERANCE * np.abs(covariance).max():
        raise MeasureInputError("covariance: not symmetric; give the covariance matrix of the positions' returns")
    try:
        return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise MeasureInputError(
            "covariance: not positive definite; shrink it (Ledoit & Wolf) or repair it (Higham)"
        ) from None


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))
