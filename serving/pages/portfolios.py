"""The page of a portfolio."""

from __future__ import annotations

from dataclasses import dataclass, fields
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.store.portfolio_tails import read_portfolio_tails
from pipeline.store.portfolios import read_portfolio
from pipeline.store.reading import Window
from pipeline.store.risk_columns import MEASURE_COLUMNS
from serving.deps import Connections, Database
from serving.inputs import PortfolioPath
from serving.pages import portfolio_charts as charts
from serving.pages.asking import asked
from serving.pages.histories import YEARS_WORDS, Years, read_history
from serving.pages.links import portfolio_at
from serving.pages.rendering import PageRoute, page
from serving.pages.results import read_results
from serving.routes.simulation_fans import FanOut
from serving.routes.stress import StressQuery, list_stress
from serving.routes.tails import MethodName

JUDGED_SESSIONS = 252
"""Forecasts of value at risk that are shown beside what came."""

router = APIRouter(prefix="/portfolios", route_class=PageRoute, include_in_schema=False)

DEFAULT_METHOD = "filtered_historical"
DEFAULT_MODEL = "stationary_bootstrap"
YearsQuery = Annotated[Years, Query()]
MethodQuery = Annotated[MethodName, Query()]
ModelQuery = Annotated[str, Query(pattern=r"^[a-z_]{1,40}$")]


@dataclass(frozen=True, slots=True)
class Choices:
    """What a reader chose to see."""

    years: Years
    method: str
    model: str


@router.get("/{reference}")
async def portfolio_page(
    request: Request,
    reference: PortfolioPath,
    database: Database,
    years: YearsQuery = Years.FIVE,
    method: MethodQuery = DEFAULT_METHOD,
    model: ModelQuery = DEFAULT_MODEL,
) -> Response:
    """A portfolio: what it earned, what it risks, by what, and whether earlier figures were right."""
    fan = await read_fan(request, reference, model)
    return await run_in_threadpool(_page, database, reference, Choices(years, method, model), fan)


def _page(database: Connections, reference: str, chosen: Choices, fan: FanOut | None) -> Response:
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        found = read_results(connection, portfolio)
        history = read_history(connection, portfolio, chosen.years)
        tails = read_portfolio_tails(connection, portfolio.id, Window(limit=JUDGED_SESSIONS + 1), chosen.method)
        notice = database.notice(connection)
    scenarios = list_stress(reference, StressQuery(), database).data
    crises = [scenario for scenario in scenarios if scenario.kind == "historical"]
    subject = portfolio_at(portfolio.slug or str(portfolio.id))
    values: dict[str, Any] = {field.name: getattr(found, field.name) for field in fields(found)}
    if history.series is not None:
        judged = charts.judged(history.series, tails)
        values |= {
            "wealth_chart": charts.wealth_chart(history.series, YEARS_WORDS[chosen.years], subject),
            "drawdown_chart": charts.drawdown_chart(history.series, subject),
            "exceptions_chart": charts.exceptions_chart(judged, chosen.method, subject),
            "judged": judged,
        }
    return page(
        "portfolio.html",
        notice,
        portfolio=portfolio,
        reference=portfolio.slug or str(portfolio.id),
        history=history,
        years=chosen.years.value,
        all_years=[(choice.value, YEARS_WORDS[choice]) for choice in Years],
        method=chosen.method,
        methods=tuple(VAR_METHODS),
        model=chosen.model,
        fan=fan,
        fan_chart=None if fan is None else charts.fan_chart(fan, subject),
        measures=MEASURE_COLUMNS,
        units={name: unit.name for name, unit, _ in MEASURE_COLUMNS},
        crises=crises,
        shocks=[scenario for scenario in scenarios if scenario.kind != "historical"],
        contribution_chart=charts.contribution_chart(found.contributions, found.names),
        stress_chart=charts.stress_chart(crises),
        simulation_chart=charts.simulation_chart(found.simulations),
        forecast_chart=charts.forecast_chart(found.expected),
        **values,
    )


async def read_fan(request: Request, reference: str, model: str) -> FanOut | None:
    """The fan of the stored simulation, from the service that simulates; None where there is none to be had."""
    query = urlencode({"model": model}).encode()
    status, body = await asked(request, f"/api/v1/portfolios/{reference}/simulations/fan", query)
    return FanOut.model_validate_json(body) if status == HTTPStatus.OK else None
