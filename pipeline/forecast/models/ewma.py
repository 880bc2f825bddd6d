"""Exponentially weighted moving average of squared returns (RiskMetrics 1996): the baseline to beat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.protocol import VOLATILITY_FLOOR_DAILY, DailyVolatility, rows_or_untrained

RISKMETRICS_DECAY = 0.94
"""J. P. Morgan/Reuters, RiskMetrics Technical Document, 4th edition (1996), chapter 5: daily data."""


@dataclass(frozen=True, slots=True)
class Ewma:
    """EWMA volatility, the same for every horizon: the recursion has no mean to revert to.

    Parameters
    ----------
    decay
        λ: weight of yesterday's variance.
    warm_up_sessions
        Returns whose mean square starts the recursion; there is no forecast before.
    """

    name: ClassVar[str] = "ewma"
    version: ClassVar[str] = "1"

    decay: float = RISKMETRICS_DECAY
    warm_up_sessions: int = 22

    def __post_init__(self) -> None:
        if not 0.0 < self.decay < 1.0:
            raise ForecastInputError(f"decay={self.decay}: give a fraction between 0 and 1, such as 0.94")
        if self.warm_up_sessions < 1:
            raise ForecastInputError(f"warm_up_sessions={self.warm_up_sessions}: give at least 1")

    def minimum_returns(self, horizon_sessions: int) -> int:  # noqa: ARG002 - the same for every horizon
        """The warm-up."""
        return self.warm_up_sessions

    def forecast(self, returns: FloatArray, horizons: Sequence[int], rows: range) -> DailyVolatility:
        """Forecast as of each row; see `VolatilityModel`."""
        daily = self.daily_volatility(returns[: max(rows.stop - 1, 0)])[rows.start : rows.stop]
        return DailyVolatility(
            values=np.repeat(daily[:, None], len(horizons), axis=1),
            trained_through=rows_or_untrained(rows, self.warm_up_sessions),
        )

    def daily_volatility(self, returns: FloatArray) -> FloatArray:
        """Volatility forecast for the session after each row, σ²(p+1) = λ σ²(p) + (1-λ) r²(p).

        Parameters
        ----------
        returns
            (t-1,) simple returns.

        Returns
        -------
        FloatArray
            (t,) fraction per session, at least `VOLATILITY_FLOOR_DAILY`; NaN in the warm-up.
        """
        volatility = np.full(len(returns) + 1, np.nan)
        if len(returns) < self.warm_up_sessions:
            return volatility
        squares = (returns * returns).tolist()
        start = math.fsum(squares[: self.warm_up_sessions]) / self.warm_up_sessions
        # 8,000 float operations take a millisecond; a vectorised form would divide by vanishing powers of λ.
        recursion = accumulate(
            squares[self.warm_up_sessions :],
            lambda variance, square: self.decay * variance + (1.0 - self.decay) * square,
            initial=start,
        )
        volatility[self.warm_up_sessions :] = np.sqrt(np.fromiter(recursion, dtype=np.float64))
        floored: FloatArray = np.maximum(volatility, VOLATILITY_FLOOR_DAILY)
        return floored
