"""Dispersion and the ratios that divide by it."""

from __future__ import annotations

import math

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.windows import quotient


def volatility(returns: FloatArray, periods_per_year: int) -> FloatArray:
    """Sample standard deviation (ddof 1), annualised by the square root of time.

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
    """Sample standard deviation (ddof 1); exactly 0 when all values are equal.

    Rounding in the mean would leave about 1e-19 for a constant series, and a Sharpe ratio of 1e15.
    """
    deviation: FloatArray = np.where(np.ptp(returns, axis=-1) == 0.0, 0.0, np.std(returns, axis=-1, ddof=1))
    return deviation


def sharpe_ratio(returns: FloatArray, risk_free_rate_daily: float, periods_per_year: int) -> FloatArray:
    """Arithmetic mean of excess returns over their standard deviation (ddof 1), annualised (Sharpe 1994).

    Returns
    -------
    FloatArray
        (...) ratio; NaN where the standard deviation is 0.
    """
    deviation = standard_deviation(returns)
    mean_excess = np.mean(returns - risk_free_rate_daily, axis=-1)
    return quotient(mean_excess, deviation, deviation > 0.0) * math.sqrt(periods_per_year)


def sortino_ratio(returns: FloatArray, target_daily: float, periods_per_year: int) -> FloatArray:
    """Mean excess over the target by the square root of LPM2 over all observations (Sortino & Price 1994).

    Returns
    -------
    FloatArray
        (...) annualised ratio; NaN where no return lies below the target.
    """
    excess = returns - target_daily
    downside = np.sqrt(np.mean(np.minimum(excess, 0.0) ** 2, axis=-1))
    return quotient(np.mean(excess, axis=-1), downside, downside > 0.0) * math.sqrt(periods_per_year)
