"""Prices, risk and forecasts of several instruments in one answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from fastapi import APIRouter
from psycopg import Connection
from sqlalchemy import Table

from pipeline.base.errors import InvalidInputError, NotFoundError
from pipeline.store.batches import Of, read_bar_batch, read_batch
from pipeline.store.instrument_risk import INSTRUMENT_RISK
from pipeline.store.instruments import Instrument, find_instruments, read_instrument
from pipeline.store.prices import PRICE
from pipeline.store.probability_forecasts import PROBABILITY_FORECAST, ProbabilityForecastRow
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST, QuantileForecastRow
from pipeline.store.reading import Row as StoredRow
from pipeline.store.risk_columns import RiskRow
from pipeline.store.trading import read_newest_session
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST, VolatilityForecastRow
from serving.answers import Collection, Row
from serving.answers.cursors import Order
from serving.deps import Connections, Database
from serving.inputs import Batched, BatchQuery, KnownBatched
from serving.measures import RiskOut
from serving.routes.forecasts import QuantilesOut, VolatilityOut
from serving.routes.prices import BarOut
from serving.routes.probabilities import ProbabilityOut, judged
from serving.routing import ThreadedRoute

market_data = APIRouter(route_class=ThreadedRoute, tags=["market data"])
risk = APIRouter(route_class=ThreadedRoute, tags=["risk"])
forecasts = APIRouter(route_class=ThreadedRoute, tags=["forecasts"])


class Named(Row):
    """A row of one of several instruments."""

    symbol: str


class NamedBarOut(BarOut, Named):
    """A daily bar; null where the provider has no such number."""


class NamedRiskOut(RiskOut, Named):
    """The stored measures of the window that ends with a session."""


class NamedVolatilityOut(VolatilityOut, Named):
    """A volatility forecast of one model, a field a horizon."""


class NamedQuantilesOut(QuantilesOut, Named):
    """A forecast of the next return's distribution by one model."""


class NamedProbabilityOut(ProbabilityOut, Named):
    """A forecast of probabilities by one model, with the record of its model."""


class _NamedRow:
    """A stored row with the symbol under which its instrument was asked for."""

    __slots__ = ("_row", "symbol")

    def __init__(self, symbol: str, row: object) -> None:
        self.symbol, self._row = symbol, row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, name)


def _order(table: Table) -> Order:
    """By the key of the table, which begins with the instrument."""
    first, *rest = (column.name for column in table.primary_key)
    key = attrgetter(*(f"row.{name}" for name in rest))
    kinds = tuple(column.type.python_type for column in table.primary_key)
    if len(rest) == 1:
        return Order(f"{table.name}s", kinds, lambda each: (getattr(each, first), key(each)))
    return Order(f"{table.name}s", kinds, lambda each: (getattr(each, first), *key(each)))


BARS, RISKS = _order(PRICE), _order(INSTRUMENT_RISK)
VOLATILITIES, QUANTILES = _order(VOLATILITY_FORECAST), _order(QUANTILE_FORECAST)
PROBABILITIES = _order(PROBABILITY_FORECAST)


@market_data.get("/prices")
def list_prices_of_several(query: KnownBatched, database: Database) -> Collection[NamedBarOut]:
    """Bars of several instruments: one after the other, each oldest first."""
    with database.reading(as_known=query.known_at is not None) as connection:
        names = instruments_named(connection, query.symbols)
        span = query.page(BARS, read_newest_session(connection, list(names)))
        found = read_bar_batch(connection, list(names), span, query.known)
        kept, following = BARS.cut(found, query.limit)
        return Collection[NamedBarOut].of(_named(kept, names), database.notice(connection), following)


@risk.get("/instrument-risk")
def list_risk_of_several(query: Batched, database: Database) -> Collection[NamedRiskOut]:
    """The stored rolling 252-session measures of several instruments: one after the other, each oldest first."""
    return Collection[NamedRiskOut].of(*_batch(query, database, INSTRUMENT_RISK, RiskRow, RISKS))


@forecasts.get("/volatility-forecasts")
def list_volatilities_of_several(query: Batched, database: Database) -> Collection[NamedVolatilityOut]:
    """Volatility forecasts of several instruments by every model: one after the other, each oldest first."""
    found = _batch(query, database, VOLATILITY_FORECAST, VolatilityForecastRow, VOLATILITIES)
    return Collection[NamedVolatilityOut].of(*found)


@forecasts.get("/quantile-forecasts")
def list_quantiles_of_several(query: Batched, database: Database) -> Collection[NamedQuantilesOut]:
    """Quantile forecasts of several instruments by every model: one after the other, each oldest first."""
    found = _batch(query, database, QUANTILE_FORECAST, QuantileForecastRow, QUANTILES)
    return Collection[NamedQuantilesOut].of(*found)


@forecasts.get("/probability-forecasts")
def list_probabilities_of_several(query: Batched, database: Database) -> Collection[NamedProbabilityOut]:
    """Chances of a positive return and of its rank of several instruments: one after the other, each oldest first."""
    with database.reading() as connection:
        names = instruments_named(connection, query.symbols)
        span = query.page(PROBABILITIES, read_newest_session(connection, list(names)))
        found = read_batch(connection, PROBABILITY_FORECAST, list(names), span, ProbabilityForecastRow)
        kept, following = PROBABILITIES.cut(found, query.limit)
        rows = judged(connection, [each.row for each in kept])
        named = [_NamedRow(names[each.instrument_id], row) for each, row in zip(kept, rows, strict=True)]
        return Collection[NamedProbabilityOut].of(named, database.notice(connection), following)


def _batch(
    query: BatchQuery, database: Connections, table: Table, row_type: type[StoredRow], order: Order
) -> tuple[Sequence[object], str | None, str | None]:
    """The rows of a page, the notice, and the cursor of the next page."""
    with database.reading() as connection:
        names = instruments_named(connection, query.symbols)
        span = query.page(order, read_newest_session(connection, list(names)))
        kept, following = order.cut(read_batch(connection, table, list(names), span, row_type), query.limit)
        return _named(kept, names), database.notice(connection), following


def _named(rows: Sequence[Of[Any]], names: Mapping[int, str]) -> list[_NamedRow]:
    return [_NamedRow(names[each.instrument_id], each.row) for each in rows]


def instruments_named(connection: Connection, symbols: Sequence[str]) -> dict[int, str]:
    """Instrument → the first of the symbols that names it.

    Raises
    ------
    InvalidInputError
        Naming every symbol that none has.
    """
    current = find_instruments(connection, symbols)
    names: dict[int, str] = {}
    unknown = []
    for symbol in dict.fromkeys(symbols):
        found = current.get(symbol) or _that_had(connection, symbol)
        if found is None:
            unknown.append(symbol)
        else:
            names.setdefault(found.id, symbol)
    if unknown:
        raise InvalidInputError(
            f"symbols: no instrument has the symbol {', '.join(unknown)}",
            "Leave them out; GET /api/v1/instruments lists those known.",
        )
    return names


def _that_had(connection: Connection, reference: str) -> Instrument | None:
    """The instrument that had a symbol on a day; None for a symbol alone, which was looked for, or if none had it."""
    if "@" not in reference:
        return None
    try:
        return read_instrument(connection, reference)
    except NotFoundError:
        return None
