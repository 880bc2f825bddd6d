"""Every chart as an image of its own, for pages elsewhere: ``/charts/{kind}/{subject}.svg``.

Who may see it is asked as for a page; besides, a signed address opens one chart, see `pipeline.base.chart_links`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from psycopg import Connection
from pydantic import StringConstraints
from starlette.concurrency import run_in_threadpool

from pipeline.base.errors import NotFoundError
from pipeline.risk.report import HeldSeries
from pipeline.store.instruments import read_instruments
from pipeline.store.portfolio_contributions import read_portfolio_contributions
from pipeline.store.portfolio_simulations import read_portfolio_simulations
from pipeline.store.portfolio_tails import read_portfolio_tails
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.reading import Window
from serving.callers import CHART_READER, IDENTITY
from serving.deps import Connections, Database
from serving.pages import instruments
from serving.pages import portfolio_charts as charts
from serving.pages.drawing import Drawn, standalone
from serving.pages.histories import YEARS_WORDS, Years, read_history
from serving.pages.links import portfolio_at
from serving.pages.portfolios import (
    DEFAULT_METHOD,
    DEFAULT_MODEL,
    JUDGED_SESSIONS,
    Choices,
    MethodQuery,
    ModelQuery,
    YearsQuery,
    read_fan,
)
from serving.pages.rendering import PageRoute
from serving.pages.results import newest_group, read_expected
from serving.pages.trends import read_trend
from serving.references import references
from serving.routes.stress import StressQuery, list_stress

CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""A chart by itself carries its style sheet."""

FAN, TREND = "fan", "trend"

Subject = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._^=-]{1,128}$"), Path(description="Of the chart.")]

router = APIRouter(prefix="/charts", route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """A chart that is asked for."""

    database: Connections
    subject: str
    chosen: Choices
    query: Mapping[str, str]


@router.get("/{kind}/{subject}.svg")
async def chart_image(
    kind: str,
    subject: Subject,
    request: Request,
    database: Database,
    years: YearsQuery = Years.FIVE,
    method: MethodQuery = DEFAULT_METHOD,
    model: ModelQuery = DEFAULT_MODEL,
) -> Response:
    """A chart of a portfolio, an instrument or a table's column."""
    asked = Asked(database, subject, Choices(years, method, model), request.query_params)
    if kind == FAN:
        drawn = await _fan(request, subject, model)
    else:
        make = MAKERS.get(kind)
        if make is None:
            known = ", ".join(sorted({*MAKERS, FAN}))
            raise NotFoundError(f"There is no chart {kind[:64]!r}", f"Choose one of {known}.")
        drawn = await run_in_threadpool(make, asked)
    is_open = request.app.state.tokens is None or request.scope.get(IDENTITY) is CHART_READER
    headers = {
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": CONTENT_POLICY,
        # Whose cookie opens it, shows it on pages of the same site only; Chromium takes no two ports of an IP address
        # for one site, so that without a login Dagster's pages need the wider policy.
        "Cross-Origin-Resource-Policy": "cross-origin" if is_open else "same-site",
    }
    return Response(standalone(drawn.svg), 200, headers, "image/svg+xml")


async def _fan(request: Request, reference: str, model: str) -> Drawn:
    fan = await read_fan(request, reference, model)
    if fan is None:
        raise NotFoundError(
            f"There is no fan of {reference!r} by {model}",
            "Ask for a portfolio and model that are simulated, of a gateway that reaches portfolio-simulation.",
        )
    return charts.fan_chart(fan, portfolio_at(reference))


def _of_portfolio(draw: Callable[[Connection, Portfolio, Choices], Drawn], asked: Asked) -> Drawn:
    with asked.database.reading() as connection:
        return draw(connection, read_portfolio(connection, asked.subject), asked.chosen)


def _of_instrument(draw: Callable[[instruments.Series], Drawn], asked: Asked) -> Drawn:
    with asked.database.reading() as connection:
        return draw(instruments.read_of(connection, asked.subject))


def _trend(asked: Asked) -> Drawn:
    with asked.database.reading() as connection:
        return read_trend(connection, asked.subject, asked.query)


def _stress(asked: Asked) -> Drawn:
    return charts.stress_chart(list_stress(asked.subject, StressQuery(kind="historical"), asked.database).data)


def _series(connection: Connection, portfolio: Portfolio, years: Years) -> HeldSeries:
    history = read_history(connection, portfolio, years)
    if history.series is None:
        raise NotFoundError(f"There is no history to draw: {history.reason}", "Load prices of every position.")
    return history.series


def _wealth(connection: Connection, portfolio: Portfolio, chosen: Choices) -> Drawn:
    series = _series(connection, portfolio, chosen.years)
    return charts.wealth_chart(series, YEARS_WORDS[chosen.years], portfolio_at(str(portfolio.id)))


def _drawdown(connection: Connection, portfolio: Portfolio, chosen: Choices) -> Drawn:
    return charts.drawdown_chart(_series(connection, portfolio, chosen.years), portfolio_at(str(portfolio.id)))


def _exceptions(connection: Connection, portfolio: Portfolio, chosen: Choices) -> Drawn:
    tails = read_portfolio_tails(connection, portfolio.id, Window(limit=JUDGED_SESSIONS + 1), chosen.method)
    series = _series(connection, portfolio, chosen.years)
    return charts.exceptions_chart(charts.judged(series, tails), chosen.method, portfolio_at(str(portfolio.id)))


def _contributions(connection: Connection, portfolio: Portfolio, _: Choices) -> Drawn:
    rows = newest_group(read_portfolio_contributions, connection, portfolio.id)
    return charts.contribution_chart(rows, references(read_instruments(connection)))


def _simulation(connection: Connection, portfolio: Portfolio, _: Choices) -> Drawn:
    return charts.simulation_chart(newest_group(read_portfolio_simulations, connection, portfolio.id))


def _forecasts(connection: Connection, portfolio: Portfolio, _: Choices) -> Drawn:
    return charts.forecast_chart(read_expected(connection, portfolio, references(read_instruments(connection))))


_PORTFOLIO: Mapping[str, Callable[[Connection, Portfolio, Choices], Drawn]] = {
    "wealth": _wealth,
    "drawdown": _drawdown,
    "exceptions": _exceptions,
    "contributions": _contributions,
    "simulation": _simulation,
    "forecasts": _forecasts,
}
MAKERS: Mapping[str, Callable[[Asked], Drawn]] = {
    **{name: partial(_of_portfolio, draw) for name, draw in _PORTFOLIO.items()},
    **{name: partial(_of_instrument, draw) for name, draw in instruments.CHARTS.items()},
    "stress": _stress,
    TREND: _trend,
}
"""Kind of a chart → how it is made; `FAN` besides, which another service may have to compute."""
