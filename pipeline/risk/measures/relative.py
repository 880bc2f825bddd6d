"""Measures against a benchmark."""

from __future__ import annotations

import math

import numpy as np

from pipeline.base.types import BoolArray, FloatArray
from pipeline.risk.measures.dispersion import standard_deviation
from pipeline.risk.measures.windows import quotient


def beta(returns: FloatArray, benchmark: FloatArray) -> FloatArray:
    """Slope of the ordinary least squares regression on the benchmark's returns (Sharpe 1964).

    Parameters
    ----------
    returns, benchmark
        (..., n) simple returns on the same sessions.

    Returns
    -------
    FloatArray
        (...) ratio; NaN where the benchmark does not vary.
    """
    deviation = benchmark - np.mean(benchmark, axis=-1, keepdims=True)
    covariance = np.sum(deviation * (returns - np.mean(returns, axis=-1, keepdims=True)), axis=-1)
    variance = np.sum(deviation * deviation, axis=-1)
    varies = np.ptp(benchmark, axis=-1) > 0.0
    return quotient(covariance, variance, varies)


def jensen_alpha(
    returns: FloatArray, benchmark: FloatArray, risk_free_rate_daily: float | FloatArray, periods_per_year: int
) -> FloatArray:
    """Intercept of the regression of excess returns on those of the benchmark (Jensen 1968), annualised.

    Annualised by multiplying the daily intercept by the periods of a year: it is an arithmetic mean, as in
    the Sharpe ratio, and is not compounded.

    Parameters
    ----------
    returns, benchmark
        (..., n) simple returns on the same sessions.
    risk_free_rate_daily
        One rate, or (..., n) a rate of each session. By one rate the slope is that of the returns themselves.

    Returns
    -------
    FloatArray
        (...) fraction per year; NaN where the benchmark does not vary, and where a rate is NaN.
    """
    excess, benchmark_excess = returns - risk_free_rate_daily, benchmark - risk_free_rate_daily
    slope = beta(excess, benchmark_excess) if np.ndim(risk_free_rate_daily) else beta(returns, benchmark)
    alpha: FloatArray = (np.mean(excess, axis=-1) - slope * np.mean(benchmark_excess, axis=-1)) * periods_per_year
    return alpha


def tracking_error(returns: FloatArray, benchmark: FloatArray, periods_per_year: int) -> FloatArray:
    """Sample standard deviation (ddof 1) of the active returns, annualised by the square root of time (Roll 1992).

    Returns
    -------
    FloatArray
        (...) fraction per year; 0 where the two differ by the same on every session.
    """
    return _active_deviation(returns, benchmark) * math.sqrt(periods_per_year)


def information_ratio(returns: FloatArray, benchmark: FloatArray, periods_per_year: int) -> FloatArray:
    """Arithmetic mean of the active returns by their standard deviation, annualised (Grinold & Kahn 2000).

    Returns
    -------
    FloatArray
        (...) ratio; NaN where the tracking error is 0.
    """
    deviation = _active_deviation(returns, benchmark)
    mean_active = np.mean(returns - benchmark, axis=-1)
    return quotient(mean_active, deviation, deviation > 0.0) * math.sqrt(periods_per_year)


def up_capture(returns: FloatArray, benchmark: FloatArray, periods: int = 1) -> FloatArray:
    """Geometric mean return by that of the benchmark, over the sessions on which the benchmark rose (Bacon 2008).

    Means of a session, not annualised: a year compounded of nothing but rising days would stretch small differences.
    Morningstar's is geometric as well.

    Parameters
    ----------
    returns, benchmark
        (..., n) simple returns on the same sessions.
    periods
        That a mean is compounded over: those of a year give the quotient of two rates of growth.

    Returns
    -------
    FloatArray
        (...) ratio, 1 for the benchmark itself; NaN where it never rose.
    """
    return _capture(returns, benchmark, benchmark > 0.0, periods)


def down_capture(returns: FloatArray, benchmark: FloatArray, periods: int = 1) -> FloatArray:
    """`up_capture` over the sessions on which the benchmark fell (Bacon 2008); below 1 is less loss, negative a gain.

    Returns
    -------
    FloatArray
        (...) ratio; NaN where the benchmark never fell.
    """
    return _capture(returns, benchmark, benchmark < 0.0, periods)


def correlation(returns: FloatArray, benchmark: FloatArray) -> FloatArray:
    """Correlation with the benchmark (Pearson 1895).

    Returns
    -------
    FloatArray
        (...) from -1 to 1; NaN where either does not vary.
    """
    deviation = returns - np.mean(returns, axis=-1, keepdims=True)
    of_benchmark = benchmark - np.mean(benchmark, axis=-1, keepdims=True)
    # A root each: the product of two variances would underflow first.
    scale = np.sqrt(np.sum(deviation**2, axis=-1)) * np.sqrt(np.sum(of_benchmark**2, axis=-1))
    varies = (np.ptp(returns, axis=-1) > 0.0) & (np.ptp(benchmark, axis=-1) > 0.0)
    return np.clip(quotient(np.sum(deviation * of_benchmark, axis=-1), scale, varies), -1.0, 1.0)


def r_squared(returns: FloatArray, benchmark: FloatArray) -> FloatArray:
    """Share of the variance that the regression on the benchmark explains: the squared correlation (Wright 1921).

    Returns
    -------
    FloatArray
        (...) from 0 to 1; NaN where either does not vary.
    """
    return correlation(returns, benchmark) ** 2


def _active_deviation(returns: FloatArray, benchmark: FloatArray) -> FloatArray:
    """Standard deviation of the active returns; exactly 0 where they vary by no more than their own rounding."""
    active = returns - benchmark
    rounding = 4.0 * np.finfo(np.float64).eps * np.max(np.abs(returns) + np.abs(benchmark), axis=-1)
    return np.where(np.ptp(active, axis=-1) <= rounding, 0.0, standard_deviation(active))


def _capture(returns: FloatArray, benchmark: FloatArray, counted: BoolArray, periods: int) -> FloatArray:
    sessions = np.sum(counted, axis=-1)
    # A comparison with NaN is False: without this, a missing return would only be left out.
    defined = (sessions > 0) & np.isfinite(returns + benchmark).all(axis=-1)
    exponent = periods / np.maximum(sessions, 1)
    own, of_benchmark = (
        np.power(np.multiply.reduce(np.where(counted, 1.0 + series, 1.0), axis=-1), exponent) - 1.0
        for series in (returns, benchmark)
    )
    return quotient(own, of_benchmark, defined)
