"""Volatility of every instrument of a panel by every model: those of single series, then those that build on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.forecast.models.combination import Combination
from pipeline.forecast.models.ewma import Ewma
from pipeline.forecast.models.panel import Panel, PanelModel, PanelVolatility, spread_volatility
from pipeline.forecast.models.protocol import DailyVolatility, VolatilityModel

STAND_IN = Ewma()
"""What is published in a panel model's place where it has no forecast."""


@dataclass(frozen=True, slots=True)
class ModelForecasts:
    """One model's forecasts of one instrument, as of some of its own rows."""

    model: str
    model_version: str
    daily: DailyVolatility


def panel_volatility(
    panel: Panel,
    horizons: Sequence[int],
    series_models: Sequence[VolatilityModel],
    panel_models: Sequence[PanelModel],
    rows: Sequence[range],
) -> tuple[tuple[ModelForecasts, ...], ...]:
    """(n) instruments' forecasts by each model.

    Parameters
    ----------
    rows
        (n) own rows of each instrument that are wanted; empty for none.
    """
    wanted = [panel.places[number][own.start] for number, own in enumerate(rows) if len(own)]
    first = int(min(wanted, default=len(panel.sessions)))
    single = {
        model.name: [model.forecast(m.returns, horizons, range(len(m.sessions))) for m in panel.members]
        for model in series_models
    }
    made = {name: spread_volatility(panel, own) for name, own in single.items()}
    since = min((m.since(panel, first) for m in panel_models if isinstance(m, Combination)), default=first)
    for model in panel_models:
        made[model.name] = model.forecast(panel, made, horizons, first if isinstance(model, Combination) else since)
    found = []
    for number, own in enumerate(rows):
        by_series = [
            ModelForecasts(model.name, model.version, _rows(single[model.name][number], own)) for model in series_models
        ]
        stand_in = STAND_IN.forecast(panel.members[number].returns, horizons, own)
        by_panel = [
            ModelForecasts(m.name, m.version, _own(panel, number, made[m.name], stand_in, own)) for m in panel_models
        ]
        found.append((*by_series, *by_panel))
    return tuple(found)


def _rows(made: DailyVolatility, rows: range) -> DailyVolatility:
    part = slice(rows.start, rows.stop)
    stands_in = None if made.stands_in is None else made.stands_in[part]
    return DailyVolatility(made.values[part], made.trained_through[part], stands_in)


def _own(panel: Panel, number: int, made: PanelVolatility, stand_in: DailyVolatility, rows: range) -> DailyVolatility:
    """A panel model's forecasts of an instrument, EWMA's where it has none."""
    places = panel.places[number][rows.start : rows.stop]
    values: FloatArray = made.values[places, number]
    has: BoolArray = np.asarray(np.isfinite(values).all(axis=1))
    # The instrument's last session up to the fit's.
    fitted: IntArray = np.searchsorted(panel.places[number], made.fitted_at[places], side="right") - 1
    return DailyVolatility(
        np.where(has[:, None], values, stand_in.values),
        np.where(has, fitted, stand_in.trained_through),
        ~has & (stand_in.trained_through >= 0),
    )
