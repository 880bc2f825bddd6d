"""Why a portfolio has come to what it has: its wealth, its fall and its return between two closes.

As the charts show it: today's holdings through the past, by their policy of rebalancing. A book's own history is
explained with its value.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from psycopg import Connection
from pydantic import Field

from pipeline.base.errors import NotFoundError
from pipeline.base.types import DateArray, FloatArray, add_months
from pipeline.risk.measures.drawdown import drawdowns
from pipeline.risk.measures.holdings import HeldPortfolio, Holdings
from pipeline.risk.measures.performance import annual_return
from pipeline.risk.report import HeldSeries, held_series
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.prices import PricePanel, read_price_panel
from serving.deps import Database
from serving.inputs import IsoDate, PortfolioPath
from serving.routes.explaining.documented import path_of, sources_of, words_of, words_of_field
from serving.routes.explaining.envelope import DefinitionOut, ExplainQuery, ExplanationOut, Parameter
from serving.routes.explaining.figures import Figure, explanation, known_figure
from serving.routes.explaining.prices import (
    MONTHS_BEFORE,
    Inputs,
    held_window,
    ids_of,
    inputs_out,
    name_of,
    portfolio_inputs,
)
from serving.routes.portfolio_risk import end_of
from serving.routing import ComputingRoute

WEALTH, DRAWDOWN, RETURN, BENCHMARK = "wealth", "drawdown", "total_return", "benchmark_return"
ANNUAL = "annual_return"
HISTORY_FIGURES = (WEALTH, DRAWDOWN, RETURN, ANNUAL, BENCHMARK)

LESS_THAN_A_YEAR = "less than a year, which says little of one"

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["risk"])


class HistoryQuery(ExplainQuery):
    """Which figure to explain, and from which close on."""

    session: IsoDate | None = Field(
        None, description="Day at whose close it ends, or at the last one before it; null for the newest."
    )
    start: IsoDate | None = Field(
        None,
        description="Day at whose close it begins, or at the last one before it, if none is earlier at the first; null"
        " for the close before the last.",
    )


@router.get("/{reference}/history/explain")
def explain_history(
    reference: PortfolioPath, query: Annotated[HistoryQuery, Query()], database: Database
) -> ExplanationOut:
    """Explain what today's holdings earned between two closes, or how far they had fallen at the second."""
    measure = known_figure(query.measure, HISTORY_FIGURES)
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        benchmark = _benchmark(connection, portfolio) if measure == BENCHMARK else None
        whole = _whole(connection, portfolio, benchmark, query.session)
        first, last = _places(whole.sessions, query)
        served = _figure_of(_returns(whole, measure)[first:last], measure)
        window = last - first
        panel = _panel(connection, portfolio, benchmark, whole.sessions[[first, last]])
        inputs = portfolio_inputs(panel, portfolio, benchmark, window)
        found = held_window(inputs, window) if window else None
        again = history_again(inputs, measure, window)
        parameters: dict[str, Parameter] = {"start": str(whole.sessions[first]), "sessions": window}
        day = whole.sessions[last].astype(date)
        ids = [*ids_of(portfolio), *([benchmark.id] if benchmark else [])]
        figure = Figure(name_of(portfolio), ids, day, served, LESS_THAN_A_YEAR, None, _definition(measure), parameters)
        return explanation(connection, figure, inputs_out(inputs, found), again, database.notice(connection))


def history_again(inputs: Inputs, measure: str, window_sessions: int) -> float | None:
    """A figure of the last window of the inputs; None if it is not full."""
    if len(inputs.sessions) <= window_sessions:
        return None
    if window_sessions == 0:
        return _figure_of(np.empty(0), measure)
    return _figure_of(_returns(inputs.series, measure)[-window_sessions:], measure)


def _returns(series: HeldSeries, measure: str) -> FloatArray:
    """Of the portfolio, or of its benchmark."""
    if measure != BENCHMARK:
        return series.held.returns
    assert series.benchmark is not None  # held beside one
    return series.benchmark


