"""What makes a panel forecast: parts that add up to the logarithm of the variance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.forecast.models.combination import Combination
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.gjr_garch import GjrGarchT
from pipeline.forecast.models.panel import Made, Panel
from pipeline.forecast.models.panel_features import FEATURES, Features
from pipeline.forecast.models.pooled_panel import PooledPanel, Targets
from pipeline.forecast.models.protocol import VOLATILITY_FLOOR_DAILY


@dataclass(frozen=True, slots=True)
class Explained:
    """A forecast in parts.

    Parameters
    ----------
    features
        What the regression saw, by name; see `panel_features`.
    contributions
        What each adds to ln variance a session; their sum is the forecast's.
    """

    features: Mapping[str, float]
    contributions: Mapping[str, float]

    @property
    def volatility_daily(self) -> float:
        """The forecast that the parts make, at least the floor of every model."""
        return max(float(np.exp(0.5 * sum(self.contributions.values()))), VOLATILITY_FLOOR_DAILY)


def explain_pooled(
    model: PooledPanel, panel: Panel, made: Made, horizon: tuple[int, int], place: tuple[int, int]
) -> Explained:
    """Parts of the pooled regression: GJR-GARCH's own, the regression's level, and each feature.

    Parameters
    ----------
    made
        Forecasts of `PooledPanel.needs`.
    horizon
        Its column in `made`, and its sessions.
    place
        Row of the panel, and number of the instrument.

    Raises
    ------
    ForecastInputError
        Where EWMA stands in for the model.
    """
    row, number = place
    prepared = model.prepare(Features.of(panel), made, *horizon)
    spans = [refit for refit, rows in panel.spans(row) if rows.start <= row < rows.stop]
    fit = model.fit(prepared, Targets.of(panel, horizon[1]), spans[0]) if spans else None
    if fit is None or not prepared.is_usable[row, number]:
        raise ForecastInputError(f"row={row}: pooled_panel has no forecast there; explain ewma, which stands in")
    seen: FloatArray = prepared.features[row, number]
    parts = dict(zip(FEATURES, fit.contributions(seen).tolist(), strict=True))
    garch = float(prepared.garch[row, number])
    return Explained(
        dict(zip(FEATURES, seen.tolist(), strict=True)),
        {GjrGarchT.name: garch, "level_of_all": fit.intercept, **parts},
    )


def explain_combination(
    model: Combination, panel: Panel, made: Made, horizon: tuple[int, int], place: tuple[int, int]
) -> Explained:
    """Parts of the combination: each model's weight and what it adds; parameters and errors as in `explain_pooled`."""
    row, number = place
    spans = [refit for refit, rows in panel.spans(row) if rows.start <= row < rows.stop]
    logarithms = [2.0 * np.log(made[name].values[row, number, horizon[0]]) for name in model.needs]
    if not spans or not np.isfinite(logarithms).all():
        raise ForecastInputError(f"row={row}: combination has no forecast there; explain ewma, which stands in")
    weights = model.weights(panel, made, *horizon, spans[0]).tolist()
    return Explained(
        {f"weight_{name}": weight for name, weight in zip(model.needs, weights, strict=True)},
        {name: weight * float(part) for name, weight, part in zip(model.needs, weights, logarithms, strict=True)},
    )
