"""Paths of a simulation in the background, walked again for whoever asks: each is a function of its number alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from pipeline.base.errors import ConflictError, InvalidInputError
from pipeline.base.types import FloatArray
from pipeline.store.simulation_jobs import Fit, read_fit, read_job
from serving.auth.permissions import forbid_keeping
from serving.deps import Connections, Database
from serving.errors import problem_responses
from serving.held import held_of
from serving.routes.explaining.simulations import require_numba
from serving.routes.simulating.desk import Desk
from serving.routes.simulating.engine import SYNC_PATH_SESSIONS, begun
from serving.routes.simulating.forms import MAXIMUM_PATHS, JobOut, SimulateIn
from serving.routes.simulating.jobs import JobPath, job_out
from serving.routes.simulating.streams import DOCUMENTED, streamed
from serving.routing import ThreadedRoute, compute

if TYPE_CHECKING:
    from pipeline.simulation.run import Begun

MOST_PATHS = 10_000

router = APIRouter(route_class=ThreadedRoute, prefix="/simulations", tags=["simulations"])


class PathsQuery(BaseModel):
    """Which paths to answer with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: int = Field(0, ge=0, lt=MAXIMUM_PATHS, description="Number of the first path, from 0.")
    count: int = Field(1_000, ge=1, le=MOST_PATHS, description="Most paths.")


@router.get(
    "/{job_id}/paths",
    response_class=Response,
    responses={
        200: DOCUMENTED,
        **problem_responses(409, 501),
    },
    dependencies=[Depends(forbid_keeping)],
)
async def get_simulated_paths(
    job_id: JobPath, query: Annotated[PathsQuery, Query()], request: Request, database: Database
) -> Response:
    """Paths by their numbers: an Arrow stream with what each counts, and its wealth at every step of the fan.

    The columns are path, weight, whose mean over all paths is 1, wealth_21 and so on by sessions ahead,
    terminal_wealth and max_drawdown; wealth is 1 at the start. Paths that an earlier version walked are refused with
    409: they are not those of the result any more.
    """
    require_numba()
    desk: Desk = request.app.state.simulating
    with desk.bulkhead.admitted():
        job, fit = await compute(partial(_read, database, job_id, desk.workers.code))
        columns = await desk.bulkhead.run(partial(_walked, job, fit, query))
    return await run_in_threadpool(streamed, columns, job, request)


def rows_of(query: PathsQuery, asked: SimulateIn, times_of_one_series: int) -> slice:
    """The paths that are answered, as they are asked.

    Raises
    ------
    InvalidInputError
        If there is no such path, or they take too long to walk.
    """
    if query.first >= asked.paths:
        raise InvalidInputError(
            f"first={query.first}: the simulation has {asked.paths} paths", f"Give one from 0 to {asked.paths - 1}."
        )
    rows = slice(query.first, min(query.first + query.count, asked.paths))
    most = max(1, SYNC_PATH_SESSIONS // (asked.horizon_sessions * times_of_one_series))
    if rows.stop - rows.start > most:
        raise InvalidInputError(
            f"count={query.count}: so many paths of {asked.horizon_sessions} sessions take too long to walk",
            f"Give count={most} or less, and ask again from first={query.first + most}.",
        )
    return rows


def _read(database: Connections, job_id: UUID, code: str) -> tuple[JobOut, Fit]:
    """A job that no other code than this has walked.

    Raises
    ------
    NotFoundError
        As in `read_job`.
    ConflictError
        If other code has.
    """
    with database.reading() as connection:
        job, fit = job_out(read_job(connection, job_id), database.notice(connection)), read_fit(connection, job_id)
    if fit.code not in (None, code):
        raise ConflictError(
            f"The paths of the simulation {job_id} were walked by another version of the service, and those of this one"
            " may contradict its result",
            "Ask for the simulation again with POST /api/v1/simulate.",
        )
    return job, fit


def _walked(job: JobOut, fit: Fit, query: PathsQuery) -> Mapping[str, Any]:
    asked, held = SimulateIn.model_validate(job.request), held_of(fit.held)
    rows = rows_of(query, asked, 1 if held is None else held.times_of_one_series)
    returns: FloatArray = np.frombuffer(fit.fit_returns, dtype=np.float64)
    return _columns(begun(asked, fit.subject, returns if held is None else held.columns(returns), held), rows)


def _columns(simulation: Begun, rows: slice) -> Mapping[str, Any]:
    outcomes = simulation.empty_outcomes(rows.stop - rows.start)
    simulation.walk(outcomes, rows.start)
    return {
        "path": np.arange(rows.start, rows.stop, dtype=np.int32),
        "weight": simulation.sample().weights_of(simulation.spec.paths)[rows],
        **{
            f"wealth_{step}": np.ascontiguousarray(wealth)
            for step, wealth in zip(simulation.spec.fan_sessions, outcomes.fan_wealth.T, strict=True)
        },
        "terminal_wealth": outcomes.terminal_wealth,
        "max_drawdown": outcomes.max_drawdown,
    }
