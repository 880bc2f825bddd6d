"""The published volatility: a mean of logarithms of forecasts, weighted by how they did, shrunk to equal weights.

Means of several forecasts lose less than the best of them where their errors differ (Bates & Granger 1969, "The
combination of forecasts"), and weights that are learnt lose to equal ones where little is known (Timmermann 2006,
"Forecast combinations", Handbook of Economic Forecasting 1): hence part of both. Weights are those of all instruments
together, a set a horizon, and are made anew with the first session of each calendar year.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.gjr_garch import GjrGarchT
from pipeline.forecast.models.har import Har
from pipeline.forecast.models.panel import Made, Panel, PanelVolatility
from pipeline.forecast.models.pooled_panel import PooledPanel
from pipeline.forecast.models.scores import REALISED_VARIANCE_FLOOR_DAILY, qlike_losses, realised_variance


@dataclass(frozen=True, slots=True)
class Combination:
    """Weighted geometric mean of the volatilities by other models.

    Parameters
    ----------
    scored_years
        Calendar years before a refit whose scores make its weights.
    temperature
        Mean QLIKE that divides a weight by e.
    equal_share
        Part that is weighted equally, whatever the scores.
    fewest_scores
        Scores of all instruments before which weights are equal.
    """

    name: ClassVar[str] = "combination"
    version: ClassVar[str] = "1"
    needs: ClassVar[tuple[str, ...]] = (PooledPanel.name, GjrGarchT.name, Har.name)

    scored_years: int = 3
    temperature: float = 0.005
    equal_share: float = 0.4
    fewest_scores: int = 2_000

    def __post_init__(self) -> None:
        if self.scored_years < 1:
            raise ForecastInputError(f"scored_years={self.scored_years}: give at least 1")
        if not self.temperature > 0.0:
            raise ForecastInputError(f"temperature={self.temperature}: give a number above 0, such as 0.005")
        if not 0.0 <= self.equal_share <= 1.0:
            raise ForecastInputError(f"equal_share={self.equal_share}: give a fraction, such as 0.4")
        if self.fewest_scores < 1:
            raise ForecastInputError(f"fewest_scores={self.fewest_scores}: give at least 1")

    def forecast(self, panel: Panel, made: Made, horizons: Sequence[int], since: int) -> PanelVolatility:
        """Forecast as of the rows from `since` on; see `PanelModel`."""
        logarithms = np.log(np.stack([made[name].values for name in self.needs], axis=3))
        values = np.full(logarithms.shape[:3], np.nan)
        fitted_at = np.full(len(panel.sessions), -1)
        for refit, rows in panel.spans(since):
            fitted_at[rows] = refit
            for column, horizon in enumerate(horizons):
                total = np.zeros(values[rows, :, column].shape)
                for weight, logarithm in zip(
                    self.weights(panel, made, column, horizon, refit),
                    np.moveaxis(logarithms[rows, :, column], 2, 0),
                    strict=True,
                ):
                    total += weight * logarithm
                values[rows, :, column] = np.exp(total)
        return PanelVolatility(values, fitted_at)

    def weights(self, panel: Panel, made: Made, column: int, horizon: int, refit: int) -> FloatArray:
        """(3,) of `needs`, by the scores that were known at a row; equal ones where there are too few."""
        count = len(self.needs)
        losses = self._losses(panel, made, column, horizon, refit)
        if losses is None:
            return np.full(count, 1.0 / count)
        by_score = np.exp(-(losses - losses.min()) / self.temperature)
        weights: FloatArray = (1.0 - self.equal_share) * by_score / by_score.sum() + self.equal_share / count
        return weights

    def _losses(self, panel: Panel, made: Made, column: int, horizon: int, refit: int) -> FloatArray | None:
        """(3,) mean QLIKE over the years before a row where every model has a forecast."""
        first = panel.sessions[refit].astype("datetime64[Y]") - self.scored_years
        start = int(np.searchsorted(panel.sessions, first.astype("datetime64[D]")))
        total, scores = np.zeros(len(self.needs)), 0
        for number, member in enumerate(panel.members):
            own = slice(*np.searchsorted(panel.places[number], [start, refit + 1]))
            at = np.arange(own.start, max(own.stop - horizon, own.start))
            variances = [made[name].values[panel.places[number][at], number, column] ** 2 for name in self.needs]
            known = np.isfinite(variances).all(axis=0)
            realised = np.maximum(realised_variance(member.returns, horizon, at), REALISED_VARIANCE_FLOOR_DAILY)
            scores += int(known.sum())
            if known.any():
                total += [float(qlike_losses(realised[known], variance[known]).sum()) for variance in variances]
        return total / scores if scores >= self.fewest_scores else None

    def since(self, panel: Panel, row: int) -> int:
        """First row whose forecasts by the other models decide the weights in force at a row."""
        year = panel.sessions[min(row, len(panel.sessions) - 1)].astype("datetime64[Y]") - self.scored_years
        return int(np.searchsorted(panel.sessions, year.astype("datetime64[D]")))
