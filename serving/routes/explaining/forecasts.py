"""Why a stored forecast is what it is: the whole history that its model read, and the model's parameters.

A model counts from the first session of a series, so the closes from that one on are the inputs. Of a model of all
instruments the parts that its forecast adds up are among them: see `panel_forecasts`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from psycopg import Connection
from sqlalchemy import Table

from pipeline.base.types import DateArray, FloatArray
from pipeline.forecast.backtest import ForecastSpec, quantile_forecasts, volatility_forecasts
from pipeline.forecast.models import (
    PANEL_MODELS,
    QUANTILE_MODELS,
    VOLATILITY_MODELS,
    PanelModel,
    QuantileModel,
    VolatilityModel,
)
from pipeline.forecast.models.combination import Combination
from pipeline.forecast.models.conformal import Conformal
from pipeline.forecast.models.panel_filter import stored_filter
from pipeline.forecast.models.panel_volatility import STAND_IN
from pipeline.forecast.models.pooled_panel import PooledPanel
from pipeline.forecast.models.protocol import VOLATILITY_FLOOR_DAILY, marked_version, stand_in_of
from pipeline.forecast.models.records import QuantileForecasts, VolatilityForecasts
from pipeline.risk.measures.windows import simple_returns
from pipeline.store.instruments import Instrument, read_instrument
from pipeline.store.packed_series import read_series
from pipeline.store.prices import read_price_panel
from pipeline.store.provenance import read_materialization
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST, read_quantile_forecasts
from pipeline.store.reading import Window
from pipeline.store.schema import value_columns
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST, read_volatility_forecasts
from serving.deps import Database
from serving.errors import problem_responses
from serving.inputs import InstrumentPath
from serving.routes.explaining.documented import (
    Documented,
    definition_of_column,
    path_of,
    sources_of,
    words_of,
    words_of_module,
)
from serving.routes.explaining.envelope import (
    AskedSession,
    DefinitionOut,
    ExplanationOut,
    InputsOut,
    Parameter,
)
from serving.routes.explaining.figures import (
    ROWS_OF_A_SESSION,
    Figure,
    explanation,
    flat,
    known_figure,
    not_stored,
)
from serving.routes.explaining.panel_forecasts import panel_parts
from serving.routes.explaining.prices import Inputs, inputs_out
from serving.routing import ComputingRoute

VOLATILITY_FIGURES = tuple(name for name in value_columns(VOLATILITY_FORECAST) if name.startswith("volatility"))
QUANTILE_FIGURES = tuple(name for name in value_columns(QUANTILE_FORECAST) if name.startswith(("quantile", "es")))

VOLATILITY_FORECASTS = "volatility_forecast"
"""Asset that writes what others build on."""

Forecasts = Sequence[VolatilityForecasts] | Sequence[QuantileForecasts]
Model = VolatilityModel | PanelModel | QuantileModel

router = APIRouter(route_class=ComputingRoute, prefix="/instruments", tags=["forecasts"])


@dataclass(frozen=True, slots=True)
class Kind:
    """A table of forecasts.

    Parameters
    ----------
    table
        That has them.
    figures
        Columns that are forecasts.
    models
        That make them.
    read
        Rows of an instrument.
    forecast
        From returns, of the rows of a slice.
    """

    table: Table
    figures: Sequence[str]
    models: Sequence[Model]
    read: Callable[[Connection, int, Window], Sequence[Any]]
    forecast: Callable[[FloatArray, ForecastSpec, slice], Forecasts]


VOLATILITY = Kind(
    VOLATILITY_FORECAST,
    VOLATILITY_FIGURES,
    (*VOLATILITY_MODELS, *PANEL_MODELS),
    read_volatility_forecasts,
    volatility_forecasts,
)
QUANTILES = Kind(QUANTILE_FORECAST, QUANTILE_FIGURES, QUANTILE_MODELS, read_quantile_forecasts, quantile_forecasts)


@router.get("/{symbol}/forecasts/volatility/explain", responses=problem_responses(501))
def explain_volatility_forecast(
    symbol: InstrumentPath,
    model: Annotated[
        str, Query(description=f"One of {', '.join(m.name for m in VOLATILITY.models)}.", examples=["har"])
    ],
    measure: Annotated[str, Query(description=f"One of {', '.join(VOLATILITY_FIGURES)}.", examples=["volatility_21d"])],
    database: Database,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain a stored forecast of volatility, as of a session."""
    return _explained(VOLATILITY, symbol, (model, measure), session, database)


