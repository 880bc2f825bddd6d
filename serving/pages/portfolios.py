"""The page of a portfolio, and its charts as images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import APIRouter, Query, Response
from psycopg import Connection

from pipeline.base.errors import NotFoundError
from pipeline.risk.measures import MeasureInputError
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.tail_forecasts import DAILY_METHODS
from pipeline.risk.report import HeldSeries, held_series
from pipeline.store.instruments import read_instruments
from pipeline.store.limits import read_events, read_limits
from pipeline.store.portfolio_contributions import ContributionRow, read_portfolio_contributions
from pipeline.store.portfolio_risk import read_portfolio_risk
from pipeline.store.portfolio_simulations import SimulationRow, read_portfolio_simulations
from pipeline.store.portfolio_tails import read_portfolio_tails
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.prices import read_price_panel
from pipeline.store.reading import LATEST, Window
from pipeline.store.risk_columns import MEASURE_COLUMNS
from pipeline.store.var_backtests import BacktestRow, read_var_backtests
from serving.deps import Connections, Database
from serving.inputs import MAXIMUM_ROWS, PortfolioPath
from serving.pages import portfolio_charts as charts
from serving.pages.holdings import limit_states, read_newest_panel, standing_of
from serving.pages.rendering import PageRoute, chart, page
from serving.routes.portfolio_risk import end_of
from serving.routes.stress import list_stress, references
from serving.routes.tails import MethodName, read_held

JUDGED_SESSIONS = 252
"""Forecasts of value at risk that are shown beside what came."""

EVENTS = Window(limit=10)

router = APIRouter(prefix="/portfolios", route_class=PageRoute, include_in_schema=False)


class Years(StrEnum):
    """How far back the charts of wealth and drawdown reach."""

    ONE = "1"
    FIVE = "5"
    ALL = "all"


_SESSIONS = {Years.ONE: 252, Years.FIVE: 1_260}
_YEARS_WORDS = {Years.ONE: "one year", Years.FIVE: "five years", Years.ALL: "all years"}
DEFAULT_METHOD = "filtered_historical"

YearsQuery = Annotated[Years, Query()]
MethodQuery = Annotated[MethodName, Query()]


class _OnSession(Protocol):
    @property
    def session(self) -> date: ...


Row = TypeVar("Row", bound=_OnSession)
Read = Callable[[Connection, int, Window], list[Row]]


@dataclass(frozen=True, slots=True)
class History:
    """A portfolio through time, or why there is none."""

    series: HeldSeries | None
    reason: str = ""


@router.get("/{reference}")
def portfolio_page(
    reference: PortfolioPath,
    database: Database,
    years: YearsQuery = Years.FIVE,
    method: MethodQuery = DEFAULT_METHOD,
) -> Response:
    """A portfolio: what it earned, what it risks, by what, and whether earlier figures were right."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        values = _read_tables(connection, portfolio)
        history = read_history(connection, portfolio, years)
        tails = read_portfolio_tails(connection, portfolio.id, Window(limit=JUDGED_SESSIONS + 1), method)
        notice = database.notice(connection)
    scenarios = list_stress(reference, database).data
    if history.series is not None:
        judged = charts.judged(history.series, tails)
        values |= {
            "wealth_chart": charts.wealth_chart(history.series, _YEARS_WORDS[years]),
            "drawdown_chart": charts.drawdown_chart(history.series),
            "exceptions_chart": charts.exceptions_chart(judged, method),
            "judged": judged,
        }
    return page(
        "portfolio.html",
        notice,
        portfolio=portfolio,
        reference=portfolio.slug or str(portfolio.id),
        history=history,
        years=years.value,
        all_years=[(choice.value, _YEARS_WORDS[choice]) for choice in Years],
        method=method,
        methods=DAILY_METHODS,
        measures=MEASURE_COLUMNS,
        units={name: unit.name for name, unit, _ in MEASURE_COLUMNS},
        scenarios=scenarios,
        stress_chart=charts.stress_chart(scenarios),
        **values,
    )


@router.get("/{reference}/charts/{name}.svg")
def portfolio_chart(
    reference: PortfolioPath,
    name: str,
    database: Database,
    years: YearsQuery = Years.FIVE,
    method: MethodQuery = DEFAULT_METHOD,
) -> Response:
    """One of the charts as an image, for pages elsewhere."""
    make = _CHARTS.get(name)
    if make is None:
        raise NotFoundError(f"There is no chart {name[:64]!r} of a portfolio", f"Choose one of {', '.join(_CHARTS)}.")
    return chart(make(database, reference, years, method))