def _benchmark(connection: Connection, portfolio: Portfolio) -> Instrument:
    found = benchmark_of(read_instruments(connection), portfolio.benchmark_id)
    if found is None:
        raise NotFoundError(f"{name_of(portfolio)} has no benchmark", "PATCH it with the symbol of one.")
    return found


def _figure_of(returns: FloatArray, measure: str) -> float | None:
    """At the last close; None for the annual return of less than a year.

    Parameters
    ----------
    returns
        (n,) simple returns since the first close.
    """
    if measure == DRAWDOWN:
        return float(drawdowns(returns)[-1]) if len(returns) else 0.0
    wealth = float(np.prod(1.0 + returns))
    if measure == ANNUAL:
        return annual_return(wealth - 1.0, len(returns))
    return wealth if measure == WEALTH else wealth - 1.0


def _whole(
    connection: Connection, portfolio: Portfolio, benchmark: Instrument | None, session: date | None
) -> HeldSeries:
    """The holdings from the first close of all of them on, however far the charts reach back.

    Raises
    ------
    MeasureInputError
        If there is no such close.
    """
    ids, currency = ids_of(portfolio), portfolio.base_currency
    panel = read_price_panel(connection, _with(ids, benchmark), None, end_of(connection, session))
    index = None if benchmark is None else panel.column(benchmark.id, currency)
    holdings = Holdings(portfolio.amounts, *portfolio.policy)
    return held_series(panel.columns(ids, currency), panel.sessions, index, holdings)


def _with(ids: list[int], benchmark: Instrument | None) -> list[int]:
    return list(dict.fromkeys([*ids, *([benchmark.id] if benchmark else [])]))


def _places(sessions: DateArray, query: HistoryQuery) -> tuple[int, int]:
    """Positions of both closes."""
    last = len(sessions) - 1
    if query.start is None:
        return max(last - 1, 0), last
    first = int(np.searchsorted(sessions, np.datetime64(query.start, "D"), side="right")) - 1
    return min(max(first, 0), last), last


def _panel(connection: Connection, portfolio: Portfolio, benchmark: Instrument | None, ends: DateArray) -> PricePanel:
    """Prices between both closes, and from the rebalancing before the first."""
    first, last = ends[0].astype(date), ends[1].astype(date)
    is_walked = portfolio.rebalancing == "drift_band"  # from its first session on
    since = None if is_walked else add_months(first.replace(day=1), -MONTHS_BEFORE)
    return read_price_panel(connection, _with(ids_of(portfolio), benchmark), since, end_of(connection, last))


def _definition(measure: str) -> DefinitionOut:
    function = drawdowns if measure == DRAWDOWN else held_series
    return DefinitionOut(
        name=measure,
        function=path_of(function),
        meaning=_MEANINGS[measure],
        unit="ratio" if measure == WEALTH else "fraction",
        formula=f"{_FORMULAS[measure]} Returns: {words_of_field(HeldPortfolio, 'returns')}",
        source=sources_of(function),
        parameters={},
    )


_MEANINGS = {
    WEALTH: "What 1 invested at the close of start has become at the close of the session.",
    DRAWDOWN: "Fall from the highest close since start; 0 at a new peak.",
    RETURN: "Return from the close of start to that of the session.",
    ANNUAL: "The same per 252 sessions.",
    BENCHMARK: "Return of the benchmark from the close of start to that of the session, in the portfolio's currency.",
}
_FORMULAS = {
    WEALTH: "Π (1 + return).",
    DRAWDOWN: words_of(drawdowns),
    RETURN: "Π (1 + return) - 1.",
    ANNUAL: "(Π (1 + return))^(252/n) - 1, of n sessions.",
    BENCHMARK: "Π (1 + return of the benchmark) - 1.",
}
