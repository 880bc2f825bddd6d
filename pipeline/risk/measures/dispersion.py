"""Dispersion and the ratios that divide by it."""

from __future__ import annotations

import math

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.windows import quotient

RISKMETRICS_DECAY = 0.94
"""J. P. Morgan/Reuters, RiskMetrics Technical Document, 4th edition (1996), chapter 5: daily data."""


def volatility(returns: FloatArray, periods_per_year: int) -> FloatArray:
    """Sample standard deviation (ddof 1), annualised by the square root of time (Hull 2018, chapter 15).

    Parameters
    ----------
    returns
        (..., n) simple returns.

    Returns
    -------
    FloatArray
        (...) fraction per year; 0 for a constant series.
    """
    return standard_deviation(returns) * math.sqrt(periods_per_year)


def standard_deviation(returns: FloatArray) -> FloatArray:
    """Sample standard deviation (ddof 1; Hull 2018, chapter 15); exactly 0 when all values are equal.

    Rounding in the mean would leave about 1e-19 for a constant series, and a Sharpe ratio of 1e15.
    """
    deviation: FloatArray = np.where(np.ptp(returns, axis=-1) == 0.0, 0.0, np.std(returns, axis=-1, ddof=1))
    return deviation


def sharpe_ratio(returns: FloatArray, risk_free_rate_daily: float | FloatArray, periods_per_year: int) -> FloatArray:
    """Arithmetic mean of excess returns over their standard deviation (ddof 1), annualised (Sharpe 1994).

    Parameters
    ----------
    returns
        (..., n) simple returns.
    risk_free_rate_daily
        One rate, or (..., n) a rate of each session. By one rate the excess varies as the returns do.

    Returns
    -------
    FloatArray
        (...) ratio; NaN where the standard deviation is 0, and where a rate is NaN.
    """
    excess = returns - risk_free_rate_daily
    deviation = standard_deviation(excess if np.ndim(risk_free_rate_daily) else returns)
    return quotient(np.mean(excess, axis=-1), deviation, deviation > 0.0) * math.sqrt(periods_per_year)


def sortino_ratio(returns: FloatArray, target_daily: float | FloatArray, periods_per_year: int) -> FloatArray:
    """Mean excess over the target by the square root of LPM2 over all observations (Sortino & Price 1994).

    Parameters
    ----------
    returns
        (..., n) simple returns.
    target_daily
        One target, or (..., n) one of each session; the registered measure's is the risk-free rate.

    Returns
    -------
    FloatArray
        (...) annualised ratio; NaN where no return lies below the target, and where a target is NaN.
    """
    excess = returns - target_daily
    downside = np.sqrt(np.mean(np.minimum(excess, 0.0) ** 2, axis=-1))
    return quotient(np.mean(excess, axis=-1), downside, downside > 0.0) * math.sqrt(periods_per_year)


def ewma_volatility(returns: FloatArray, periods_per_year: int, decay: float = RISKMETRICS_DECAY) -> FloatArray:
    """Exponentially weighted volatility about a mean of zero (RiskMetrics 1996, chapter 5), annualised.

    σ² = Σ λ^i r² / Σ λ^i with the last return at i = 0: over the window alone, so that a window's value does not
    depend on the returns before it.

    Parameters
    ----------
    returns
        (..., n) simple returns, oldest first.
    decay
        λ in (0, 1).

    Returns
    -------
    FloatArray
        (...) fraction per year.
    """
    variance: FloatArray = np.sum(returns * returns * decaying_weights(returns.shape[-1], decay), axis=-1)
    return np.sqrt(variance) * math.sqrt(periods_per_year)


def decaying_weights(sessions: int, decay: float) -> FloatArray:
    """(sessions,) weights λ^i that sum to 1, oldest first (RiskMetrics 1996).

    Raises
    ------
    MeasureInputError
        If `decay` is not between 0 and 1.
    """
    if not 0.0 < decay < 1.0:
        raise MeasureInputError(f"decay={decay}: give a fraction between 0 and 1, such as 0.94")
    powers = decay ** np.arange(sessions - 1.0, -1.0, -1.0)
    weights: FloatArray = powers / np.sum(powers)
    return weights


def lower_partial_moment(returns: FloatArray, target_daily: float | FloatArray, order: int) -> FloatArray:
    """Mean of the shortfalls below the target raised to `order`, over all observations (Bawa 1975, Fishburn 1977).

    Parameters
    ----------
    returns
        (..., n) simple returns.
    target_daily
        One target, or (..., n) one of each session.
    order
        0 counts the shortfalls, 1 averages them, 2 averages their squares.

    Returns
    -------
    FloatArray
        (...) not annualised.

    Raises
    ------
    MeasureInputError
        For a negative order.
    """
    if order < 0:
        raise MeasureInputError(f"order={order}: give 0, 1, 2 or more")
    shortfall = np.maximum(target_daily - returns, 0.0)
    # sign, not a comparison: it passes NaN on.
    counted = np.sign(shortfall) if order == 0 else shortfall**order
    moment: FloatArray = np.mean(counted, axis=-1)
    return moment


def downside_deviation(returns: FloatArray, target_daily: float | FloatArray, periods_per_year: int) -> FloatArray:
    """Root of the second lower partial moment, annualised: what the Sortino ratio divides by (Sortino & Price 1994).

    Returns
    -------
    FloatArray
        (...) fraction per year; 0 where no return lies below the target.
    """
    return np.sqrt(lower_partial_moment(returns, target_daily, 2)) * math.sqrt(periods_per_year)


def semi_deviation(returns: FloatArray, periods_per_year: int) -> FloatArray:
    """Root mean square of the deviations below the mean, over all observations (Markowitz 1959), annualised.

    Not divided by n - 1: half of a symmetric distribution's variance, whatever n.

    Returns
    -------
    FloatArray
        (...) fraction per year; 0 for a constant series.
    """
    below = np.minimum(_deviations(returns), 0.0)
    mean_square: FloatArray = np.mean(below * below, axis=-1)
    return np.sqrt(mean_square) * math.sqrt(periods_per_year)


def mean_absolute_deviation(returns: FloatArray) -> FloatArray:
    """Mean absolute deviation from the mean (Konno & Yamazaki 1991).

    Returns
    -------
    FloatArray
        (...) fraction per session: the root of time does not scale it; 0 for a constant series.
    """
    deviation: FloatArray = np.mean(np.abs(_deviations(returns)), axis=-1)
    return deviation


def omega_ratio(returns: FloatArray, target_daily: float | FloatArray) -> FloatArray:
    """Mean gain above the target by the mean shortfall below it, both over all observations (Keating & Shadwick 2002).

    Returns
    -------
    FloatArray
        (...) ratio; NaN where no return lies below the target.
    """
    shortfall = lower_partial_moment(returns, target_daily, 1)
    gain = np.mean(np.maximum(returns - target_daily, 0.0), axis=-1)
    return quotient(gain, shortfall, shortfall > 0.0)


def _deviations(returns: FloatArray) -> FloatArray:
    """From the mean; exactly 0 when all values are equal."""
    constant = np.ptp(returns, axis=-1, keepdims=True) == 0.0
    deviations: FloatArray = np.where(constant, 0.0, returns - np.mean(returns, axis=-1, keepdims=True))
    return deviations
