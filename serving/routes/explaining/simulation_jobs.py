"""Why a simulation in the background says what it says: the returns that it keeps, and the closes they follow from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Depends, Path, Query
from psycopg import Connection

from pipeline.base.errors import NotFoundError, PlatformError
from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.store.corporate_actions import read_growth
from pipeline.store.instruments import find_instruments
from pipeline.store.point_in_time import Knowledge
from pipeline.store.portfolios import Portfolio, Position, growth_on, read_portfolio
from pipeline.store.simulation_jobs import Fit, Job, read_fit, read_job
from serving.auth.permissions import forbid_keeping
from serving.deps import Database
from serving.errors import problem_responses
from serving.held import Held, held_of
from serving.positions import PositionIn
from serving.routes.explaining.documented import path_of, sources_of, words_of
from serving.routes.explaining.envelope import DefinitionOut, ExplanationOut, InputsOut, Parameter
from serving.routes.explaining.figures import Figure, explanation, known_figure
from serving.routes.explaining.prices import (
    held_window,
    ids_of,
    inputs_out,
    name_of,
    portfolio_inputs,
    read_held_panel,
)
from serving.routes.explaining.simulations import SIMULATION_FIGURES, require_numba, simulation_definition
from serving.routing import ComputingRoute

if TYPE_CHECKING:
    from pipeline.simulation.run import SimulationSpec

GOAL, RUIN = "probability_of_goal", "probability_of_ruin"
JOB_FIGURES = (*SIMULATION_FIGURES, GOAL, RUIN)
MOST_PATH_SESSIONS = 25_200_000
"""Paths times sessions that are walked again for an explanation: 100,000 paths of a year, half a second."""
SAME = 1e-12
"""By which returns may differ that were made of the same closes."""
DEFAULT_CURRENCY = "USD"
"""Of positions in several, as of a portfolio that is stored without one."""

router = APIRouter(route_class=ComputingRoute, prefix="/simulations", tags=["simulations"])


@router.get("/{job_id}/explain", dependencies=[Depends(forbid_keeping)], responses=problem_responses(501))
def explain_simulation_job(
    job_id: Annotated[UUID, Path(description="Id of a simulation.", examples=["0198c0de-0000-7000-8000-000000000001"])],
    measure: Annotated[str, Query(description=f"One of {', '.join(JOB_FIGURES)}.", examples=["var_99"])],
    database: Database,
) -> ExplanationOut:
    """Explain a figure of a simulation in the background by simulating again, unless it is large."""
    known_figure(measure, JOB_FIGURES)
    require_numba()
    with database.reading() as connection:
        job, fit = read_job(connection, job_id), read_fit(connection, job_id)
        served = _served(job, measure)
        returns = _returns(fit)
        found = _inputs(connection, job, fit, returns)
        again, doubts = _again(job, fit, returns, measure)
        figure = Figure(
            found.subject,
            found.instrument_ids,
            job.session,
            served,
            f"{measure} was not asked for",
            None,
            _definition(job, measure),
            _parameters(job, fit),
            warnings=[*doubts, *found.doubts],
            asked_as=Knowledge(job.created_at),
        )
        return explanation(connection, figure, found.inputs, again, database.notice(connection))


@dataclass(frozen=True, slots=True)
class _Found:
    """What a job was made of, as far as it is still known."""

    subject: str
    instrument_ids: list[int]
    inputs: InputsOut
    doubts: list[str]


def _served(job: Job, measure: str) -> float | None:
    if job.result is None:
        raise NotFoundError(
            f"The simulation {job.id} has no result: it is {job.state}",
            f"Wait until GET /api/v1/simulations/{job.id} says that it is done.",
        )
    found = job.result.get(measure)
    return found["value"] if isinstance(found, dict) else found


def _returns(fit: Fit) -> FloatArray:
    """(t,), or (t, n) of positions that were simulated together."""
    returns: FloatArray = np.frombuffer(fit.fit_returns, dtype=np.float64)
    held = held_of(fit.held)
    return returns if held is None else held.columns(returns)


def _again(job: Job, fit: Fit, returns: FloatArray, measure: str) -> tuple[float | None, list[str]]:
    """The figure from the returns that are kept, and why there is none."""
    asked, held = job.request, held_of(fit.held)
    times = 1 if held is None else held.times_of_one_series
    if asked["paths"] * asked["horizon_sessions"] * times > MOST_PATH_SESSIONS:
        told = (
            f"recomputed: {asked['paths']} paths of {asked['horizon_sessions']} sessions are not walked again for an"
            " explanation; POST /api/v1/simulate with the same request gives the same paths"
        )
        return None, [told]
    from pipeline.simulation.run import (  # noqa: PLC0415 - numba
        begin,
        probability_of_goal,
        probability_of_ruin,
    )

    weights = () if held is None else (held.weights, held.targets)
    begun = begin(returns, _spec(job, held), fit.subject, *weights)
    outcomes = begun.empty_outcomes()
    begun.walk(outcomes, 0)
    sample = begun.sample()
    shares: dict[str, Callable[[], float | None]] = {
        GOAL: lambda: _share(asked["goal_return"], lambda bound: probability_of_goal(outcomes, bound, sample).value),
        RUIN: lambda: _share(asked["ruin_drawdown"], lambda bound: probability_of_ruin(outcomes, bound, sample).value),
    }
    if measure in shares:
        return shares[measure](), []
    return float(getattr(begun.describe(outcomes), measure)), []


def _share(bound: float | None, of: Callable[[float], float]) -> float | None:
    return None if bound is None else of(bound)


def _spec(job: Job, held: Held | None) -> SimulationSpec:
    """Requests of before there were payments and positions have none."""
    from pipeline.simulation.run import CashFlow, SimulationSpec  # noqa: PLC0415 - numba

    asked = job.request
    names = ("model", "horizon_sessions", "paths", "seed", "fit_window_sessions")
    steps = asked.get("fan_steps")
    return SimulationSpec(
        **{name: asked[name] for name in names},
        fan_steps=None if steps is None else tuple(steps),
        rebalancing="buy_and_hold" if held is None else held.rebalancing,
        drift_band=None if held is None else held.drift_band,
        cost_bps=asked.get("cost_bps", 0.0),
        monthly_flow=asked.get("monthly_flow", 0.0),
        flows=tuple(CashFlow(**flow) for flow in asked.get("flows", ())),
        sampling=asked.get("sampling", "plain"),
    )


def _parameters(job: Job, fit: Fit) -> dict[str, Parameter]:
    of_model = ("model", "horizon_sessions", "paths", "seed", "fit_window_sessions")
    names = (*of_model, "goal_return", "ruin_drawdown", "fit_on", "cost_bps", "monthly_flow", "sampling")
    asked = {name: job.request[name] for name in names if job.request.get(name) is not None}
    return {**asked, "subject": fit.subject, "fit_start": fit.fit_start.isoformat()}


def _inputs(connection: Connection, job: Job, fit: Fit, returns: FloatArray) -> _Found:
    """The closes that the kept returns follow from, as they were known when the job was asked."""
    held = held_of(fit.held)
    window, series = len(returns), returns if held is None else returns @ held.weights
    kept = series.tolist()
    bare = InputsOut(sessions=[fit.fit_start, job.session], close={}, exchange_rates={}, scenarios=kept)
    try:
        portfolio = _portfolio(connection, job)
        panel = read_held_panel(connection, portfolio, None, job.session, Knowledge(job.created_at), window)
        inputs = portfolio_inputs(panel, portfolio, None, window)
        found = held_window(inputs, window)
    except (PlatformError, MeasureInputError) as error:
        return _Found(str(job.id), [], bare, [f"inputs: the closes are not known any more ({error})"])
    doubts = []
    if found is None or not np.allclose(found.scenarios, series, rtol=SAME, atol=SAME):
        doubts.append(
            "inputs: these closes give other returns than the job keeps as `scenarios`, from which it was computed:"
            " the holdings have changed since it was asked"
        )
    given = inputs_out(inputs, found).model_copy(update={"scenarios": kept})
    return _Found(name_of(portfolio) if job.portfolio_id else str(job.id), ids_of(portfolio), given, doubts)


def _portfolio(connection: Connection, job: Job) -> Portfolio:
    """What was simulated: a stored portfolio, or the positions of the request as one."""
    if job.portfolio_id is not None:
        return read_portfolio(connection, str(job.portfolio_id), Knowledge(job.created_at))
    asked = [PositionIn.model_validate(position) for position in job.request["positions"]]
    known = find_instruments(connection, [position.symbol for position in asked])
    missing = [position.symbol for position in asked if position.symbol not in known]
    if missing:
        raise NotFoundError(f"no instrument has the symbol {missing[0]} now", "Ask by its new symbol.")
    met = {known[position.symbol].currency for position in asked}
    positions = _positions(connection, asked, {symbol: one.id for symbol, one in known.items()}, job.session)
    return Portfolio(
        0,
        None,
        "positions",
        job.request["base_currency"] or (met.pop() if len(met) == 1 else DEFAULT_CURRENCY),
        job.request["rebalancing"] or "buy_and_hold",
        job.created_at,
        positions,
        drift_band=job.request.get("drift_band"),
    )


def _positions(
    connection: Connection, asked: list[PositionIn], ids: dict[str, int], session: date
) -> tuple[Position, ...]:
    """Quantities are of the last session, whose splits and dividends their owner knew."""
    growth, day = read_growth(connection, list(ids.values())), np.datetime64(session, "D")
    return tuple(
        Position(
            ids[one.symbol],
            one.symbol,
            one.quantity,
            one.target_weight,
            1.0 if one.quantity is None else growth_on(growth, ids[one.symbol], day),
        )
        for one in asked
    )


def _definition(job: Job, measure: str) -> DefinitionOut:
    if measure not in (GOAL, RUIN):
        return simulation_definition(job.request["model"], measure)
    from pipeline.simulation.run import (  # noqa: PLC0415 - numba
        Probability,
        SimulationResult,
        probability_of_goal,
        probability_of_ruin,
    )

    function: Any = probability_of_goal if measure == GOAL else probability_of_ruin
    return DefinitionOut(
        name=measure,
        function=path_of(function),
        meaning=words_of(function),
        unit="probability",
        formula=f"Paths for which it holds, over all paths. {words_of(Probability)}",
        source=sources_of(SimulationResult),
        parameters={},
    )
