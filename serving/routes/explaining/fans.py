"""Why the fan of a stored simulation is as wide as it is at a step: the paths, walked again from their inputs."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from psycopg import Connection

from pipeline.base.errors import NotFoundError
from pipeline.base.types import FloatArray
from pipeline.store.point_in_time import Knowledge
from pipeline.store.portfolio_simulations import SimulationRow, read_portfolio_simulations
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.provenance import Materialization, read_materialization
from pipeline.store.reading import Window
from serving.deps import Database
from serving.errors import problem_responses
from serving.inputs import PortfolioPath
from serving.routes.explaining.documented import path_of, sources_of, words_of_field
from serving.routes.explaining.envelope import AskedSession, DefinitionOut, ExplanationOut
from serving.routes.explaining.figures import ROWS_OF_A_SESSION, Figure, explanation, known_figure, not_stored
from serving.routes.explaining.prices import (
    held_window,
    ids_of,
    inputs_out,
    name_of,
    portfolio_inputs,
    read_held_panel,
)
from serving.routes.explaining.simulations import SPEC_COLUMNS, require_numba, spec_of
from serving.routing import ComputingRoute

LEVELS = {"05": 0.05, "25": 0.25, "50": 0.5, "75": 0.75, "95": 0.95}
"""Figure ``return_05`` and so on → level of the quantile."""
FAN_FIGURES = tuple(f"return_{percent}" for percent in LEVELS)

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["simulations"])


@router.get("/{reference}/simulations/fan/explain", responses=problem_responses(501))
def explain_fan(
    reference: PortfolioPath,
    model: Annotated[str, Query(description="Model of the simulation.", examples=["student_t"])],
    measure: Annotated[str, Query(description=f"One of {', '.join(FAN_FIGURES)}.", examples=["return_05"])],
    step: Annotated[int, Query(ge=1, le=2_520, description="Sessions ahead; one of the fan's steps.", examples=[21])],
    database: Database,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain a quantile of the simulated return at a step of the fan by simulating again."""
    known_figure(measure, FAN_FIGURES)
    require_numba()
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        row = _row(connection, portfolio, reference, model, session)
        write = read_materialization(connection, row.materialization_id)
        portfolio = read_portfolio(connection, reference, Knowledge(write.finished_at))
        window = row.fit_window_sessions
        panel = read_held_panel(connection, portfolio, None, row.session, Knowledge(write.finished_at), window)
        inputs = portfolio_inputs(panel, portfolio, None, window)
        found = held_window(inputs, window) if len(inputs.sessions) else None
        again = None if found is None else _quantile(found.scenarios, row, portfolio.id, step, measure)
        figure = _figure(portfolio, row, write, measure, step, again)
        return explanation(connection, figure, inputs_out(inputs, found), again, database.notice(connection))


def _row(
    connection: Connection, portfolio: Portfolio, reference: str, model: str, session: date | None
) -> SimulationRow:
    rows = read_portfolio_simulations(connection, portfolio.id, Window(session, session, ROWS_OF_A_SESSION))
    newest = {row.model: row for row in rows if row.session == rows[-1].session}
    if not newest:
        raise not_stored(reference, "simulation", session, f"portfolios/{reference}/simulations")
    return newest[known_figure(model, list(newest), "model")]


def _quantile(scenarios: FloatArray, row: SimulationRow, subject: int, step: int, measure: str) -> float:
    """The return at a step and level.

    Raises
    ------
    NotFoundError
        Naming the steps that there are.
    """
    from pipeline.simulation.run import simulate  # noqa: PLC0415 - numba

    fan = simulate(scenarios, spec_of(row), subject).fan
    if step not in fan.steps:
        raise NotFoundError(f"step: the fan has none of {step} sessions", f"Choose one of {fan.steps}.")
    level = LEVELS[measure.removeprefix("return_")]
    return fan.wealth[fan.steps.index(step)][fan.levels.index(level)] - 1.0


def _figure(
    portfolio: Portfolio, row: SimulationRow, write: Materialization, measure: str, step: int, again: float | None
) -> Figure:
    """At the horizon the figure is stored; on the way it is served from the same paths."""
    value = getattr(row, measure) if step == row.horizon_sessions else again
    parameters = {"model": row.model, **{name: getattr(row, name) for name in SPEC_COLUMNS}, "subject": portfolio.id}
    definition = _definition(measure)
    return Figure(
        name_of(portfolio),
        ids_of(portfolio),
        row.session,
        value,
        None,
        write,
        definition,
        parameters | {"step": step},
    )


def _definition(measure: str) -> DefinitionOut:
    from pipeline.simulation.run import Fan, SimulationResult, simulate  # noqa: PLC0415 - numba

    level = LEVELS[measure.removeprefix("return_")]
    return DefinitionOut(
        name=measure,
        function=path_of(simulate),
        meaning=f"{level:.0%} quantile of the simulated return at the step.".replace("%", " %"),
        unit="fraction",
        formula=f"wealth at the step and level - 1. {words_of_field(Fan, 'wealth')}",
        source=sources_of(SimulationResult),
        parameters={"level": level},
    )
