"""Filtered history at levels that learn: quantiles that are missed too often move out, and back.

Past returns, each divided by the volatility that was forecast for it, are the scenarios for the next session, as in
`filtered_historical`; but the level that is read from them is that of adaptive conformal inference (Gibbs & Candès
2021, "Adaptive conformal inference under distribution shift", NeurIPS 34): α moves by γ (q - miss) after each session,
so that the long-run share of misses is q whatever the returns do. The step γ is in proportion to the level's distance
from the nearer end, since a miss of a 1 % quantile says more than one of the median.

Over several sessions the scenarios are overlapping returns of as many, over their own volatility. A miss is then known
only when the horizon has passed, and one move is missed by as many forecasts: γ is divided by the sessions. Choices
were made on the bundled stocks before 2013: docs/decisions/0027.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import ClassVar

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.ewma import Ewma
from pipeline.forecast.models.filtered_historical import LOWEST_RETURN
from pipeline.forecast.models.protocol import ReturnDistribution, rows_or_untrained
from pipeline.forecast.models.scores import returns_over


@dataclass(frozen=True, slots=True)
class Conformal:
    """Residuals of the best volatility, read at adaptive levels.

    Parameters
    ----------
    window_residuals, longer_window_residuals
        Newest residuals that make the distribution, at most: of the next session, and of several, which overlap.
    minimum_residuals
        Residuals needed, at least; there is no forecast before.
    learning_rate
        γ, in units of the level's distance from the nearer end.
    widest_factor
        By which that distance may shrink or grow.
    stand_in
        Filter of a series that comes without the volatility of the panel's combination.
    """

    name: ClassVar[str] = "conformal"
    version: ClassVar[str] = "1"

    window_residuals: int = 750
    longer_window_residuals: int = 2_500
    minimum_residuals: int = 500
    learning_rate: float = 0.05
    widest_factor: float = 4.0
    stand_in: Ewma = field(default_factory=Ewma)

    def __post_init__(self) -> None:
        if not 1 <= self.minimum_residuals <= self.window_residuals:
            raise ForecastInputError(
                f"minimum_residuals={self.minimum_residuals}: give at least 1 and at most "
                f"window_residuals={self.window_residuals}"
            )
        if self.longer_window_residuals < self.minimum_residuals:
            raise ForecastInputError(
                f"longer_window_residuals={self.longer_window_residuals}: give at least "
                f"minimum_residuals={self.minimum_residuals}"
            )
        if not 0.0 <= self.learning_rate < 1.0:
            raise ForecastInputError(f"learning_rate={self.learning_rate}: give a fraction, such as 0.05")
        if not self.widest_factor >= 1.0:
            raise ForecastInputError(f"widest_factor={self.widest_factor}: give at least 1")

    @property
    def minimum_returns(self) -> int:
        """The filter's first forecast and the residuals after it."""
        return self.stand_in.minimum_returns(1) + self.minimum_residuals

    def forecast(
        self,
        returns: FloatArray,
        levels: Sequence[float],
        shortfall_levels: Sequence[float],
        rows: range,
        horizon: int = 1,
    ) -> ReturnDistribution:
        """Forecast as of each row on the stand-in's volatility; see `QuantileModel`."""
        seen = returns[: max(rows.stop - 1, 0)]
        daily = self.stand_in.forecast(seen, (horizon,), range(len(seen) + 1)).values[:, 0]
        made = self.on(seen, daily, levels, shortfall_levels, rows, horizon)
        return ReturnDistribution(
            made.quantiles, made.shortfalls, made.trained_through, np.isfinite(made.quantiles[:, 0])
        )

    def on(
        self,
        returns: FloatArray,
        daily: FloatArray,
        levels: Sequence[float],
        shortfall_levels: Sequence[float],
        rows: range,
        horizon: int = 1,
    ) -> ReturnDistribution:
        """Forecast as of each row on a volatility of one's own.

        Parameters
        ----------
        daily
            (t,) volatility a session over the horizon as of each row; NaN until the first, and from there on finite.
        """
        from pipeline.forecast.models.kernels.adaptive_quantiles import (  # noqa: PLC0415 - the API starts without numba
            adaptive_quantiles,
        )

        quantiles = np.full((len(rows), len(levels)), np.nan)
        shortfalls = np.full((len(rows), len(shortfall_levels)), np.nan)
        known = np.flatnonzero(np.isfinite(daily[: rows.stop]))
        first = int(known[0]) if len(known) else rows.stop
        if len(known) != rows.stop - first:
            raise ForecastInputError("daily: NaN or infinite after the first volatility; give one for every session")
        if first < rows.stop:
            scale = daily[first : rows.stop] * sqrt(horizon)
            over = returns_over(returns[first : rows.stop - 1], horizon)
            residuals = over / scale[: len(over)]
            found = np.empty((len(scale), len(levels)))
            below = np.empty((len(scale), len(shortfall_levels)))
            start = max(rows.start - first, 0)
            adaptive_quantiles(
                residuals,
                (self._window(horizon), self.minimum_residuals, horizon, start),
                np.array(levels, dtype=np.float64),
                (self.learning_rate / horizon, self.widest_factor),
                np.array(shortfall_levels, dtype=np.float64),
                found,
                below,
            )
            place = slice(first + start - rows.start, None)
            # Levels that learn one by one may cross.
            scenarios = np.sort(found[start:] * scale[start:, None], axis=1)
            quantiles[place] = np.maximum(scenarios, LOWEST_RETURN)
            worst = np.maximum(below[start:] * scale[start:, None], LOWEST_RETURN)
            for column, level in enumerate(shortfall_levels):
                beyond = worst[:, column]
                if level in levels:
                    beyond = np.minimum(beyond, quantiles[place, list(levels).index(level)])
                shortfalls[place, column] = -beyond
        return ReturnDistribution(
            quantiles, shortfalls, rows_or_untrained(rows, first + self.minimum_residuals + horizon - 1)
        )

    def _window(self, horizon: int) -> int:
        return self.window_residuals if horizon == 1 else self.longer_window_residuals
