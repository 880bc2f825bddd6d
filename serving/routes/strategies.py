"""Strategies: walked forward through stored prices, monthly rebalanced, after costs."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path
from psycopg import Connection
from pydantic import Field, StringConstraints

from pipeline.base.errors import NotFoundError
from pipeline.risk.measures.windows import TRADING_DAYS_PER_YEAR
from pipeline.simulation.strategies.catalogue import STRATEGIES, Strategy
from pipeline.store.instruments import read_instruments
from pipeline.store.outdating import NAV_SERIES
from pipeline.store.reading import LATEST
from pipeline.store.served_series import read_series_of_name
from pipeline.store.strategies import (
    STRATEGY_NAV,
    STRATEGY_WEIGHT,
    SetWeights,
    StrategyHistory,
    read_strategy_histories,
    read_strategy_nav,
    read_strategy_weights,
)
from serving.answers import Collection, Resource, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import Tabular, Windowed
from serving.references import references
from serving.routing import ThreadedRoute
from serving.stored_series import passed_through

router = APIRouter(route_class=ThreadedRoute, prefix="/strategies", tags=["simulations"])

NAV = Order.of_series(STRATEGY_NAV, "strategy")
WEIGHTS = Order("strategy weights", (date,), lambda row: (row.session,), is_reversed=True)
"""A row a month's end, with all of its stocks."""

StrategyPath = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z_]{1,31}$"),
    Path(description="Name of a strategy.", examples=["min_variance"]),
]


@described_by(STRATEGY_NAV)
class StrategyOut(Row):
    """A strategy and what it has come to. Its stocks are those of today, so what failed before is not among them."""

    name: str = Field(description="Name of the strategy.")
    summary: str = Field(description="What it does.")
    start: date | None = Field(description="First session with a value; null while there is none.")
    session: date | None = Field(description="Newest session with a value.")
    nav: float | None
    growth_annual: float | None = Field(description="Compound growth a year since the start, after costs [fraction]")
    turnover_annual: float | None = Field(description="Mean of what is bought and sold in a year [fraction of value]")
    cost_annual: float | None = Field(description="Mean cost of a year's trades [fraction of value]")


@described_by(STRATEGY_NAV)
class NavOut(Row):
    """A strategy on one session."""

    session: date
    nav: float | None
    daily_return: float | None
    turnover: float | None
    cost: float | None
    materialization_id: int


class HeldOut(Row):
    """A stock that a strategy holds."""

    symbol: str
    weight: float


@described_by(STRATEGY_WEIGHT)
class WeightsOut(Row):
    """What a strategy was to hold from a month's end on."""

    session: date
    method: str
    window_sessions: int
    eligible: int
    reason: str | None
    stocks: list[HeldOut] = Field(description="What is held, by symbol; weights sum to 1.")
    materialization_id: int


class StrategyAnswer(StrategyOut, Resource):
    """One strategy, and what it holds now."""

    weights: WeightsOut | None = Field(description="Newest weights; null while there are none.")


@router.get("")
def list_strategies(query: Tabular, database: Database) -> Collection[StrategyOut]:  # noqa: ARG001 - for its format
    """Every strategy, simple ones first."""
    with database.reading() as connection:
        histories = read_strategy_histories(connection)
        found = [_described(strategy, histories.get(strategy.name)) for strategy in STRATEGIES.values()]
        return Collection[StrategyOut].of(found, database.notice(connection))


@router.get("/{name}")
def get_strategy(name: StrategyPath, database: Database) -> StrategyAnswer:
    """A strategy, what it has come to, and what it holds."""
    strategy = _known(name)
    with database.reading() as connection:
        described = _described(strategy, read_strategy_histories(connection, name).get(name))
        newest = _weights_out(connection, read_strategy_weights(connection, name, LATEST))
        weights = newest[0] if newest else None
        return StrategyAnswer(**described.model_dump(), weights=weights, notice=database.notice(connection))


@router.get("/{name}/nav")
@passed_through(Collection[NavOut], NAV_SERIES, "name", read_series_of_name)
def list_strategy_nav(name: StrategyPath, query: Windowed, database: Database) -> Collection[NavOut]:
    """The newest values of a strategy inside a window, oldest first."""
    _known(name)
    with database.reading() as connection:
        rows = read_strategy_nav(connection, name, query.page(NAV))
        return Collection[NavOut].page(rows, query.limit, NAV, database.notice(connection))


@router.get("/{name}/weights")
def list_strategy_weights(name: StrategyPath, query: Windowed, database: Database) -> Collection[WeightsOut]:
    """The newest weights of a strategy inside a window, oldest first: a row a month's end."""
    _known(name)
    with database.reading() as connection:
        rows = _weights_out(connection, read_strategy_weights(connection, name, query.page(WEIGHTS)))
        return Collection[WeightsOut].page(rows, query.limit, WEIGHTS, database.notice(connection))


def _known(name: str) -> Strategy:
    strategy = STRATEGIES.get(name)
    if strategy is None:
        raise NotFoundError(f"There is no strategy {name!r}", f"Use one of {', '.join(STRATEGIES)}.")
    return strategy


def _described(strategy: Strategy, history: StrategyHistory | None) -> StrategyOut:
    years = history.sessions / TRADING_DAYS_PER_YEAR if history else None
    return StrategyOut(
        name=strategy.name,
        summary=strategy.summary,
        start=history.start if history else None,
        session=history.session if history else None,
        nav=history.nav if history else None,
        growth_annual=history.nav ** (1.0 / years) - 1.0 if history and years else None,
        turnover_annual=history.turnover / years if history and years else None,
        cost_annual=history.cost / years if history and years else None,
    )


def _weights_out(connection: Connection, rows: list[SetWeights]) -> list[WeightsOut]:
    symbols = references(read_instruments(connection)) if rows else {}
    return [
        WeightsOut(
            session=row.session,
            method=row.method,
            window_sessions=row.window_sessions,
            eligible=row.eligible,
            reason=row.reason,
            stocks=sorted(
                (
                    HeldOut(symbol=symbols[stock], weight=weight)
                    for stock, weight in zip(row.instrument_ids, row.weights, strict=True)
                ),
                key=lambda held: held.symbol,
            ),
            materialization_id=row.materialization_id,
        )
        for row in rows
    ]
