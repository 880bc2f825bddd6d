"""Why a calculation on request says what it says, of returns, positions or a change of a portfolio."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from psycopg import Connection
from pydantic import ConfigDict, Field

from pipeline.risk.measures.limited import CONCENTRATION_MEASURES
from pipeline.store.instruments import Instrument, benchmark_of, read_instrument, read_instruments
from pipeline.store.portfolios import read_portfolio
from serving.deps import Database
from serving.inputs import PortfolioPath
from serving.routes.calculate import read_subject, with_stored_rates
from serving.routes.calculate_forms import CalculateIn
from serving.routes.explaining.envelope import ExplanationOut
from serving.routes.explaining.figures import known_figure
from serving.routes.explaining.prices import name_of
from serving.routes.explaining.reported import POSITION_FIGURES, TAIL_FIGURES, VALUE, ChosenFigure, report_figures
from serving.routes.explaining.reported_answers import explained_report
from serving.routes.subjects import Subject
from serving.routes.what_if import read_subjects
from serving.routes.what_if_forms import WhatIfIn
from serving.routing import ComputingRoute

router = APIRouter(route_class=ComputingRoute, tags=["risk"])


class ExplainCalculationIn(CalculateIn, ChosenFigure):
    """A calculation, and which of its figures; those about selling have an explanation of their own."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"returns": {"values": [0.01, -0.02, 0.005, 0.012, -0.007]}, "figure": "sharpe_ratio"},
                {
                    "positions": [{"symbol": "AAPL", "quantity": 10}],
                    "figure": "var",
                    "method": "filtered_historical",
                    "at": 0.99,
                },
            ]
        },
    )


class ExplainWhatIfIn(WhatIfIn, ChosenFigure):
    """A change of a portfolio, and which figure before or after it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"trades": [{"symbol": "AAPL", "quantity": -20}], "figure": "var_99_1d"},
                {"trades": [{"symbol": "AAPL", "quantity": -20}], "figure": "es", "method": "ewma", "side": "before"},
            ]
        },
    )

    side: Literal["before", "after"] = Field("after", description="Differences are the figure after less before.")


@router.post("/calculate/explain")
def explain_calculation(asked: ExplainCalculationIn, database: Database) -> ExplanationOut:
    """Explain a figure of a calculation, which is computed for each request."""
    spec, is_held = asked.spec, asked.positions is not None
    known_figure(asked.figure, report_figures(spec, (*CONCENTRATION_MEASURES, "weight") if is_held else ()), "figure")
    subject, notice = read_subject(asked, database)
    subject = with_stored_rates(asked, subject, database)
    with database.reading() as connection:
        benchmark = _benchmark(connection, asked)
        return explained_report(connection, _name(subject), subject, benchmark, spec, asked, notice)


@router.post("/portfolios/{reference}/what-if/explain")
def explain_what_if(reference: PortfolioPath, asked: ExplainWhatIfIn, database: Database) -> ExplanationOut:
    """Explain a figure of a portfolio before or after trades, which is computed for each request."""
    spec = asked.spec
    offered = (*spec.measures, *TAIL_FIGURES, *CONCENTRATION_MEASURES, *POSITION_FIGURES, VALUE)
    known_figure(asked.figure, offered, "figure")
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        before, after = read_subjects(connection, portfolio, asked)
        subject = before if asked.side == "before" else after
        benchmark = benchmark_of(read_instruments(connection), portfolio.benchmark_id)
        notice = database.notice(connection)
        found = explained_report(connection, name_of(portfolio), subject, benchmark, spec, asked, notice)
    return found.model_copy(update={"parameters": {**found.parameters, "side": asked.side}})


def _benchmark(connection: Connection, asked: CalculateIn) -> Instrument | None:
    """Whose stored prices were asked for."""
    return read_instrument(connection, asked.benchmark) if isinstance(asked.benchmark, str) else None


def _name(subject: Subject) -> str:
    return "returns" if subject.held is None else ", ".join(subject.held.symbols)
