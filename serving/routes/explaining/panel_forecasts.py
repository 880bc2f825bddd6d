"""What makes a forecast of a model that looks at all instruments: parts that add up to the logarithm of the variance.

The prices of all are read as the write knew them, and what is stored of the models of single series; everything that
builds on these, the regression of the year and the weights, is fitted again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeAlias

import numpy as np
from psycopg import Connection

from pipeline.base.types import DateArray, IntArray
from pipeline.forecast.backtest import ForecastSpec
from pipeline.forecast.models import VOLATILITY_MODELS
from pipeline.forecast.models.combination import Combination
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.panel import Made, Member, Panel, PanelVolatility
from pipeline.forecast.models.panel_explaining import Explained, explain_combination, explain_pooled
from pipeline.forecast.models.pooled_panel import PooledPanel
from pipeline.risk.measures.windows import simple_returns
from pipeline.store.instruments import read_instruments
from pipeline.store.packed_series import read_series
from pipeline.store.prices import read_price_panel
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST, read_volatility_writes
from serving.routes.explaining.figures import Figure
from serving.routes.explaining.input_forms import PartsOut

AnyPanelModel: TypeAlias = PooledPanel | Combination

_VERSIONS = {model.name: model.version for model in VOLATILITY_MODELS}


@dataclass(frozen=True, slots=True)
class PanelInputs:
    """All instruments up to a session.

    Parameters
    ----------
    panel
        Those with two prices, in the order of their numbers.
    instrument_ids
        Of its members.
    """

    panel: Panel
    instrument_ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class PanelParts:
    """A forecast in parts, and what it is made of.

    Parameters
    ----------
    parts, volatility_annual
        None where the forecasts that it builds on are not stored by today's versions of their models.
    instrument_ids
        Whose prices it is made of.
    writes
        Of the forecasts that it builds on.
    first
        First session of the prices.
    doubts
        Why there are no parts.
    """

    parts: PartsOut | None
    volatility_annual: float | None
    instrument_ids: list[int]
    writes: Sequence[int]
    first: date
    doubts: Sequence[str]


def panel_parts(
    connection: Connection, model: AnyPanelModel, instrument_id: int, figure: Figure, horizon: int
) -> PanelParts:
    """Explain a panel model's own forecast, as of the session of a figure and over a horizon in sessions."""
    spec = ForecastSpec()
    inputs = read_panel(connection, figure)
    number = list(inputs.instrument_ids).index(instrument_id)
    place = int(inputs.panel.places[number][-1]), number
    needed = [name for name in model.needs if name in _VERSIONS]
    made = _stored(connection, inputs, needed, horizon, spec.periods_per_year)
    found = _explained(model, inputs.panel, made, horizon, place)
    return PanelParts(
        None if found is None else _parts_out(found, inputs),
        None if found is None else found.volatility_daily * math.sqrt(spec.periods_per_year),
        list(inputs.instrument_ids),
        read_volatility_writes(connection, needed, figure.session),
        inputs.panel.sessions[0].astype(date),
        [] if found else [_not_stored(model, needed)],
    )


def _explained(
    model: AnyPanelModel, panel: Panel, stored: Made, horizon: int, place: tuple[int, int]
) -> Explained | None:
    """The parts; None where a forecast that they need is not among the stored ones."""
    try:
        if isinstance(model, PooledPanel):
            return explain_pooled(model, panel, stored, (0, horizon), place)
        pooled = PooledPanel()
        again = pooled.forecast(panel, stored, (horizon,), model.since(panel, place[0]))
        return explain_combination(model, panel, {**stored, pooled.name: again}, (0, horizon), place)
    except ForecastInputError:
        return None


def _not_stored(model: AnyPanelModel, needed: Sequence[str]) -> str:
    versions = ", ".join(f"{name} {_VERSIONS[name]}" for name in needed)
    return (
        f"inputs: {model.name} is not computed again, since the forecasts that it builds on are not all stored by"
        f" today's versions ({versions}); the next run of the pipeline stores them anew"
    )


def read_panel(connection: Connection, figure: Figure) -> PanelInputs:
    """Every instrument that had two prices by the session of a figure, as its write knew them."""
    ids = [instrument.id for instrument in read_instruments(connection)]
    read = read_price_panel(connection, ids, None, figure.session + timedelta(days=1), figure.known)
    members, listed = [], []
    for instrument_id, close in zip(ids, read.close.T, strict=True):
        priced = np.isfinite(close)
        if priced.sum() > 1:
            members.append(Member(read.sessions[priced], simple_returns(close[priced])))
            listed.append(instrument_id)
    return PanelInputs(Panel.of(members), listed)


def _stored(
    connection: Connection, inputs: PanelInputs, models: Sequence[str], horizon: int, periods_per_year: int
) -> Made:
    """Stored forecasts of models of single series over a horizon; those that stand in are left out."""
    column, sessions = f"volatility_{horizon}d", inputs.panel.sessions
    end = sessions[-1].astype(date) + timedelta(days=1)
    made = {}
    for model in models:
        only: dict[str, int | str] = {"model": model, "model_version": _VERSIONS[model]}
        found = read_series(connection, VOLATILITY_FORECAST, ("instrument_id",), (column,), date.min, end, only=only)
        values = np.full((len(sessions), len(inputs.instrument_ids), 1), np.nan)
        for number, instrument_id in enumerate(inputs.instrument_ids):
            if (instrument_id,) in found:
                series = found[(instrument_id,)]
                rows, kept = _rows_of(sessions, series.sessions)
                values[rows, number, 0] = series.values[column][kept] / math.sqrt(periods_per_year)
        made[model] = PanelVolatility(values, np.full(len(sessions), -1))
    return made


def _rows_of(sessions: DateArray, wanted: DateArray) -> tuple[IntArray, IntArray]:
    """Rows of sessions that are among all, and their places among the wanted."""
    _, rows, kept = np.intersect1d(sessions, wanted, assume_unique=True, return_indices=True)
    return rows, kept


def _parts_out(found: Explained, inputs: PanelInputs) -> PartsOut:
    return PartsOut(
        features=dict(found.features),
        contributions=dict(found.contributions),
        sum_is="log_variance",
        instruments=len(inputs.instrument_ids),
    )
