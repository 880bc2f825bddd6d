"""Why a stored simulation says what it says: the returns that the model was fitted to, its seed and its paths.

The same numbers come out wherever they are computed: the random numbers are keyed by seed and subject, and the
portfolio is the subject.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query

from pipeline.base.errors import NotInstalledError
from pipeline.base.types import FloatArray
from pipeline.store.point_in_time import Knowledge
from pipeline.store.portfolio_simulations import PORTFOLIO_SIMULATION, SimulationRow, read_portfolio_simulations
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.provenance import Materialization, read_materialization
from pipeline.store.reading import Window
from pipeline.store.schema import value_columns
from serving.deps import Database
from serving.errors import problem_responses
from serving.inputs import PortfolioPath
from serving.routes.explaining.documented import (
    definition_of_column,
    path_of,
    sources_of,
    words_of,
    words_of_module,
)
from serving.routes.explaining.envelope import AskedSession, DefinitionOut, ExplanationOut
from serving.routes.explaining.figures import (
    ROWS_OF_A_SESSION,
    Figure,
    explanation,
    known_figure,
    not_stored,
)
from serving.routes.explaining.prices import (
    held_window,
    ids_of,
    inputs_out,
    name_of,
    portfolio_inputs,
    read_held_panel,
)
from serving.routing import ComputingRoute

if TYPE_CHECKING:
    from pipeline.simulation.run import SimulationSpec

SPEC_COLUMNS = ("horizon_sessions", "paths", "seed", "fit_window_sessions")
SIMULATION_FIGURES = tuple(
    name for name in value_columns(PORTFOLIO_SIMULATION) if name not in (*SPEC_COLUMNS, "parameters")
)
NOT_YET = "the row was written before this figure was kept; the next run of its month stores it"
"""The only reason for which one is empty."""

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["simulations"])


@router.get("/{reference}/simulations/explain", responses=problem_responses(501))
def explain_simulation(
    reference: PortfolioPath,
    model: Annotated[str, Query(description="Model of the simulation.", examples=["student_t"])],
    measure: Annotated[str, Query(description=f"One of {', '.join(SIMULATION_FIGURES)}.", examples=["var_99"])],
    database: Database,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain a figure of a stored simulation by simulating again."""
    known_figure(measure, SIMULATION_FIGURES)
    require_numba()
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        rows = read_portfolio_simulations(connection, portfolio.id, Window(session, session, ROWS_OF_A_SESSION))
        newest = [row for row in rows if row.session == rows[-1].session]
        if not newest:
            raise not_stored(reference, "simulation", session, f"portfolios/{reference}/simulations")
        known_figure(model, [row.model for row in newest], "model")
        row = next(row for row in newest if row.model == model)
        write = read_materialization(connection, row.materialization_id)
        portfolio = read_portfolio(connection, reference, Knowledge(write.finished_at))
        figure = _figure(portfolio, row, write, measure)
        window = row.fit_window_sessions
        panel = read_held_panel(connection, portfolio, None, row.session, figure.known, window)
        inputs = portfolio_inputs(panel, portfolio, None, window)
        found = held_window(inputs, window) if len(inputs.sessions) else None
        again = None if found is None else simulated_again(found.scenarios, row, portfolio.id)[measure]
        return explanation(connection, figure, inputs_out(inputs, found), again, database.notice(connection))


def require_numba() -> None:
    """Refuse where nothing can be simulated.

    Raises
    ------
    NotInstalledError
        Naming who can.
    """
    try:
        import numba  # noqa: F401, PLC0415 - only simulations need it, and a gateway need not have it
    except ImportError as error:
        raise NotInstalledError(
            "This process cannot simulate: numba is not installed",
            "Ask portfolio-simulation, or name its address in PORTFOLIO_SERVICE_URL.",
        ) from error


def simulated_again(scenarios: FloatArray, row: SimulationRow, subject: int) -> dict[str, float]:
    """Every stored figure, from what today's holdings would have earned in the fit window."""
    from pipeline.simulation.run import simulate  # noqa: PLC0415 - numba

    result = simulate(scenarios, spec_of(row), subject)
    return {name: float(getattr(result, name)) for name in SIMULATION_FIGURES}


def spec_of(row: SimulationRow) -> SimulationSpec:
    """What a stored simulation was computed with."""
    from pipeline.simulation.run import SimulationSpec  # noqa: PLC0415 - numba

    return SimulationSpec(row.model, **{name: getattr(row, name) for name in SPEC_COLUMNS})


def _figure(portfolio: Portfolio, row: SimulationRow, write: Materialization, measure: str) -> Figure:
    parameters = {"model": row.model, **{name: getattr(row, name) for name in SPEC_COLUMNS}, "subject": portfolio.id}
    definition = simulation_definition(row.model, measure)
    value = getattr(row, measure)
    return Figure(name_of(portfolio), ids_of(portfolio), row.session, value, NOT_YET, write, definition, parameters)


def simulation_definition(model: str, measure: str) -> DefinitionOut:
    """A figure of a simulation by a model, in words."""
    from pipeline.simulation.models import MODELS  # noqa: PLC0415 - numba
    from pipeline.simulation.run import SimulationResult, simulate  # noqa: PLC0415

    known_figure(model, MODELS, "model")
    fitted = type(MODELS[model])
    formula = f"{words_of_module(fitted)} {words_of(fitted)} {words_of(fitted.fit)} {words_of(SimulationResult)}"
    sources = sources_of(fitted, SimulationResult)
    return definition_of_column(PORTFOLIO_SIMULATION, measure, path_of(simulate), formula, sources)