def read_history(connection: Connection, portfolio: Portfolio, years: Years) -> History:
    """Hold the portfolio through the newest sessions; without prices, the reason."""
    try:
        end = end_of(connection, None)
        sessions = _SESSIONS.get(years)
        if sessions is not None:
            return History(_newest(read_held(connection, portfolio, end, sessions), sessions))
        ids = [position.instrument_id for position in portfolio.positions]
        panel = read_price_panel(connection, ids, None, end)
        close = panel.columns(ids, portfolio.base_currency)
        return History(held_series(close, panel.sessions, None, Holdings(portfolio.amounts, portfolio.rebalancing)))
    except (MeasureInputError, NotFoundError) as error:
        return History(None, str(error))


def _newest(series: HeldSeries, sessions: int) -> HeldSeries:
    return HeldSeries(series.sessions[-sessions - 1 :], series.held.part(slice(-sessions, None)), None)


def newest_group(read: Read[Row], connection: Connection, number: int) -> list[Row]:
    """Every row of the newest session that has any."""
    return [
        row
        for newest in read(connection, number, LATEST)
        for row in read(connection, number, Window(newest.session, newest.session, MAXIMUM_ROWS))
    ]


def _read_tables(connection: Connection, portfolio: Portfolio) -> dict[str, Any]:
    names = references(read_instruments(connection))
    standing = standing_of(portfolio, read_newest_panel(connection, [portfolio]))
    risk = next(iter(read_portfolio_risk(connection, portfolio.id, LATEST)), None)
    contributions = newest_group(read_portfolio_contributions, connection, portfolio.id)
    simulations = newest_group(read_portfolio_simulations, connection, portfolio.id)
    return {
        "names": names,
        "standing": standing,
        "weights": [] if standing is None else standing.weights.tolist(),
        "risk": risk,
        "limits": limit_states(read_limits(connection, portfolio.id), risk, standing),
        "events": read_events(connection, portfolio.id, EVENTS)[::-1],
        "contributions": contributions,
        "contribution_chart": charts.contribution_chart(contributions, names),
        "simulations": simulations,
        "simulation_chart": charts.simulation_chart(simulations),
        "tails": newest_group(read_portfolio_tails, connection, portfolio.id),
        "backtests": newest_group(_read_backtests, connection, portfolio.id),
    }


def _read_backtests(connection: Connection, portfolio_id: int, window: Window) -> list[BacktestRow]:
    return read_var_backtests(connection, "portfolio", portfolio_id, window)


def _drawn(draw: Callable[[Connection, Portfolio, Years, str], str]) -> Callable[[Connections, str, Years, str], str]:
    def read_and_draw(database: Connections, reference: str, years: Years, method: str) -> str:
        with database.reading() as connection:
            return draw(connection, read_portfolio(connection, reference), years, method)

    return read_and_draw


def _required_series(connection: Connection, portfolio: Portfolio, years: Years) -> HeldSeries:
    history = read_history(connection, portfolio, years)
    if history.series is None:
        raise NotFoundError(f"There is no history to draw: {history.reason}", "Load prices of every position.")
    return history.series


def _draw_exceptions(connection: Connection, portfolio: Portfolio, years: Years, method: str) -> str:
    tails = read_portfolio_tails(connection, portfolio.id, Window(limit=JUDGED_SESSIONS + 1), method)
    return charts.exceptions_chart(charts.judged(_required_series(connection, portfolio, years), tails), method)


def _draw_contributions(connection: Connection, portfolio: Portfolio, _: Years, __: str) -> str:
    rows: Sequence[ContributionRow] = newest_group(read_portfolio_contributions, connection, portfolio.id)
    return charts.contribution_chart(rows, references(read_instruments(connection)))


def _draw_simulation(connection: Connection, portfolio: Portfolio, _: Years, __: str) -> str:
    rows: Sequence[SimulationRow] = newest_group(read_portfolio_simulations, connection, portfolio.id)
    return charts.simulation_chart(rows)


_CHARTS: dict[str, Callable[[Connections, str, Years, str], str]] = {
    "wealth": _drawn(lambda c, p, years, _: charts.wealth_chart(_required_series(c, p, years), _YEARS_WORDS[years])),
    "drawdown": _drawn(lambda c, p, years, _: charts.drawdown_chart(_required_series(c, p, years))),
    "exceptions": _drawn(_draw_exceptions),
    "contributions": _drawn(_draw_contributions),
    "stress": lambda database, reference, _, __: charts.stress_chart(list_stress(reference, database).data),
    "simulation": _drawn(_draw_simulation),
}
