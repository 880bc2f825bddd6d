"""Stored forecasts of an instrument: volatility by horizon, and quantiles of the next return and of five sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Protocol, TypeVar

from fastapi import APIRouter
from psycopg import Connection
from pydantic import ConfigDict, Field

from pipeline.store.instruments import read_instrument
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST, read_quantile_forecasts
from pipeline.store.reading import LATEST, Window
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST, read_volatility_forecasts
from serving.answers import Collection, Resource, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import MAXIMUM_ROWS, InstrumentPath, Latest, LatestQuery, Windowed
from serving.missing_forecasts import QUANTILE_KIND, VOLATILITY_KIND, MissingForecasts
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/instruments", tags=["forecasts"])

VOLATILITIES = Order.of_series(VOLATILITY_FORECAST, "instrument_id")
QUANTILES = Order.of_series(QUANTILE_FORECAST, "instrument_id")


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
    """A forecast of the return's distribution by one model; ``quantile_0010`` is the 1 % quantile, ``…_5d`` over 5."""

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
    quantile_0010_5d: float | None
    quantile_0025_5d: float | None
    quantile_0050_5d: float | None
    quantile_0250_5d: float | None
    quantile_0500_5d: float | None
    quantile_0750_5d: float | None
    quantile_0950_5d: float | None
    quantile_0975_5d: float | None
    quantile_0990_5d: float | None
    es_0010_5d: float | None
    es_0025_5d: float | None
    model_version: str
    trained_through: date
    materialization_id: int


class ForecastsOut(Resource):
    """Forecasts of an instrument, oldest first."""

    symbol: str
    volatility: list[VolatilityOut]
    quantiles: list[QuantilesOut]
    volatility_cursor: str | None = Field(
        description="`cursor` of GET …/forecasts/volatility for the earlier ones of the same window; null if there are"
        " none, and where no window was asked for."
    )
    quantiles_cursor: str | None = Field(description="As volatility_cursor, of GET …/forecasts/quantiles.")


class _Dated(Protocol):
    @property
    def as_of(self) -> date: ...


_Forecast = TypeVar("_Forecast", bound=_Dated)
_Reader = Callable[[Connection, int, Window], list[_Forecast]]


@router.get("/{symbol}/forecasts")
def list_forecasts(symbol: InstrumentPath, query: Latest, database: Database) -> ForecastsOut:
    """Every model's latest forecasts; with `start`, `end` or `limit`, the newest inside that window."""
    with database.reading() as connection:
        instrument = read_instrument(connection, symbol)
        volatility, earlier = _read(read_volatility_forecasts, connection, instrument.id, query, VOLATILITIES)
        quantiles, earlier_quantiles = _read(read_quantile_forecasts, connection, instrument.id, query, QUANTILES)
        missing = MissingForecasts(connection, instrument)
        return ForecastsOut(
            symbol=instrument.symbol,
            volatility=[VolatilityOut.model_validate(row) for row in volatility],
            quantiles=[QuantilesOut.model_validate(row) for row in quantiles],
            volatility_cursor=earlier,
            quantiles_cursor=earlier_quantiles,
            notice=database.notice(connection),
            warnings=[
                *missing.warnings(VOLATILITY_KIND, volatility, query.last),
                *missing.warnings(QUANTILE_KIND, quantiles, query.last),
            ],
        )


@router.get("/{symbol}/forecasts/volatility")
def list_volatility_forecasts(symbol: InstrumentPath, query: Windowed, database: Database) -> Collection[VolatilityOut]:
    """The newest stored forecasts of volatility inside a window, oldest first: a row a session and model."""
    with database.reading() as connection:
        instrument = read_instrument(connection, symbol)
        rows, cursor = VOLATILITIES.cut(
            read_volatility_forecasts(connection, instrument.id, query.page(VOLATILITIES)), query.limit
        )
        doubts = MissingForecasts(connection, instrument).warnings(VOLATILITY_KIND, rows, query.last)
        return Collection[VolatilityOut].of(rows, database.notice(connection), cursor, doubts)


@router.get("/{symbol}/forecasts/quantiles")
def list_quantile_forecasts(symbol: InstrumentPath, query: Windowed, database: Database) -> Collection[QuantilesOut]:
    """The newest stored quantiles of returns to come inside a window, oldest first: a row a session and model."""
    with database.reading() as connection:
        instrument = read_instrument(connection, symbol)
        rows, cursor = QUANTILES.cut(
            read_quantile_forecasts(connection, instrument.id, query.page(QUANTILES)), query.limit
        )
        doubts = MissingForecasts(connection, instrument).warnings(QUANTILE_KIND, rows, query.last)
        return Collection[QuantilesOut].of(rows, database.notice(connection), cursor, doubts)


def _read(
    read: _Reader[_Forecast], connection: Connection, instrument_id: int, query: LatestQuery, order: Order
) -> tuple[Sequence[_Forecast], str | None]:
    """The forecasts of a window and the cursor of those before, or those of every model as of the last session."""
    if query.model_fields_set:
        found = read(connection, instrument_id, Window(query.start, query.last, query.limit + 1))
        return order.cut(found, query.limit)
    newest = read(connection, instrument_id, LATEST)
    if not newest:
        return [], None
    return read(connection, instrument_id, Window(newest[0].as_of, newest[0].as_of, MAXIMUM_ROWS)), None
