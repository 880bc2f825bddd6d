"""One regression of the log variance for all instruments: what is too noisy to learn from one is learnt from twenty.

The variance to come, in units of what GJR-GARCH expects of it, is explained by `panel_features`: the instrument's
longer memory, falling prices, the market's moves, surprises, and the season of reports. All instruments share the
coefficients; the fit minimises QLIKE (`gamma_regression`). It is made anew with the first session of each calendar
year on everything before. Choices were made on the bundled stocks before 2013: docs/decisions/0025.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline.base.types import BoolArray, FloatArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.gamma_regression import LogLinear, fit_gamma_ridge
from pipeline.forecast.models.gjr_garch import GjrGarchT
from pipeline.forecast.models.panel import Made, Panel, PanelVolatility
from pipeline.forecast.models.panel_features import FEATURES, Features
from pipeline.forecast.models.protocol import VOLATILITY_FLOOR_DAILY
from pipeline.forecast.models.scores import REALISED_VARIANCE_FLOOR_DAILY, realised_variance

MOST_STRIDE = 3
"""Targets of 5 and 21 sessions overlap: every third says as much as all, for a third of the time."""


@dataclass(frozen=True, slots=True)
class PooledPanel:
    """Gamma regression of the variance over GJR-GARCH's, on all instruments.

    Parameters
    ----------
    ridge
        Penalty on the coefficients, in rows; see `fit_gamma_ridge`.
    burn_in_returns
        Returns that an instrument must have had.
    minimum_targets
        Targets in a fit, at least; there is no forecast before.
    most_targets
        Targets in a fit, about, at most: of more, sessions are left out evenly.
    """

    name: ClassVar[str] = "pooled_panel"
    version: ClassVar[str] = "1"
    needs: ClassVar[tuple[str, ...]] = (GjrGarchT.name,)

    ridge: float = 0.01
    burn_in_returns: int = 756
    minimum_targets: int = 2_000
    most_targets: int = 250_000

    def __post_init__(self) -> None:
        if not self.ridge > 0.0:
            raise ForecastInputError(f"ridge={self.ridge}: give a number above 0, such as 0.01")
        if self.burn_in_returns < 1:
            raise ForecastInputError(f"burn_in_returns={self.burn_in_returns}: give at least 1")
        if not 2 * len(FEATURES) <= self.minimum_targets <= self.most_targets:
            raise ForecastInputError(
                f"minimum_targets={self.minimum_targets}: give at least {2 * len(FEATURES)} and at most "
                f"most_targets={self.most_targets}"
            )

    def forecast(self, panel: Panel, made: Made, horizons: Sequence[int], since: int) -> PanelVolatility:
        """Forecast as of the rows from `since` on; see `PanelModel`."""
        values = np.full((len(panel.sessions), len(panel.members), len(horizons)), np.nan)
        spans = list(panel.spans(since))
        fitted_at = np.full(len(panel.sessions), -1)
        for refit, rows in spans:
            fitted_at[rows] = refit
        known = Features.of(panel)
        for column, horizon in enumerate(horizons):
            prepared, targets = self.prepare(known, made, column, horizon), Targets.of(panel, horizon)
            for refit, rows in spans:
                fit = self.fit(prepared, targets, refit)
                if fit is not None:
                    values[rows, :, column] = self.predict(prepared, fit, rows)
        return PanelVolatility(values, fitted_at)

    def prepare(self, known: Features, made: Made, column: int, horizon: int, rows: slice = slice(None)) -> Prepared:
        """What fits and forecasts of a horizon are made of.

        Parameters
        ----------
        column
            Of the horizon in `made`.
        rows
            Of the panel: all for a fit, those to forecast otherwise.
        """
        garch = 2.0 * np.log(made[GjrGarchT.name].values[:, :, column])
        seen = [np.arange(len(member.sessions), dtype=np.float64) for member in known.panel.members]
        counted = np.stack([known.panel.spread(number, own) for number, own in enumerate(seen)], axis=1)
        features = known.at(horizon, garch, rows)
        is_usable = (counted[rows] >= self.burn_in_returns) & np.isfinite(features).all(axis=2)
        return Prepared(horizon, garch[rows], features, is_usable)

    def fit(self, prepared: Prepared, targets: Targets, refit: int) -> LogLinear | None:
        """The regression on every target that was complete at a row; None for too few, or where it does not end."""
        stride = max(min(prepared.horizon, MOST_STRIDE), -(-int(prepared.is_usable[:refit].sum()) // self.most_targets))
        # Counted back from the refit: the newest target is always one.
        picked = np.arange(refit - prepared.horizon, -1, -stride)[::-1]
        known = prepared.is_usable[picked] & (targets.complete_at[picked] <= refit)
        if known.sum() < self.minimum_targets:
            return None
        expected = np.exp(prepared.garch[picked][known])
        realised = np.maximum(targets.realised[picked][known], REALISED_VARIANCE_FLOOR_DAILY)
        return fit_gamma_ridge(prepared.features[picked][known], realised / expected, self.ridge)

    def predict(self, prepared: Prepared, fit: LogLinear, rows: slice = slice(None)) -> FloatArray:
        """(m, n) volatility a session as of some rows; NaN for an instrument of which too little is known."""
        logarithm = prepared.garch[rows] + fit.logarithm(prepared.features[rows])
        logarithm[~prepared.is_usable[rows]] = np.nan
        volatility: FloatArray = np.maximum(np.exp(0.5 * logarithm), VOLATILITY_FLOOR_DAILY)
        return volatility


@dataclass(frozen=True, slots=True)
class Prepared:
    """A panel as the regression of one horizon sees it.

    Parameters
    ----------
    garch
        (m, n) logarithm of the variance by GJR-GARCH.
    features
        (m, n, k) `FEATURES`.
    is_usable
        (m, n) whether all of them are known, after a burn-in.
    """

    horizon: int
    garch: FloatArray
    features: FloatArray
    is_usable: BoolArray


@dataclass(frozen=True, slots=True)
class Targets:
    """What a regression of one horizon explains.

    Parameters
    ----------
    realised
        (T, n) variance over the sessions that follow each row.
    complete_at
        (T, n) row of the panel at which it was known; NaN where it is not yet.
    """

    realised: FloatArray
    complete_at: FloatArray

    @classmethod
    def of(cls, panel: Panel, horizon: int) -> Targets:
        """Of every row of a panel, over the instruments' own sessions."""
        realised, complete_at = [], []
        for number, member in enumerate(panel.members):
            own = realised_variance(member.returns, horizon, np.arange(len(member.sessions)))
            ends = np.full(len(own), np.nan)
            ends[: max(len(own) - horizon, 0)] = panel.places[number][horizon:]
            realised.append(panel.spread(number, own))
            complete_at.append(panel.spread(number, ends))
        return cls(np.stack(realised, axis=1), np.stack(complete_at, axis=1))