@router.get("/{symbol}/forecasts/quantiles/explain", responses=problem_responses(501))
def explain_quantile_forecast(
    symbol: InstrumentPath,
    model: Annotated[
        str,
        Query(description=f"One of {', '.join(m.name for m in QUANTILE_MODELS)}.", examples=["filtered_historical"]),
    ],
    measure: Annotated[str, Query(description=f"One of {', '.join(QUANTILE_FIGURES)}.", examples=["quantile_0010"])],
    database: Database,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain a stored quantile of the return over 1 or 5 sessions, or an expected shortfall, as of a session."""
    return _explained(QUANTILES, symbol, (model, measure), session, database)


def forecast_again(kind: Kind, inputs: Inputs, model: str, daily: FloatArray | None = None) -> dict[str, float]:
    """Every figure of a model as of the last session of the inputs; none while it has too few.

    Parameters
    ----------
    daily
        (t, k) stored volatility over each horizon of quantiles, where the model filters by the panel's.
    """
    returns, last = simple_returns(inputs.close[:, 0]), slice(len(inputs.sessions) - 1, None)
    spec = ForecastSpec()
    made = kind.forecast(returns, spec, last) if daily is None else quantile_forecasts(returns, spec, last, daily)
    columns = next(forecasts for forecasts in made if forecasts.model == model).columns(inputs.sessions)
    return {name: float(columns[name][0]) for name in kind.figures if len(columns[name])}


def _explained(
    kind: Kind, symbol: str, named: tuple[str, str], session: date | None, database: Database
) -> ExplanationOut:
    name, measure = named
    models = {model.name: model for model in kind.models}
    model = models[known_figure(name, models, "model")]
    known_figure(measure, kind.figures)
    with database.reading() as connection:
        instrument = read_instrument(connection, symbol)
        rows = kind.read(connection, instrument.id, Window(session, session, ROWS_OF_A_SESSION))
        row = next((row for row in reversed(rows) if row.model == name), None)
        if row is None:
            raise not_stored(symbol, f"{kind.table.name} by {name}", session, f"instruments/{symbol}/forecasts")
        figure = Figure(
            instrument.symbol,
            [instrument.id],
            row.as_of,
            getattr(row, measure),
            "short_history: the horizon asks for more sessions",
            read_materialization(connection, row.materialization_id),
            _definition(kind.table, model, measure),
            _parameters(model, row),
            warnings=_warnings(model, row),
        )
        inputs = _read_history(connection, instrument, figure)
        answer = _inputs_out(inputs)
        again: float | None
        if isinstance(model, PooledPanel | Combination) and row.model_version == model.version:
            found = panel_parts(connection, model, instrument.id, figure, _horizon_of(measure))
            stored = {VOLATILITY_FORECASTS: (found.first, figure.session)}
            figure = replace(
                figure,
                instrument_ids=found.instrument_ids,
                inputs=stored,
                input_writes=found.writes,
                warnings=[*figure.warnings, *found.doubts],
            )
            answer, again = answer.model_copy(update={"parts": found.parts}), found.volatility_annual
        else:
            again = _alone(connection, kind, inputs, (model, row), instrument.id).get(measure)
        return explanation(connection, figure, answer, again, database.notice(connection))


def _horizon_of(measure: str) -> int:
    """Sessions of a figure such as ``volatility_21d``."""
    return int(measure.rpartition("_")[2].removesuffix("d"))


def _alone(
    connection: Connection, kind: Kind, inputs: Inputs, stored: tuple[Model, Any], instrument_id: int
) -> dict[str, float]:
    """Every figure of a row from the instrument's own history, and from its stored filter where it had one."""
    model, row = stored
    if len(inputs.sessions) <= 1:
        return {}
    if model in PANEL_MODELS:
        return forecast_again(kind, inputs, STAND_IN.name)
    is_filtered = isinstance(model, Conformal) and row.model_version == model.version
    return forecast_again(
        kind, inputs, model.name, _filter(connection, instrument_id, inputs.sessions) if is_filtered else None
    )


def _filter(connection: Connection, instrument_id: int, sessions: DateArray) -> FloatArray | None:
    """The combination's stored volatility over each horizon of quantiles, as the asset read it."""
    only: dict[str, int | str] = {"model": Combination.name, "instrument_id": instrument_id}
    spec = ForecastSpec()
    names = [f"volatility_{horizon}d" for horizon in spec.quantile_horizons_sessions]
    stored = read_series(connection, VOLATILITY_FORECAST, ("instrument_id",), names, date.min, date.max, only=only)
    if not stored:
        return None
    found = stored[(instrument_id,)]
    annual = np.column_stack([found.values[name] for name in names])
    return stored_filter(sessions, found.sessions, annual, spec.periods_per_year)


def _read_history(connection: Connection, instrument: Instrument, figure: Figure) -> Inputs:
    """Every close of the instrument up to the session, as the write knew them."""
    panel = read_price_panel(connection, [instrument.id], None, figure.session + timedelta(days=1), figure.known)
    close = panel.column(instrument.id)
    priced = np.isfinite(close)
    return Inputs(panel.sessions[priced], close[priced, None], (instrument.symbol,))


def _inputs_out(inputs: Inputs) -> InputsOut:
    returns = simple_returns(inputs.close[:, 0]).tolist() if len(inputs.sessions) else []
    return inputs_out(inputs, None).model_copy(update={"returns": returns})


def _parameters(model: Model, row: Any) -> dict[str, Parameter]:
    """Of the model, of what is asked of it, and of the row."""
    spec = ForecastSpec()
    return {
        "model": model.name,
        "model_version": row.model_version,
        "trained_through": row.trained_through.isoformat(),
        "periods_per_year": spec.periods_per_year,
        "volatility_floor_daily": VOLATILITY_FLOOR_DAILY,
        **flat(asdict(model)),  # type: ignore[call-overload]
    }


def _warnings(model: Model, row: Any) -> list[str]:
    stand_in = STAND_IN.name if model in PANEL_MODELS else stand_in_of(model)
    if row.model_version in (model.version, marked_version(model.version, stand_in or "")):
        return []
    return [f"model_version: stored by version {row.model_version}, computed again by version {model.version}"]


def _definition(table: Table, model: Model, measure: str) -> DefinitionOut:
    kind = type(model)
    formula = " ".join([words_of_module(kind), words_of(kind), *(words_of(method) for method in _methods(kind))])
    return definition_of_column(table, measure, path_of(kind), formula, sources_of(kind))


def _methods(kind: type) -> list[Documented]:
    """What a model offers beside what every model does."""
    shared = {"forecast", "minimum_returns"}
    return [
        method
        for name, method in vars(kind).items()
        if not name.startswith("_") and name not in shared and inspect.isfunction(method)
    ]
