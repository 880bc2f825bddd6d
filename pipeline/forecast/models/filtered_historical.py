"""Filtered historical simulation (Barone-Adesi, Giannopoulos & Vosper 1999): old surprises at today's volatility.

Each past return is divided by the EWMA volatility that was forecast for it; the last 1,000 of these residuals, times
the forecast for the next session, are its scenarios. No mean is removed: over one session it is noise. Over several
sessions the residuals are those of overlapping returns of as many.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import ClassVar

import numpy as np

from pipeline.base.types import FloatArray, IntArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.ewma import Ewma
from pipeline.forecast.models.protocol import ReturnDistribution, rows_or_untrained
from pipeline.forecast.models.scores import returns_over

LOWEST_RETURN = -1.0
"""A simple return cannot lose more than everything, whatever residual × volatility says."""


@dataclass(frozen=True, slots=True)
class FilteredHistorical:
    """EWMA-standardised residuals as scenarios for the next session.

    Parameters
    ----------
    window_residuals
        Newest residuals that make the distribution, at most.
    minimum_residuals
        Residuals needed, at least; there is no forecast before.
    volatility
        The filter.
    """

    name: ClassVar[str] = "filtered_historical"
    version: ClassVar[str] = "1"

    window_residuals: int = 1000
    minimum_residuals: int = 500
    volatility: Ewma = field(default_factory=Ewma)

    def __post_init__(self) -> None:
        if not 1 <= self.minimum_residuals <= self.window_residuals:
            raise ForecastInputError(
                f"minimum_residuals={self.minimum_residuals}: give at least 1 and at most "
                f"window_residuals={self.window_residuals}"
            )

    @property
    def minimum_returns(self) -> int:
        """The filter's warm-up and the residuals after it."""
        return self.volatility.warm_up_sessions + self.minimum_residuals

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
        least = self.minimum_returns + horizon - 1
        first = max(rows.start, least)
        if first < rows.stop:
            seen = returns[: rows.stop - 1]
            warm_up = self.volatility.warm_up_sessions
            scale = self.volatility.daily_volatility(seen) * sqrt(horizon)
            residuals = returns_over(seen[warm_up:], horizon) / scale[warm_up:-horizon]
            # A return is known when its horizon has passed.
            ends = range(first - warm_up - horizon + 1, rows.stop - warm_up - horizon + 1)
            sizes = np.minimum(np.arange(ends.start, ends.stop), self.window_residuals)
            picked = _order_statistics(residuals, ends, sizes, levels, _tail_size(sizes, shortfall_levels))
            scenarios = np.maximum(picked * scale[first : rows.stop, None], LOWEST_RETURN)
            known = slice(first - rows.start, None)
            quantiles[known] = scenarios[:, : len(levels)]
            tail = scenarios[:, len(levels) :]
            for column, level in enumerate(shortfall_levels):
                shortfalls[known, column] = expected_shortfall(tail, sizes, level)
        return ReturnDistribution(quantiles, shortfalls, rows_or_untrained(rows, least))


def quantile_ranks(sizes: IntArray, level: float) -> IntArray:
    """Rank ⌈qn⌉, from 1, of the order statistic that is the q-quantile of n values, without interpolation.

    Products such as 0.975 × 1000 are not lifted over the integer by rounding.
    """
    ranks: IntArray = np.maximum(np.ceil(level * sizes - 1e-9).astype(np.int64), 1)
    return ranks


def expected_shortfall(tail: FloatArray, sizes: IntArray, level: float) -> FloatArray:
    """Expected shortfall with the fractional atom at the quantile (Rockafellar & Uryasev 2002, proposition 8).

    Parameters
    ----------
    tail
        (m, k) lowest scenarios of each row, ascending; the first ⌈qn⌉ are used.
    sizes
        (m,) scenarios n of each row.
    level
        q in (0, 1).

    Returns
    -------
    FloatArray
        (m,) mean loss of the worst q·n scenarios, positive for a loss; never below minus the quantile.
    """
    worst = level * sizes
    total = np.zeros(len(sizes))
    # Column by column, so that a row's bits do not depend on how many rows are computed with it.
    for rank in range(tail.shape[1]):
        total += np.clip(worst - rank, 0.0, 1.0) * tail[:, rank]
    quantile = tail[np.arange(len(sizes)), quantile_ranks(sizes, level) - 1]
    # With a flat tail the weighted mean can round to an ulp above the quantile.
    return -np.minimum(total / worst, quantile)


def _tail_size(sizes: IntArray, levels: Sequence[float]) -> int:
    """Lowest values needed for the expected shortfall at `levels`."""
    return max((int(quantile_ranks(sizes, level).max()) for level in levels), default=0)


def _order_statistics(
    residuals: FloatArray, ends: range, sizes: IntArray, levels: Sequence[float], tail_size: int
) -> FloatArray:
    """(m, q + k) the quantiles, then the `tail_size` lowest values, 0 after the last, of the window before each end."""
    ranks = np.stack([quantile_ranks(sizes, level) for level in levels], axis=1) - 1
    picked = np.zeros((len(ends), len(levels) + tail_size))
    windows = _sorted_windows(residuals.tolist(), ends, sizes)
    for row, (window, chosen) in enumerate(zip(windows, ranks.tolist(), strict=True)):
        values = [window[rank] for rank in chosen] + window[:tail_size]
        picked[row, : len(values)] = values
    return picked


def _sorted_windows(values: list[float], ends: range, sizes: IntArray) -> Iterator[list[float]]:
    """The sorted values before each of the consecutive `ends`; the list is reused, so read it at once.

    Inserting into a sorted list of 1,000 takes a microsecond, sorting it anew twenty.
    """
    size = int(sizes[0])
    window = sorted(values[ends.start - size : ends.start])
    yield window
    for end, wanted in zip(ends[1:], sizes[1:].tolist(), strict=True):
        insort(window, values[end - 1])
        if wanted == size:
            del window[bisect_left(window, values[end - 1 - size])]
        size = wanted
        yield window
