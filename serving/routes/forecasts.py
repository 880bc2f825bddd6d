"""Stored forecasts of an instrument: volatility by horizon, and quantiles of the next return."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Protocol, TypeVar

from fastapi import APIRouter
from psycopg import Connection
from pydantic import ConfigDict

from pipeline.store.instruments import read_instrument
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST, read_quantile_forecasts
from pipeline.store.reading import LATEST, Window
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST, read_volatility_forecasts
from serving.answers import Resource, Row, described_by
from serving.deps import Database
from serving.inputs import MAXIMUM_ROWS, InstrumentPath, Latest
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/instruments", tags=["forecasts"])


@described_by(VOLATILITY_FORECAST)
class VolatilityOut(Row):
    """A volatility forecast of one model, a field a horizon."""

    model_config = ConfigDict(protected_namespaces=())

    as_of: date
    model: str
    volatility_1d: float | None
    volatility_5d: float | None
    volatility_21d: float | None
    model_version: str
    trained_through: date
    materialization_id: int


@described_by(QUANTILE_FORECAST)
class QuantilesOut(Row):
    """A forecast of the next return's distribution by one model; ``quantile_0010`` is the 1 % quantile."""

    model_config = ConfigDict(protected_namespaces=())

    as_of: date
    model: str
    horizon_sessions: int
    quantile_0010: float | None
    quantile_0025: float | None
    quantile_0050: float | None
    quantile_0250: float | None
    quantile_0500: float | None
    quantile_0750: float | None
    quantile_0950: float | None
    quantile_0975: float | None
    quantile_0990: float | None
    es_0010: float | None
    es_0025: float | None
    model_version: str
    trained_through: date
    materialization_id: int


class ForecastsOut(Resource):
    """Forecasts of an instrument, oldest first."""

    symbol: str
    volatility: list[VolatilityOut]
    quantiles: list[QuantilesOut]


class _Dated(Protocol):
    @property
    def as_of(self) -> date: ...


_Forecast = TypeVar("_Forecast", bound=_Dated)


@router.get("/{symbol}/forecasts")
def list_forecasts(symbol: InstrumentPath, query: Latest, database: Database) -> ForecastsOut:
    """Every model's latest forecasts; with `start`, `end` or `limit`, the newest inside that window."""
    with database.reading() as connection:
        instrument = read_instrument(connection, symbol)
        window = query.window if query.model_fields_set else None
        volatility = _read(read_volatility_forecasts, connection, instrument.id, window)
        quantiles = _read(read_quantile_forecasts, connection, instrument.id, window)
        return ForecastsOut(
            symbol=instrument.symbol,
            volatility=[VolatilityOut.model_validate(row) for row in volatility],
            quantiles=[QuantilesOut.model_validate(row) for row in quantiles],
            notice=database.notice(connection),
        )


def _read(
    read: Callable[[Connection, int, Window], list[_Forecast]],
    connection: Connection,
    instrument_id: int,
    window: Window | None,
) -> list[_Forecast]:
    """The forecasts of a window, or those of every model as of the last session."""
    if window is not None:
        return read(connection, instrument_id, window)
    newest = read(connection, instrument_id, LATEST)
    if not newest:
        return []
    return read(connection, instrument_id, Window(newest[0].as_of, newest[0].as_of, MAXIMUM_ROWS))
