"""Dispersion, ratios, moments and comparisons with a benchmark as other libraries define them."""

from __future__ import annotations

import math

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures import dispersion, growth, moments, relative
from pipeline.risk.measures.convention_spec import ConventionSpec
from pipeline.risk.measures.windows import quotient


def sharpe_per_session(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Not annualised."""
    return dispersion.sharpe_ratio(returns, spec.risk_free_rate_daily, 1)


def sharpe_annual(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """The platform's."""
    return dispersion.sharpe_ratio(returns, spec.risk_free_rate_daily, spec.periods_per_year)


def sortino_annual(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """The platform's."""
    return dispersion.sortino_ratio(returns, spec.risk_free_rate_daily, spec.periods_per_year)


def sortino_about_the_mean(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Per session, over the semi-deviation below the *mean*, with n - 1."""
    mean = np.mean(returns, axis=-1, keepdims=True)
    return _over_semi_deviation(returns, mean, spec)


def sortino_about_the_rate(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Per session, over the semi-deviation below the risk-free rate, with n - 1."""
    return _over_semi_deviation(returns, np.asarray(spec.risk_free_rate_daily), spec)


def _over_semi_deviation(returns: FloatArray, target: FloatArray, spec: ConventionSpec) -> FloatArray:
    squares = np.minimum(returns - target, 0.0) ** 2
    deviation = np.sqrt(np.sum(squares, axis=-1) / (returns.shape[-1] - 1))
    return quotient(np.mean(returns - spec.risk_free_rate_daily, axis=-1), deviation, deviation > 0.0)


def compound_growth(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """The platform's."""
    return growth.cagr(returns, spec.periods_per_year)


def volatility_annual(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """The platform's."""
    return dispersion.volatility(returns, spec.periods_per_year)


def volatility_per_session(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """Not annualised."""
    return dispersion.standard_deviation(returns)


def skewness(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """The platform's."""
    return moments.skewness(returns)


def adjusted_skewness(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """Bias-corrected: G1 of Joanes & Gill (1998)."""
    return moments.skewness(returns, "adjusted")


def adjusted_kurtosis(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """Excess, bias-corrected: G2 of Joanes & Gill (1998)."""
    return moments.excess_kurtosis(returns, "adjusted")


def kurtosis(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """3 for a normal law."""
    return moments.excess_kurtosis(returns) + 3.0


def square_root_kurtosis(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """Root of the fourth central moment, which is not divided by the variance."""
    deviation = returns - np.mean(returns, axis=-1, keepdims=True)
    fourth: FloatArray = np.mean(deviation**4, axis=-1)
    return np.sqrt(fourth)


def hits_of_moves(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """Share of the sessions with a return other than 0 that gained; 0 where there are none."""
    moved = np.sum(returns != 0.0, axis=-1)
    share: FloatArray = np.sum(returns > 0.0, axis=-1) / np.maximum(moved, 1)
    return share


def gain_loss_ratio(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """The platform's."""
    return growth.gain_loss_ratio(returns)


def omega_ratio(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """The platform's."""
    return dispersion.omega_ratio(returns, spec.risk_free_rate_daily)


def mean_absolute_deviation(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """The platform's."""
    return dispersion.mean_absolute_deviation(returns)


def downside_deviation(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """The platform's."""
    return dispersion.downside_deviation(returns, spec.risk_free_rate_daily, spec.periods_per_year)


def semi_deviation_annual(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Below the mean, with n - 1."""
    sessions = returns.shape[-1]
    return dispersion.semi_deviation(returns, spec.periods_per_year) * math.sqrt(sessions / (sessions - 1))


def semi_deviation_per_session(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """Below the mean, with n - 1, not annualised."""
    sessions = returns.shape[-1]
    return dispersion.semi_deviation(returns, 1) * math.sqrt(sessions / (sessions - 1))


def mean_shortfall_of_mean(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """First lower partial moment below the *mean*, which is half of the mean absolute deviation."""
    return dispersion.mean_absolute_deviation(returns) / 2.0


def mean_shortfall(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """The platform's: first lower partial moment below the rate."""
    return dispersion.lower_partial_moment(returns, spec.risk_free_rate_daily, 1)


def beta(returns: FloatArray, benchmark: FloatArray, _: ConventionSpec) -> FloatArray:
    """The platform's."""
    return relative.beta(returns, benchmark)


def r_squared(returns: FloatArray, benchmark: FloatArray, _: ConventionSpec) -> FloatArray:
    """The platform's."""
    return relative.r_squared(returns, benchmark)


def alpha_without_rate(returns: FloatArray, benchmark: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Intercept of the returns themselves, multiplied by the periods of a year."""
    return relative.jensen_alpha(returns, benchmark, 0.0, spec.periods_per_year)


def compounded_alpha(returns: FloatArray, benchmark: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Jensen's intercept of one session, compounded over a year."""
    daily = relative.jensen_alpha(returns, benchmark, spec.risk_free_rate_daily, 1)
    annual: FloatArray = np.power(1.0 + daily, spec.periods_per_year) - 1.0
    return annual


def information_ratio_per_session(returns: FloatArray, benchmark: FloatArray, _: ConventionSpec) -> FloatArray:
    """Not annualised."""
    return relative.information_ratio(returns, benchmark, 1)


def annual_up_capture(returns: FloatArray, benchmark: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Growth of a year of the sessions on which the benchmark rose, by the benchmark's."""
    return relative.up_capture(returns, benchmark, spec.periods_per_year)


def annual_down_capture(returns: FloatArray, benchmark: FloatArray, spec: ConventionSpec) -> FloatArray:
    """The same of the sessions on which the benchmark fell."""
    return relative.down_capture(returns, benchmark, spec.periods_per_year)
