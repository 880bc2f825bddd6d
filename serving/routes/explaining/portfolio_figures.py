"""What can be explained of a portfolio: each of its newest stored figures, with the address that explains it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from psycopg import Connection
from pydantic import BaseModel, ConfigDict, Field

from pipeline.risk.measures import MEASURES
from pipeline.store.portfolio_risk import PORTFOLIO_RISK, read_portfolio_risk
from pipeline.store.portfolio_simulations import read_portfolio_simulations
from pipeline.store.portfolio_tails import read_portfolio_tails
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.reading import Window
from pipeline.store.stress_scenarios import read_stress_scenarios
from pipeline.store.var_backtests import read_var_backtests
from serving.answers import Resource, Row
from serving.deps import Database
from serving.inputs import IsoDate, PortfolioPath
from serving.routes.explaining.backtests import BACKTEST_FIGURES
from serving.routes.explaining.envelope import ExplainQuery, ExplanationOut, FigureName, Value
from serving.routes.explaining.figures import ROWS_OF_A_SESSION, finite
from serving.routes.explaining.risk import explain_portfolio_risk
from serving.routes.explaining.simulations import SIMULATION_FIGURES
from serving.routes.explaining.stress import WHOLE_FIGURES
from serving.routes.explaining.tails import ERROR_FIGURES, TAIL_FIGURES
from serving.routing import ComputingRoute

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["risk"])

Kind = Literal["risk", "tail", "backtests", "stress", "simulations"]

RISK_FIGURES = tuple(measure.name for measure in MEASURES)
TEMPLATES = {
    "contributions": "contributions/explain{?symbol,measure,session}",
    "stress": "stress/explain{?scenario,symbol,measure,session}",
    "limits": "limits/explain{?measure,direction,figure}",
    "value": "value/explain{?measure,symbol,session}",
    "history": "history/explain{?measure,start,session}",
}
"""Of what has figures of each position or limit, or is computed for each request."""


class PortfolioExplainQuery(BaseModel):
    """What to explain."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: FigureName | None = Field(
        None, description="Name of a measure of GET …/risk, which is explained; null lists all that can be explained."
    )
    session: IsoDate | None = Field(None, description="Session of the rows; null for the newest of each kind.")


class ExplainableOut(Row):
    """A stored figure."""

    kind: Kind = Field(description="Part of the address that lists such figures.")
    query: dict[str, str] = Field(description="Which of them it is: parameters of its explanation, beside the session.")
    session: date
    value: Value = Field(description="Null where it is undefined, which the explanation gives a reason for.")
    explain: str = Field(description="Address of its explanation.")


class ExplainablesOut(Resource):
    """Every newest stored figure of a portfolio."""

    table_name: ClassVar[str | None] = PORTFOLIO_RISK.name

    portfolio_id: int
    figures: list[ExplainableOut]
    templates: dict[str, str] = Field(
        description="Kind → address that explains what there is one of for each position or limit, or what is computed"
        " for each request; a URI template (RFC 6570)."
    )


@router.get("/{reference}/explain")
def explain_portfolio(
    reference: PortfolioPath, query: Annotated[PortfolioExplainQuery, Query()], database: Database
) -> ExplainablesOut | ExplanationOut:
    """List the newest stored figures of a portfolio, each with its explanation; with `measure`, explain that one."""
    if query.measure is not None:
        return explain_portfolio_risk(reference, ExplainQuery(measure=query.measure, session=query.session), database)
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        address = f"/api/v1/portfolios/{portfolio.id}"
        return ExplainablesOut(
            portfolio_id=portfolio.id,
            figures=[
                ExplainableOut(
                    kind=kind,
                    query=named,
                    session=session,
                    value=finite(value),
                    explain=f"{address}/{kind}/explain?{urlencode({**named, 'session': session.isoformat()})}",
                )
                for kind, named, session, value in _figures(connection, portfolio, query.session)
            ],
            templates={kind: f"{address}/{template}" for kind, template in TEMPLATES.items()},
            notice=database.notice(connection),
        )


def _figures(
    connection: Connection, portfolio: Portfolio, session: date | None
) -> Iterator[tuple[Kind, dict[str, str], date, Value]]:
    """Kind, parameters, session and value of each figure."""
    number = portfolio.id
    for row in _newest(lambda window: read_portfolio_risk(connection, number, window), session):
        yield from _of_row("risk", row, {}, RISK_FIGURES)
    for row in _newest(lambda window: read_portfolio_tails(connection, number, window), session):
        # What is not simulated has no standard error.
        errors = [name for name in ERROR_FIGURES if getattr(row, name) is not None]
        yield from _of_row("tail", row, {"method": row.method}, (*TAIL_FIGURES, *errors))
    for row in _newest(lambda window: read_var_backtests(connection, "portfolio", number, window), session):
        yield from _of_row("backtests", row, {"method": row.method, "measure": row.measure}, BACKTEST_FIGURES, "figure")
    for row in _newest(lambda window: read_stress_scenarios(connection, number, window), session):
        # A crisis before the prices begin has no figure, and nothing that one could be computed of.
        known = [name for name in WHOLE_FIGURES if getattr(row, name) is not None]
        yield from _of_row("stress", row, {"scenario": row.scenario}, known)
    for row in _newest(lambda window: read_portfolio_simulations(connection, number, window), session):
        yield from _of_row("simulations", row, {"model": row.model}, SIMULATION_FIGURES)


def _newest(read: Callable[[Window], Sequence[Any]], session: date | None) -> Sequence[Any]:
    """The rows of a session, or of the newest that has any."""
    for newest in read(Window(session, session, 1)):
        return read(Window(newest.session, newest.session, ROWS_OF_A_SESSION))
    return []


def _of_row(
    kind: Kind, row: Any, named: dict[str, str], figures: Sequence[str], parameter: str = "measure"
) -> Iterator[tuple[Kind, dict[str, str], date, Value]]:
    for name in figures:
        yield kind, {**named, parameter: name}, row.session, getattr(row, name)
