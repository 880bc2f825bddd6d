"""Why a position has the part of its portfolio's risk that it has."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query

from pipeline.base.errors import NotFoundError
from pipeline.risk.measures import RiskSpec
from pipeline.risk.measures.decomposition import (
    RiskParts,
    historical_es_parts,
    historical_var_parts,
    volatility_parts,
)
from pipeline.risk.measures.holdings import HeldPortfolio, hold
from pipeline.risk.measures.position_parts import position_parts
from pipeline.store.point_in_time import Knowledge
from pipeline.store.portfolio_contributions import PORTFOLIO_CONTRIBUTION, read_portfolio_contributions
from pipeline.store.portfolios import Portfolio, Position, read_portfolio
from pipeline.store.provenance import read_materialization
from pipeline.store.reading import Window
from pipeline.store.schema import value_columns
from serving.deps import Database
from serving.inputs import PortfolioPath
from serving.routes.explaining.documented import (
    Documented,
    definition_of_column,
    path_of,
    sources_of,
    words_of,
    words_of_field,
    words_of_module,
)
from serving.routes.explaining.envelope import AskedSession, DefinitionOut, ExplanationOut, PositionSymbol
from serving.routes.explaining.figures import (
    ROWS_OF_A_SESSION,
    Figure,
    explanation,
    known_figure,
    not_stored,
)
from serving.routes.explaining.prices import (
    Inputs,
    held_window,
    ids_of,
    inputs_out,
    name_of,
    portfolio_inputs,
    read_held_panel,
    symbols_of,
)
from serving.routing import ComputingRoute

WEIGHT = "weight"
CONTRIBUTION_FIGURES = tuple(
    name for name in value_columns(PORTFOLIO_CONTRIBUTION) if name not in ("window_sessions", "reason")
)
_FUNCTIONS: dict[str, Documented] = {
    "volatility": volatility_parts,
    "var_99_1d": historical_var_parts,
    "es_975_1d": historical_es_parts,
}

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["risk"])


@router.get("/{reference}/contributions/explain")
def explain_contribution(
    reference: PortfolioPath,
    symbol: PositionSymbol,
    measure: Annotated[
        str, Query(description=f"One of {', '.join(CONTRIBUTION_FIGURES)}.", examples=["var_99_1d_component"])
    ],
    database: Database,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain what a position has to do with the risk of its portfolio."""
    known_figure(measure, CONTRIBUTION_FIGURES)
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        position = position_of(portfolio, symbol)
        rows = read_portfolio_contributions(connection, portfolio.id, Window(session, session, ROWS_OF_A_SESSION))
        row = next((r for r in reversed(rows) if r.instrument_id == position.instrument_id), None)
        if row is None:
            address = f"portfolios/{reference}/contributions"
            raise not_stored(reference, f"contribution of {symbol}", session, address)
        write = read_materialization(connection, row.materialization_id)
        portfolio = read_portfolio(connection, reference, Knowledge(write.finished_at))
        place = symbols_of(portfolio).index(symbol)
        window = RiskSpec().window_sessions
        figure = Figure(
            name_of(portfolio),
            ids_of(portfolio),
            row.session,
            getattr(row, measure),
            row.reason,
            write,
            contribution_definition(measure),
            {"window_sessions": window, "position": place},
        )
        panel = read_held_panel(connection, portfolio, None, row.session, figure.known, window)
        inputs = portfolio_inputs(panel, portfolio, None, window)
        found = held_window(inputs, window) if len(inputs.sessions) else None
        again = contribution_again(inputs, measure, place, window)
        return explanation(connection, figure, inputs_out(inputs, found), again, database.notice(connection))


def contribution_again(inputs: Inputs, measure: str, place: int, window_sessions: int) -> float | None:
    """A figure of a position in the last window of the inputs; None where it cannot be."""
    if len(inputs.sessions) < 2:
        return None
    held: HeldPortfolio = inputs.series.held
    if measure == WEIGHT:
        return float(held.weights[-1][place])
    if len(inputs.sessions) <= window_sessions:
        return None
    measured, _, part = measure.rpartition("_")
    returns = np.ascontiguousarray(held.asset_returns[-window_sessions:])
    return float(getattr(position_parts(held.weights[-1], returns)[measured], part)[place])


def position_of(portfolio: Portfolio, symbol: str) -> Position:
    """A position of a portfolio.

    Raises
    ------
    NotFoundError
        Listing those that there are.
    """
    found = next((position for position in portfolio.positions if position.symbol == symbol), None)
    if found is None:
        held = ", ".join(symbols_of(portfolio)[:20])
        raise NotFoundError(f"{name_of(portfolio)} does not hold {symbol!r}", f"Choose one of {held}.")
    return found


def contribution_definition(measure: str) -> DefinitionOut:
    """A weight, or a part of a measure, in the words of what makes it."""
    if measure == WEIGHT:
        formula = words_of_field(HeldPortfolio, "weights")
        return definition_of_column(PORTFOLIO_CONTRIBUTION, measure, path_of(hold), formula, path_of(hold))
    measured, _, part = measure.rpartition("_")
    function = _FUNCTIONS[measured]
    formula = f"{words_of_module(RiskParts)} {part}: {words_of_field(RiskParts, part)} {words_of(function)}"
    sources = sources_of(RiskParts, volatility_parts)
    return definition_of_column(PORTFOLIO_CONTRIBUTION, measure, path_of(position_parts), formula, sources)
