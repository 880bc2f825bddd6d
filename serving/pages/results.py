"""The newest stored results of a portfolio: what its page and its tear sheet show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol, TypeVar

from psycopg import Connection

from pipeline.base.types import FloatArray
from pipeline.risk.measures.limits import LimitState
from pipeline.store.instruments import read_instruments
from pipeline.store.limits import StoredEvent, read_events, read_limits
from pipeline.store.portfolio_contributions import ContributionRow, read_portfolio_contributions
from pipeline.store.portfolio_risk import read_portfolio_risk
from pipeline.store.portfolio_simulations import SimulationRow, read_portfolio_simulations
from pipeline.store.portfolio_tails import TailRow, read_portfolio_tails
from pipeline.store.portfolios import Portfolio
from pipeline.store.quantile_forecasts import QuantileForecastRow, read_quantile_forecasts
from pipeline.store.reading import LATEST, Window
from pipeline.store.risk_columns import RiskRow
from pipeline.store.var_backtests import BacktestRow, read_var_backtests
from serving.inputs import MAXIMUM_ROWS
from serving.pages.holdings import Standing, limit_states, read_newest_panel, read_worth, standing_of
from serving.references import references

EVENTS = Window(limit=10)
MOST_EXPECTED = 25
"""Positions whose forecasts are shown."""


class _OnSession(Protocol):
    @property
    def session(self) -> date: ...


Row = TypeVar("Row", bound=_OnSession)
Read = Callable[[Connection, int, Window], list[Row]]


@dataclass(frozen=True, slots=True)
class Results:
    """Rows of the newest session that each table has; empty or None where nothing is stored.

    Parameters
    ----------
    names
        Instrument → the name under which it is found.
    worth
        What it is worth at the newest close, in its currency; None for target weights, which have no value.
    weights
        Of the positions at the newest close; empty without one.
    expected
        Position → forecast of its next session.
    """

    names: Mapping[int, str]
    standing: Standing | None
    worth: float | None
    weights: FloatArray | Sequence[float]
    risk: RiskRow | None
    limits: Sequence[LimitState]
    events: Sequence[StoredEvent]
    contributions: Sequence[ContributionRow]
    simulations: Sequence[SimulationRow]
    tails: Sequence[TailRow]
    backtests: Sequence[BacktestRow]
    expected: Mapping[str, QuantileForecastRow]


def read_results(connection: Connection, portfolio: Portfolio) -> Results:
    """The results of a portfolio."""
    names = references(read_instruments(connection))
    standing = standing_of(portfolio, read_newest_panel(connection, [portfolio]))
    risk = next(iter(read_portfolio_risk(connection, portfolio.id, LATEST)), None)
    return Results(
        names=names,
        standing=standing,
        worth=read_worth(connection, portfolio, standing),
        weights=[] if standing is None else standing.weights.tolist(),
        risk=risk,
        limits=limit_states(read_limits(connection, portfolio.id), risk, standing),
        events=read_events(connection, portfolio.id, EVENTS)[::-1],
        contributions=newest_group(read_portfolio_contributions, connection, portfolio.id),
        simulations=newest_group(read_portfolio_simulations, connection, portfolio.id),
        tails=newest_group(read_portfolio_tails, connection, portfolio.id),
        backtests=newest_group(_read_backtests, connection, portfolio.id),
        expected=read_expected(connection, portfolio, names),
    )


def newest_group(read: Read[Row], connection: Connection, number: int) -> list[Row]:
    """Every row of the newest session that has any."""
    return [
        row
        for newest in read(connection, number, LATEST)
        for row in read(connection, number, Window(newest.session, newest.session, MAXIMUM_ROWS))
    ]


def read_expected(
    connection: Connection, portfolio: Portfolio, names: Mapping[int, str]
) -> dict[str, QuantileForecastRow]:
    """The newest forecast of each position's next session, by the name under which it is found."""
    found = {}
    for position in portfolio.positions[:MOST_EXPECTED]:
        for row in read_quantile_forecasts(connection, position.instrument_id, LATEST):
            found[names.get(position.instrument_id, position.symbol)] = row
    return found


def _read_backtests(connection: Connection, portfolio_id: int, window: Window) -> list[BacktestRow]:
    return read_var_backtests(connection, "portfolio", portfolio_id, window)
