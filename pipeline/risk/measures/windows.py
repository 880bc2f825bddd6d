"""What measures are computed on: windows of returns along the last axis.

A measure takes ``(..., n)`` and gives ``(...)``, so one definition serves a single series and a rolling
panel. Windows are made C-contiguous: numpy then sums each one pairwise by itself, and a row's bits do
not depend on how many other rows are computed with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.types import BoolArray, FloatArray
from pipeline.risk.measures.errors import MeasureInputError

TRADING_DAYS_PER_YEAR = 252


@dataclass(frozen=True, slots=True)
class RiskSpec:
    """How risk is measured.

    Parameters
    ----------
    window_sessions
        Returns in each rolling window.
    periods_per_year
        Returns per year, for annualising.
    risk_free_rate_annual
        Annual effective rate, as a fraction; where windows carry rates of their own, these count.
    """

    window_sessions: int = 252
    periods_per_year: int = TRADING_DAYS_PER_YEAR
    risk_free_rate_annual: float = 0.0

    def __post_init__(self) -> None:
        if self.window_sessions < 2:
            raise MeasureInputError(f"window_sessions={self.window_sessions}: give at least 2")
        if self.periods_per_year < 1:
            raise MeasureInputError(f"periods_per_year={self.periods_per_year}: give at least 1")
        if not -1.0 < self.risk_free_rate_annual < 1.0:
            raise MeasureInputError(
                f"risk_free_rate_annual={self.risk_free_rate_annual}: give a fraction such as 0.03 for 3 %"
            )

    @property
    def risk_free_rate_daily(self) -> float:
        """The rate of one period, geometric: (1+r)^(1/periods) - 1."""
        return float((1.0 + self.risk_free_rate_annual) ** (1.0 / self.periods_per_year) - 1.0)


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one subject.

    Parameters
    ----------
    returns
        (..., n) what the subject earned: simple returns, oldest first.
    scenarios
        (..., n) what today's holdings would have earned on the same sessions. Equal to `returns` for
        an instrument; differs for a portfolio whose holdings drift.
    benchmark
        (..., n) returns of the benchmark on the same sessions, or None.
    risk_free
        (..., n) risk-free rates of the same sessions, NaN where unknown; None for the rate of the spec.
    """

    returns: FloatArray
    scenarios: FloatArray
    benchmark: FloatArray | None = None
    risk_free: FloatArray | None = None

    def rate(self, spec: RiskSpec) -> float | FloatArray:
        """The risk-free rate of a session: (..., n), or one for all."""
        return spec.risk_free_rate_daily if self.risk_free is None else self.risk_free


def simple_returns(close: FloatArray) -> FloatArray:
    """Simple returns of prices along the first axis.

    Parameters
    ----------
    close
        (t, ...) adjusted closes, finite and positive.

    Returns
    -------
    FloatArray
        (t-1, ...).

    Raises
    ------
    MeasureInputError
        For a price that is not finite and positive.
    """
    if not (np.isfinite(close) & (close > 0)).all():
        raise MeasureInputError("close: prices must be finite and above 0; remove or repair the others first")
    returns: FloatArray = close[1:] / close[:-1] - 1.0
    return returns


def require_returns(returns: FloatArray, minimum_sessions: int = 2) -> FloatArray:
    """Check a series of simple returns that came from outside.

    Raises
    ------
    MeasureInputError
        For NaN, infinity, a loss above 100 % or fewer than `minimum_sessions` values.
    """
    if returns.shape[-1] < minimum_sessions:
        raise MeasureInputError(
            f"returns: {returns.shape[-1]} given, at least {minimum_sessions} are needed;"
            " give a longer history or a shorter window"
        )
    if not np.isfinite(returns).all():
        raise MeasureInputError("returns: NaN or infinite; drop those sessions or repair their prices")
    if (returns < -1.0).any():
        raise MeasureInputError("returns: below -1, which a simple return cannot be; give fractions, not percent")
    return returns


def quotient(numerator: FloatArray, denominator: FloatArray, defined: BoolArray) -> FloatArray:
    """Divide where `defined`, NaN elsewhere, without a warning from the places left out."""
    result = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=defined)
    return result


def rolling(series: FloatArray, window_sessions: int) -> FloatArray:
    """Every full window of a series, as contiguous rows.

    Parameters
    ----------
    series
        (t,) with t ≥ `window_sessions`.

    Returns
    -------
    FloatArray
        (t - window_sessions + 1, window_sessions), row i ending with ``series[i + window_sessions - 1]``.
    """
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(series, window_sessions))
