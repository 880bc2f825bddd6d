"""The fan of a stored simulation: how wealth spreads on the way to the stored quantiles.

It is not stored. The same paths are walked again from the same inputs, for the random numbers are keyed by seed and
subject, so that its last step is the stored distribution.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from psycopg import Connection
from pydantic import ConfigDict, Field

from pipeline.base.errors import NotFoundError
from pipeline.base.types import FloatArray
from pipeline.store.point_in_time import Knowledge
from pipeline.store.portfolio_simulations import SimulationRow, read_portfolio_simulations
from pipeline.store.portfolios import read_portfolio
from pipeline.store.provenance import read_materialization
from pipeline.store.reading import Window
from serving.answers import Resource
from serving.deps import Database
from serving.errors import problem_responses
from serving.inputs import PortfolioPath
from serving.routes.explaining.envelope import AskedSession
from serving.routes.explaining.figures import ROWS_OF_A_SESSION, known_figure, not_stored
from serving.routes.explaining.prices import held_window, portfolio_inputs, read_held_panel
from serving.routes.explaining.simulations import require_numba, spec_of
from serving.routes.portfolio_simulations import SimulationFigures
from serving.routing import ComputingRoute

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["simulations"])

QUANTILES = ("return_05", "return_25", "return_50", "return_75", "return_95")


class FanOut(Resource):
    """Quantiles of simulated wealth at sessions ahead."""

    model_config = ConfigDict(protected_namespaces=())

    simulation: SimulationFigures = Field(description="What is stored of it.")
    materialization_id: int = Field(description="Write of the stored simulation.")
    steps: list[int] = Field(description="Sessions ahead, ascending; the last is the horizon.")
    levels: list[float] = Field(description="Quantile levels, ascending.")
    wealth: list[list[float]] = Field(description="A row a step, a value a level; the start is 1.")
    difference: float = Field(description="The largest, by size, between the last step and the stored quantiles.")


@router.get("/{reference}/simulations/fan", responses=problem_responses(501))
def read_fan(
    reference: PortfolioPath,
    model: Annotated[str, Query(description="Model of the simulation.", examples=["student_t"])],
    database: Database,
    session: AskedSession = None,
) -> FanOut:
    """The fan of a stored simulation, by walking its paths again."""
    require_numba()
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        rows = read_portfolio_simulations(connection, portfolio.id, Window(session, session, ROWS_OF_A_SESSION))
        newest = {row.model: row for row in rows if row.session == rows[-1].session}
        if not newest:
            raise not_stored(reference, "simulation", session, f"portfolios/{reference}/simulations")
        row = newest[known_figure(model, list(newest), "model")]
        scenarios = _fitted_on(connection, reference, row)
        notice = database.notice(connection)
    return _fan(row, scenarios, portfolio.id, notice)


def _fitted_on(connection: Connection, reference: str, row: SimulationRow) -> FloatArray:
    """The returns that the model was fitted to, as they were known to the write.

    Raises
    ------
    NotFoundError
        If their prices are not kept.
    """
    known = Knowledge(read_materialization(connection, row.materialization_id).finished_at)
    portfolio = read_portfolio(connection, reference, known)
    window = row.fit_window_sessions
    panel = read_held_panel(connection, portfolio, None, row.session, known, window)
    inputs = portfolio_inputs(panel, portfolio, None, window)
    found = held_window(inputs, window) if len(inputs.sessions) else None
    if found is None:
        raise NotFoundError(
            f"The prices that the simulation of {row.session} read are not kept",
            "Compute the month again: fintech backfill.",
        )
    return found.scenarios


def _fan(row: SimulationRow, scenarios: FloatArray, subject: int, notice: str | None) -> FanOut:
    from pipeline.simulation.run import simulate  # noqa: PLC0415 - numba

    fan = simulate(scenarios, spec_of(row), subject).fan
    stored = [getattr(row, name) for name in QUANTILES]
    return FanOut(
        simulation=SimulationFigures.model_validate(row),
        materialization_id=row.materialization_id,
        steps=list(fan.steps),
        levels=list(fan.levels),
        wealth=[list(wealth) for wealth in fan.wealth],
        difference=max(abs(wealth - 1.0 - value) for wealth, value in zip(fan.wealth[-1], stored, strict=True)),
        notice=notice,
    )
