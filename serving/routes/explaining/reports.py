"""Why the report of a portfolio says what it says, where it is computed for each request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, cast

from fastapi import APIRouter, Query
from psycopg import Connection
from pydantic import ConfigDict, Field

from pipeline.risk.measures.limited import CONCENTRATION_MEASURES
from pipeline.risk.measures.limits import Direction
from pipeline.store.instruments import benchmark_of, read_instruments
from pipeline.store.limits import StoredLimit, read_limits
from pipeline.store.portfolios import Portfolio, read_portfolio
from serving.deps import Database
from serving.inputs import PortfolioPath
from serving.routes.calculate_forms import Name
from serving.routes.explaining.envelope import ExplanationOut, Parameter
from serving.routes.explaining.figures import explanation, known_figure
from serving.routes.explaining.limits import LIMIT_FIGURES, limit_definition, limit_of, stands
from serving.routes.explaining.prices import name_of
from serving.routes.explaining.reported import POSITION_FIGURES, VALUE, ChosenFigure, Measured, report_figures, told
from serving.routes.explaining.reported_answers import explained_report, reported_figure, subject_inputs
from serving.routes.portfolio_report import SPEC, read_report_subject
from serving.routing import ComputingRoute

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["portfolios"])


class ExplainReportQuery(ChosenFigure):
    """Which figure of the report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Name | None = Field(
        None, description=f"Measure of a limit, of which the figure is then one of {', '.join(LIMIT_FIGURES)}."
    )
    direction: Direction | None = Field(None, description="Side of the limit, where there are two.")


@router.get("/{reference}/report/explain")
def explain_report(
    reference: PortfolioPath, query: Annotated[ExplainReportQuery, Query()], database: Database
) -> ExplanationOut:
    """Explain a measure, a tail, a drawdown, a contribution or a limit of the report, as of its newest session.

    Its backtests, stress and simulations are stored, and its returns are a history: they have their own addresses.
    """
    if query.limit is None:
        offered = report_figures(SPEC, (*CONCENTRATION_MEASURES, *POSITION_FIGURES, VALUE))
        known_figure(query.figure, offered, "figure")
    else:
        known_figure(query.figure, LIMIT_FIGURES, "figure")
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        notice = database.notice(connection)
        if query.limit is not None:
            return _of_limit(connection, portfolio, query, notice)
        benchmark = benchmark_of(read_instruments(connection), portfolio.benchmark_id)
        subject = read_report_subject(connection, portfolio, benchmark)
        return explained_report(connection, name_of(portfolio), subject, benchmark, SPEC, query, notice)


def _of_limit(
    connection: Connection, portfolio: Portfolio, query: ExplainReportQuery, notice: str | None
) -> ExplanationOut:
    """Where the measure of today stands against a limit."""
    limits: Sequence[StoredLimit] = read_limits(connection, portfolio.id)
    limit = limit_of(limits, portfolio, query.limit or "", query.direction)
    benchmark = benchmark_of(read_instruments(connection), portfolio.benchmark_id)
    subject = read_report_subject(connection, portfolio, benchmark)
    limited = ChosenFigure(figure=limit.measure)
    figure = reported_figure(name_of(portfolio), subject, benchmark, SPEC, limited)
    inputs = subject_inputs(subject, benchmark, limited)
    again = told(Measured.again(inputs, len(subject.windows.returns)), SPEC, limited)
    of_limit: dict[str, Parameter] = {
        "limit": limit.measure,
        "direction": limit.direction,
        "warn": limit.warn,
        "breach": limit.breach,
    }
    figure = replace(
        figure,
        value=stands(limit, cast("float | None", figure.value), query.figure),
        definition=limit_definition(limit.measure, query.figure),
        parameters={**figure.parameters, **of_limit},
    )
    state = stands(limit, cast("float | None", again.value), query.figure)
    return explanation(connection, figure, inputs, state, notice)
