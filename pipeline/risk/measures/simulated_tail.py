"""Value at risk and expected shortfall of simulated sessions, with their standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.dispersion import standard_deviation
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.simulated_losses import SMALLEST_UNIFORM, compounded, generator_of, losses_tail
from pipeline.risk.measures.standard_tail import gaussian_standard_tail
from pipeline.risk.measures.tail_sample import TailSample
from pipeline.risk.measures.tail_spec import FittedTail, TailEstimate, TailSpec

_SYMMETRY_TOLERANCE = 1e-10


def monte_carlo_tail(returns: FloatArray, spec: TailSpec) -> TailEstimate:
    """Of independent sessions drawn from `TailSpec.law` fitted to the window, compounded over the horizon.

    Student-t by maximum likelihood, or normal with the sample's mean and standard deviation (ddof 1). Each of the
    `TailSpec.paths` of one session is the law's quantile at a uniform number (`standard_tail`); several sessions are
    drawn by the polar method.

    Parameters
    ----------
    returns
        (..., n) simple returns of one session.

    Returns
    -------
    TailEstimate
        (...) each, with the standard errors of the simulation; NaN where the fit is undefined.
    """
    fitted = monte_carlo_paths_tail if spec.horizon_sessions > 1 else fitted_monte_carlo_tail
    return fitted(TailSample(returns), spec)(spec.confidence)


def fitted_monte_carlo_tail(sample: TailSample, spec: TailSpec) -> FittedTail:
    """`monte_carlo_tail` of one session at any confidence: the tail of a standard law, moved and stretched."""
    law = _Law.of(sample, spec)

    def at(confidence: float) -> TailEstimate:
        is_normal = law.degrees_of_freedom is None
        standard = gaussian_standard_tail(spec, confidence) if is_normal else sample.simulated(spec, confidence)
        return standard.times(law.scale).lowered_by(law.location)

    return at


def monte_carlo_paths_tail(sample: TailSample, spec: TailSpec) -> FittedTail:
    """`monte_carlo_tail` of several sessions at any confidence, from the same paths."""
    shape = sample.returns.shape[:-1]
    law, shocks = _Law.of(sample, spec), _Shocks(spec)
    rows = [_earned(law.row(row), spec, shocks) for row in np.ndindex(shape)]
    earned = np.stack(rows) if rows else np.empty((0, spec.paths))
    return lambda confidence: losses_tail(earned, confidence).reshaped(shape)


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
    generator = generator_of(spec.seed)
    wealth = np.ones((spec.paths, len(weights)))
    for _ in range(spec.horizon_sessions):
        shocks = generator.standard_normal((spec.paths, len(weights))) @ root.T
        if spec.law == "student_t":
            mixing = 2.0 * generator.standard_gamma(degrees_of_freedom / 2.0, spec.paths)
            shocks *= np.sqrt((degrees_of_freedom - 2.0) / mixing)[:, None]
        wealth = compounded(wealth, mean + shocks)
    return losses_tail((wealth - 1.0) @ weights, spec.confidence)


class _Shocks:
    """Standard shocks of either law from one set of uniform numbers.

    Student-t by the polar method of Bailey (1994), "Polar generation of random variates with the
    t-distribution", Math. Comp. 62: √(ν(w^(-2/ν)-1)) cos θ, of which ν alone differs between windows. A quantile at
    each number would take ten times as long.
    """

    def __init__(self, spec: TailSpec) -> None:
        generator = generator_of(spec.seed)
        shape = (spec.horizon_sessions, spec.paths)
        self._log_radius = np.log(np.maximum(generator.random(shape), SMALLEST_UNIFORM))
        self._cosine = np.cos(2.0 * np.pi * generator.random(shape))

    def student_t(self, session: int, freedom: float) -> FloatArray:
        """(paths,) of the law with these degrees of freedom."""
        radius = np.sqrt(freedom * np.expm1(self._log_radius[session] * (-2.0 / freedom)))
        shocks: FloatArray = radius * self._cosine[session]
        return shocks

    def gaussian(self, session: int) -> FloatArray:
        """(paths,): Box & Muller (1958), the limit of the above for ν → ∞."""
        shocks: FloatArray = np.sqrt(-2.0 * self._log_radius[session]) * self._cosine[session]
        return shocks


@dataclass(frozen=True, slots=True)
class _Law:
    """What is drawn from for each window, (...) each; a normal law has no degrees of freedom."""

    location: FloatArray
    scale: FloatArray
    degrees_of_freedom: FloatArray | None

    @classmethod
    def of(cls, sample: TailSample, spec: TailSpec) -> _Law:
        """`TailSpec.law` of each window."""
        if spec.law == "gaussian":
            return cls(np.mean(sample.returns, axis=-1), standard_deviation(sample.returns), None)
        fit = sample.student_t
        return cls(fit.location, fit.scale, fit.degrees_of_freedom)

    def row(self, row: tuple[int, ...]) -> tuple[float, float, float | None]:
        """Location, scale and degrees of freedom of one window."""
        freedom = None if self.degrees_of_freedom is None else float(self.degrees_of_freedom[row])
        return float(self.location[row]), float(self.scale[row]), freedom


def _earned(law: tuple[float, float, float | None], spec: TailSpec, shocks: _Shocks) -> FloatArray:
    """(paths,) simulated returns over the horizon."""
    location, scale, freedom = law
    wealth = np.ones(spec.paths)
    for session in range(spec.horizon_sessions):
        shock = shocks.gaussian(session) if freedom is None else shocks.student_t(session, freedom)
        wealth = compounded(wealth, location + scale * shock)
    return wealth - 1.0


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
