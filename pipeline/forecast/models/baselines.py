"""Naive forecasts that a model must beat to be worth its trouble: the past as it is, without memory or shape.

They are computed where scores are made, and not stored. The baseline of a volatility is EWMA, which is stored, and
that of EWMA is the constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.base.types import FloatArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.ewma import Ewma
from pipeline.forecast.models.filtered_historical import expected_shortfall, quantile_ranks
from pipeline.forecast.models.protocol import (
    VOLATILITY_FLOOR_DAILY,
    DailyVolatility,
    ReturnDistribution,
    rows_or_untrained,
)
from pipeline.forecast.models.scores import returns_over

VOLATILITY_BASELINE = Ewma.name

ROWS_AT_ONCE = 2_048
"""Windows that are sorted together: 4 MB of a year each stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Volatility as it was on average: the root mean square of the newest returns, the same for every horizon.

    Parameters
    ----------
    window_returns
        Newest returns that count, at most.
    minimum
        Returns needed, at least; as many as EWMA starts with.
    """

    name: ClassVar[str] = "constant"
    version: ClassVar[str] = "1"

    window_returns: int = 1_000
    minimum: int = 22

    def __post_init__(self) -> None:
        _require_window(self.window_returns, self.minimum)

    def minimum_returns(self, horizon_sessions: int) -> int:  # noqa: ARG002 - the same for every horizon
        """The fewest returns of a mean."""
        return self.minimum

    def forecast(self, returns: FloatArray, horizons: Sequence[int], rows: range) -> DailyVolatility:
        """Forecast as of each row; see `VolatilityModel`."""
        sums = np.concatenate([[0.0], np.cumsum(returns[: max(rows.stop - 1, 0)] ** 2)])
        at = np.arange(rows.start, rows.stop)
        since = np.maximum(at - self.window_returns, 0)
        mean = np.maximum(sums[at] - sums[since], 0.0) / np.maximum(at - since, 1)
        daily = np.where(at >= self.minimum, np.maximum(np.sqrt(mean), VOLATILITY_FLOOR_DAILY), np.nan)
        return DailyVolatility(
            values=np.repeat(daily[:, None], len(horizons), axis=1),
            trained_through=rows_or_untrained(rows, self.minimum),
        )


@dataclass(frozen=True, slots=True)
class Historical:
    """The returns of the past year as they were: order statistic ⌈qn⌉ and the mean beyond it.

    Parameters
    ----------
    window_returns
        Newest returns that make the distribution; there is no forecast before. Over several sessions they overlap.
    """

    name: ClassVar[str] = "historical"
    version: ClassVar[str] = "1"

    window_returns: int = 252

    def __post_init__(self) -> None:
        _require_window(self.window_returns, 1)

    @property
    def minimum_returns(self) -> int:
        """The whole window."""
        return self.window_returns

    def forecast(
        self,
        returns: FloatArray,
        levels: Sequence[float],
        shortfall_levels: Sequence[float],
        rows: range,
        horizon: int = 1,
    ) -> ReturnDistribution:
        """Forecast as of each row; see `QuantileModel`."""
        quantiles = np.full((len(rows), len(levels)), np.nan)
        shortfalls = np.full((len(rows), len(shortfall_levels)), np.nan)
        least = self.window_returns + horizon - 1
        for start in range(max(rows.start, least), rows.stop, ROWS_AT_ONCE):
            stop = min(start + ROWS_AT_ONCE, rows.stop)
            over = returns_over(returns[start - least : stop - 1], horizon)
            windows = sliding_window_view(over, self.window_returns)
            ordered = np.sort(windows, axis=1)
            sizes = np.full(stop - start, self.window_returns)
            made = slice(start - rows.start, stop - rows.start)
            for column, level in enumerate(levels):
                quantiles[made, column] = ordered[:, quantile_ranks(sizes[:1], level)[0] - 1]
            for column, level in enumerate(shortfall_levels):
                tail = ordered[:, : int(quantile_ranks(sizes[:1], level)[0])]
                shortfalls[made, column] = expected_shortfall(tail, sizes, level)
        return ReturnDistribution(quantiles, shortfalls, rows_or_untrained(rows, least))


def _require_window(window: int, minimum: int) -> None:
    if not 1 <= minimum <= window:
        raise ForecastInputError(f"window_returns={window}: give at least 1 return, and no fewer than {minimum}")


def baseline_of(model: str) -> str:
    """What a volatility model is compared with."""
    return Constant.name if model == VOLATILITY_BASELINE else VOLATILITY_BASELINE
