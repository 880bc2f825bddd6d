"""Why a portfolio stands as it does against a limit: the measure, the closes behind it, and the thresholds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, cast

from fastapi import APIRouter, Query
from psycopg import Connection

from pipeline.base.errors import NotFoundError
from pipeline.risk.measures import RiskSpec, measure_named
from pipeline.risk.measures.concentration import concentration
from pipeline.risk.measures.limited import CONCENTRATION_MEASURES
from pipeline.risk.measures.limits import Direction, Limit, LimitState, check_limits
from pipeline.store.instruments import benchmark_of, read_instruments
from pipeline.store.limits import StoredLimit, read_limits
from pipeline.store.portfolio_risk import read_portfolio_risk
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.provenance import Materialization, read_materialization
from pipeline.store.reading import Window
from pipeline.store.risk_columns import RiskRow
from serving.deps import Database
from serving.inputs import PortfolioPath
from serving.routes.explaining.documented import definition_of, path_of, words_of, words_of_field
from serving.routes.explaining.envelope import AskedSession, DefinitionOut, ExplanationOut, InputsOut, Value
from serving.routes.explaining.figures import Figure, explanation, known_figure, not_stored
from serving.routes.explaining.prices import (
    Inputs,
    ids_of,
    inputs_out,
    name_of,
    portfolio_inputs,
    read_held_panel,
    recompute,
)
from serving.routes.explaining.risk import with_own_rates
from serving.routing import ComputingRoute

LIMIT_FIGURES = ("status", "value", "headroom")

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["limits"])


@router.get("/{reference}/limits/explain")
def explain_limit(
    reference: PortfolioPath,
    measure: Annotated[str, Query(description="Measure of the limit.", examples=["var_99_1d"])],
    database: Database,
    direction: Annotated[Direction | None, Query(description="Side of the limit, where there are two.")] = None,
    figure: Annotated[str, Query(description=f"One of {', '.join(LIMIT_FIGURES)}.")] = "status",
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain where a portfolio stood against one of its limits on a measured session, the newest by default."""
    known_figure(figure, LIMIT_FIGURES, "figure")
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        limit = limit_of(read_limits(connection, portfolio.id), portfolio, measure, direction)
        rows = read_portfolio_risk(connection, portfolio.id, Window(session, session, 1))
        if not rows:
            raise not_stored(reference, "risk", session, f"portfolios/{reference}/risk")
        write = read_materialization(connection, rows[-1].materialization_id)
        asked = _figure(portfolio, limit, rows[-1], write, figure)
        portfolio = read_portfolio(connection, reference, asked.known)
        asked, inputs, again = _measured_again(connection, portfolio, asked, rows[-1], measure)
        stored = again if measure in CONCENTRATION_MEASURES else getattr(rows[-1], measure)
        asked = replace(asked, value=stands(limit, stored, figure))
        return explanation(connection, asked, inputs, stands(limit, again, figure), database.notice(connection))


def limit_of(
    limits: Sequence[StoredLimit], portfolio: Portfolio, measure: str, direction: Direction | None
) -> StoredLimit:
    """The limit on a measure.

    Raises
    ------
    NotFoundError
        Listing those that there are.
    """
    found = [limit for limit in limits if limit.measure == measure and direction in (None, limit.direction)]
    if not found:
        known = ", ".join(f"{limit.measure} ({limit.direction})" for limit in limits) or "none"
        raise NotFoundError(
            f"{name_of(portfolio)} has no such limit on {measure[:64]!r}", f"Its limits: {known}. Set others by PUT."
        )
    return found[0]


def _figure(portfolio: Portfolio, limit: StoredLimit, row: RiskRow, write: Materialization, figure: str) -> Figure:
    parameters = {
        "measure": limit.measure,
        "direction": limit.direction,
        "warn": limit.warn,
        "breach": limit.breach,
        "limit_changed_at": limit.changed_at.isoformat(),
        **asdict(RiskSpec()),
    }
    definition, reason = limit_definition(limit.measure, figure), row.reason or "the measure has no value"
    return Figure(name_of(portfolio), ids_of(portfolio), row.session, None, reason, write, definition, parameters)


def _measured_again(
    connection: Connection, portfolio: Portfolio, figure: Figure, row: RiskRow, measure: str
) -> tuple[Figure, InputsOut, float | None]:
    """What is limited, from the closes that it was measured from."""
    if measure in CONCENTRATION_MEASURES:
        panel = read_held_panel(connection, portfolio, None, row.session, figure.known, 1)
        inputs = portfolio_inputs(panel, portfolio, None, 1)
        return figure, inputs_out(inputs, None), _concentrated(inputs, measure)
    spec, benchmark = RiskSpec(), benchmark_of(read_instruments(connection), portfolio.benchmark_id)
    window = spec.window_sessions
    panel = read_held_panel(connection, portfolio, benchmark, row.session, figure.known, window)
    inputs = portfolio_inputs(panel, portfolio, benchmark, window)
    figure, inputs = with_own_rates(connection, figure, row, inputs, measure)
    found = recompute(inputs, spec)
    return figure, inputs_out(inputs, found), None if found is None else found.values[measure]


def _concentrated(inputs: Inputs, measure: str) -> float | None:
    if len(inputs.sessions) < 2:
        return None
    return float(concentration(inputs.series.held.weights[-1])[measure])


def stands(limit: StoredLimit, value: float | None, figure: str) -> Value:
    """A figure of the state that a value has."""
    held = Limit(limit.measure, limit.warn, limit.breach, cast("Direction", limit.direction))
    (state,) = check_limits({limit.measure: value}, (held,))
    found: Value = getattr(state, figure)
    return found if isinstance(found, str) or found is None or math.isfinite(found) else None


def limit_definition(measure: str, figure: str) -> DefinitionOut:
    """A figure of where a limit stands, in the words of the rule and of what is limited."""
    if measure in CONCENTRATION_MEASURES:
        of_measure = words_of(concentration)
    else:
        of_measure = f"{measure} = {definition_of(measure_named(measure)).formula}"
    return DefinitionOut(
        name=figure,
        function=path_of(check_limits),
        meaning=words_of_field(LimitState, figure) or words_of(LimitState),
        unit="" if figure == "status" else "unit of the measure",
        formula=f"{_FORMULAS[figure]} {words_of_field(Limit, 'breach')} {of_measure}",
        source=path_of(Limit),
        parameters={},
    )


_FORMULAS = {
    "status": f"{words_of(Limit.status_of)} {words_of_field(LimitState, 'status')}",
    "value": words_of_field(LimitState, "value"),
    "headroom": words_of(Limit.headroom),
}
