"""How good a forecast was: losses (lower is better), coverage and its test."""

from __future__ import annotations

import math

import numpy as np

from pipeline.base.types import FloatArray, IntArray
from pipeline.forecast.models.errors import ForecastInputError

REALISED_VARIANCE_FLOOR_DAILY = 1e-6
"""Squared move of a tenth of a percent. Three percent of one-session returns are exactly 0, where QLIKE is infinite."""

SHORTFALL_FLOOR = 1e-4
"""One basis point, as `VOLATILITY_FLOOR_DAILY`: the tail of a series that stood still is 0, whose logarithm is not."""


def realised_variance(returns: FloatArray, horizon_sessions: int, rows: IntArray) -> FloatArray:
    """Mean squared return of the `horizon_sessions` sessions after each row.

    Returns
    -------
    FloatArray
        (m,) per session; NaN where the series ends before the horizon.
    """
    complete = rows + horizon_sessions <= len(returns)
    total = np.zeros(int(complete.sum()))
    for ahead in range(horizon_sessions):
        total += returns[rows[complete] + ahead] ** 2
    variance = np.full(len(rows), np.nan)
    variance[complete] = total / horizon_sessions
    return variance


def returns_over(returns: FloatArray, horizon_sessions: int) -> FloatArray:
    """Compounded return over every run of `horizon_sessions` sessions.

    Each is multiplied out by itself, so that it has the same bits wherever the series ends.

    Parameters
    ----------
    returns
        (n,) simple returns.

    Returns
    -------
    FloatArray
        (n - horizon_sessions + 1,) simple returns, the i-th from row i on; the returns themselves for one session.
    """
    if horizon_sessions == 1:
        return returns
    growth = 1.0 + returns
    count = max(len(returns) - horizon_sessions + 1, 0)
    compounded = np.ones(count)
    for ahead in range(horizon_sessions):
        compounded *= growth[ahead : ahead + count]
    over: FloatArray = compounded - 1.0
    return over


def qlike_losses(realised: FloatArray, forecast: FloatArray) -> FloatArray:
    """(m,) quasi-likelihood losses x - ln x - 1 with x = realised / forecast variance (Patton 2011).

    One is 0 for a perfect forecast, blames a forecast that is too low more than one too high, and ranks forecasts of
    the true variance correctly although the realised variance is a noisy proxy. Other texts write ln h + x; the two
    differ by ln of the realised variance plus 1, which no forecast can change.

    Parameters
    ----------
    realised, forecast
        (m,) variances in the same unit, all above 0.
    """
    _require_pairs(realised, forecast)
    if not ((realised > 0.0) & (forecast > 0.0)).all():
        raise ForecastInputError("qlike_error: variances must be above 0; floor the realised ones first")
    ratio = realised / forecast
    losses: FloatArray = ratio - np.log(ratio) - 1.0
    return losses


def qlike_error(realised: FloatArray, forecast: FloatArray) -> float:
    """Mean of `qlike_losses`."""
    return float(np.mean(qlike_losses(realised, forecast)))


def squared_errors(realised: FloatArray, forecast: FloatArray) -> FloatArray:
    """(m,) squared errors of variances.

    Of variances, not of volatilities: with QLIKE it is the loss whose ranking a noisy proxy leaves as it is (Patton
    2011, proposition 1), and the root of a proxy is biased.
    """
    _require_pairs(realised, forecast)
    errors: FloatArray = (realised - forecast) ** 2
    return errors


def pinball_losses(realised: FloatArray, quantile: FloatArray, level: float) -> FloatArray:
    """(m,) tick losses (q - 1{r < Q}) (r - Q) of quantile forecasts (Koenker & Bassett 1978).

    Parameters
    ----------
    realised, quantile
        (m,) returns and their forecast quantiles.
    level
        q in (0, 1).
    """
    _require_pairs(realised, quantile)
    losses: FloatArray = (level - (realised < quantile)) * (realised - quantile)
    return losses


def pinball_error(realised: FloatArray, quantile: FloatArray, level: float) -> float:
    """Mean of `pinball_losses`."""
    return float(np.mean(pinball_losses(realised, quantile, level)))


def fissler_ziegel_losses(
    realised: FloatArray, quantile: FloatArray, shortfall: FloatArray, level: float
) -> FloatArray:
    """(m,) joint losses of quantile and expected shortfall, 1{r ≤ Q} (Q - r) / (q s) - Q / s + ln s - 1.

    Expected shortfall has no loss of its own; together with the quantile it has (Fissler & Ziegel 2016). This is the
    one whose differences do not depend on the unit, FZ0 of Patton, Ziegel & Chen (2019), equation 6, with s = -ES. It
    may be below 0.

    Parameters
    ----------
    realised, quantile
        (m,) returns and their forecast quantiles.
    shortfall
        (m,) expected shortfall s below the quantile as a positive loss, above 0.
    level
        q in (0, 1).
    """
    _require_pairs(realised, quantile)
    _require_pairs(realised, shortfall)
    if not (shortfall > 0.0).all():
        raise ForecastInputError("fissler_ziegel_losses: shortfall must be above 0; floor it at SHORTFALL_FLOOR first")
    beyond = np.maximum(quantile - realised, 0.0)
    losses: FloatArray = beyond / (level * shortfall) - quantile / shortfall + np.log(shortfall) - 1.0
    return losses


def coverage(realised: FloatArray, quantile: FloatArray) -> float:
    """Part of the returns strictly below their forecast quantile: close to q if the forecasts are right."""
    _require_pairs(realised, quantile)
    return float(np.mean(realised < quantile))


def kupiec_p_value(breaches: int, observations: int, level: float) -> float:
    """P-value of the proportion-of-failures test (Kupiec 1995) of a breach rate of `level`.

    LR = 2 [x ln(p̂/q) + (n-x) ln((1-p̂)/(1-q))] with p̂ = x/n is χ² with one degree of freedom, whose upper tail is
    erfc(√(LR/2)).
    """
    if not 0 <= breaches <= observations or observations == 0 or not 0.0 < level < 1.0:
        raise ForecastInputError(f"kupiec_p_value: {breaches} breaches of {observations} at level {level}")
    rate = breaches / observations
    ratio = 2.0 * (
        _times_log(breaches, rate / level) + _times_log(observations - breaches, (1.0 - rate) / (1.0 - level))
    )
    return math.erfc(math.sqrt(max(ratio, 0.0) / 2.0))


def _require_pairs(realised: FloatArray, forecast: FloatArray) -> None:
    if realised.shape != forecast.shape or realised.size == 0:
        raise ForecastInputError(f"scores: {realised.shape} realised, {forecast.shape} forecast; give one of each")
    if not (np.isfinite(realised) & np.isfinite(forecast)).all():
        raise ForecastInputError("scores: NaN or infinite value; score only rows that have both")


def _times_log(count: int, ratio: float) -> float:
    """Count × ln(ratio), 0 for a count of 0."""
    return count * math.log(ratio) if count else 0.0
