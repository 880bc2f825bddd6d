"""Stress of the risk itself: measured again with wilder scenarios, or with correlations nearer to 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.stress import Positions, require_covariance
from pipeline.risk.measures.stress_hypothetical import require_scale, require_shift
from pipeline.risk.measures.tail import historical_es, historical_var


@dataclass(frozen=True, slots=True)
class VolatilityShift:
    """Historical tail risk before and after a parallel shift of volatility.

    Parameters
    ----------
    scale
        What each deviation from the mean was multiplied by.
    confidence
        Of all four losses.
    horizon_sessions
        Of all four losses: that of the scenarios.
    var_before, var_after, es_before, es_after
        Losses as positive fractions of value.
    """

    scale: float
    confidence: float
    horizon_sessions: int
    var_before: float
    var_after: float
    es_before: float
    es_after: float


@dataclass(frozen=True, slots=True)
class CorrelationShift:
    """Gaussian risk before and after correlations move towards 1.

    Parameters
    ----------
    shift
        Fraction of the way to 1.
    confidence
        Of both values at risk.
    horizon_sessions
        Of all four numbers: that of the covariance.
    volatility_before, volatility_after
        Standard deviation over the horizon, as a fraction of value; not annualised.
    gaussian_var_before, gaussian_var_after
        Losses of a normal law with mean 0, as positive fractions of value.
    """

    shift: float
    confidence: float
    horizon_sessions: int
    volatility_before: float
    volatility_after: float
    gaussian_var_before: float
    gaussian_var_after: float


def volatility_shift(
    scenarios: FloatArray, scale: float, confidence: float, horizon_sessions: int = 1
) -> VolatilityShift:
    """Measure historical VaR and ES again after scaling every scenario's deviation from their mean.

    Both measures follow a shift and a scale (Artzner et al. 1999), so VaR becomes scale × (VaR + mean) - mean. A
    scaled scenario may lie below -100 %, as that of a levered portfolio does.

    Parameters
    ----------
    scenarios
        (n,) what today's holdings would have earned, as fractions.
    scale
        Not below 0; 1 leaves everything.
    confidence
        α in (0, 1).
    horizon_sessions
        Sessions that each scenario spans; only passed on.

    Raises
    ------
    MeasureInputError
        For scenarios, a scale or a confidence that cannot be used.
    """
    require_scale(scale)
    if scenarios.ndim != 1 or len(scenarios) < 2 or not np.isfinite(scenarios).all():
        raise MeasureInputError("scenarios: give one row of at least 2 finite returns; leave out incomplete sessions")
    shifted = scaled_deviations(scenarios, scale)
    return VolatilityShift(
        scale,
        confidence,
        horizon_sessions,
        float(historical_var(scenarios, confidence)),
        float(historical_var(shifted, confidence)),
        float(historical_es(scenarios, confidence)),
        float(historical_es(shifted, confidence)),
    )


def scaled_deviations(scenarios: FloatArray, scale: float) -> FloatArray:
    """(..., n) scenarios with the same mean and `scale` times the deviation from it; scale 1 leaves every bit."""
    mean = np.mean(scenarios, axis=-1, keepdims=True)
    # Written as a difference to the scenarios, not to the mean, so that scale 1 adds exactly nothing.
    scaled: FloatArray = scenarios + (scale - 1.0) * (scenarios - mean)
    return scaled


def correlation_shift(
    positions: Positions, covariance: FloatArray, shift: float, confidence: float, horizon_sessions: int = 1
) -> CorrelationShift:
    """Measure Gaussian volatility and VaR again after correlations moved towards 1.

    VaR = z(α) √(wᵀΣw), the mean taken as 0 (RiskMetrics 1996). Where a portfolio is short of something, its hedge
    gets better as correlations rise, and the risk after the shift can be the smaller one.

    Parameters
    ----------
    covariance
        (n, n) of the positions' returns over the horizon.
    horizon_sessions
        Sessions of the returns behind the covariance; only passed on.

    Raises
    ------
    MeasureInputError
        For a covariance, a shift or a confidence that cannot be used.
    """
    if not 0.5 < confidence < 1.0:
        raise MeasureInputError(f"confidence={confidence}: give a fraction between 0.5 and 1, such as 0.99")
    require_covariance(covariance, len(positions.symbols))
    before = portfolio_volatility(positions.weights, covariance)
    after = portfolio_volatility(positions.weights, shifted_covariance(covariance, shift))
    quantile = NormalDist().inv_cdf(confidence)
    return CorrelationShift(shift, confidence, horizon_sessions, before, after, quantile * before, quantile * after)


def shifted_covariance(covariance: FloatArray, shift: float) -> FloatArray:
    """Move every correlation ρ to ρ + a (1 - ρ), with the variances unchanged.

    In covariances that is (1 - a) Σ + a σσᵀ: no division by a variance that may be 0, and, as both terms are
    positive semidefinite, so is their sum.

    Parameters
    ----------
    covariance
        (n, n) positive semidefinite.
    shift
        a from 0 to 1.

    Raises
    ------
    MeasureInputError
        For a shift outside.
    """
    require_shift(shift)
    variances = np.maximum(np.diag(covariance), 0.0)
    deviations = np.sqrt(variances)
    shifted: FloatArray = (1.0 - shift) * covariance + shift * np.outer(deviations, deviations)
    np.fill_diagonal(shifted, variances)
    return shifted


def portfolio_volatility(weights: FloatArray, covariance: FloatArray) -> float:
    """√(wᵀΣw): standard deviation of the portfolio over the covariance's horizon (Markowitz 1952)."""
    # Rounding can leave a hedged portfolio's variance an ulp below 0.
    return math.sqrt(max(float(weights @ covariance @ weights), 0.0))
