"""Simulate at once, or in the background; follow, cancel and read what is in the background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated
from uuid import UUID, uuid4

import numpy as np
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from psycopg import Connection
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from pipeline.store.simulation_jobs import (
    Job,
    NewJob,
    State,
    cancel_job,
    create_job,
    read_job,
    read_jobs,
    read_terminal_wealth,
)
from serving.answers import Collection
from serving.answers.cursors import Order
from serving.auth.permissions import forbid_keeping
from serving.deps import Connections, Database
from serving.errors import problem_responses
from serving.finishing import with_told
from serving.inputs import PageQuery
from serving.routes.explaining.simulations import require_numba
from serving.routes.simulating.desk import Desk
from serving.routes.simulating.engine import About, begun, checked_spec, is_large, simulated
from serving.routes.simulating.forms import JobOut, JobRow, SimulatedOut, SimulateIn
from serving.routes.simulating.inputs import Subject, read_subject
from serving.routes.simulating.streams import DOCUMENTED, streamed
from serving.routing import ThreadedRoute, compute

if TYPE_CHECKING:
    from pipeline.simulation.run import Begun

RETRY_SECONDS = 1

router = APIRouter(route_class=ThreadedRoute, tags=["simulations"])
JOBS = Order("simulations", (datetime, UUID), lambda job: (job.created_at, job.id))


class JobsQuery(PageQuery):
    """Which jobs to answer with."""

    state: State | None = Field(None, description="queued, running, done, failed or cancelled; null for all.")


JobPath = Annotated[UUID, Path(description="Id of a simulation.", examples=["0198c0de-0000-7000-8000-000000000001"])]


@dataclass(frozen=True, slots=True)
class Asked:
    """A simulation that was asked for, what it is computed from, and the notice of that."""

    request: SimulateIn
    subject: Subject
    notice: str | None


@router.post(
    "/simulate",
    response_model=SimulatedOut,
    responses={
        202: {
            "model": JobOut,
            "description": "Too large to be answered at once, or asked as a job: it is computed in the background, and"
            " Location says where it is followed.",
        },
        **problem_responses(409, 501),
    },
)
async def simulate(
    asked: SimulateIn,
    request: Request,
    database: Database,
    prefer: Annotated[
        str | None, Header(description="respond-async makes it a job of whatever size (RFC 7240).", max_length=200)
    ] = None,
) -> SimulatedOut | Response:
    """Simulate a stored portfolio or positions: at once up to 25,200,000 paths × sessions, above that as a job.

    Positions that are simulated together count for more: 20 for 6 of one series.
    """
    return await answered(partial(_read, database, asked), request, database, prefer)


async def answered(
    read: Callable[[], Asked], request: Request, database: Connections, prefer: str | None
) -> SimulatedOut | Response:
    """Simulate what is read, or accept it as a job.

    Whether there is room is asked before anything is read, and the reading is part of the computing: neither a queue of
    simulations nor their prices keep a small read from its thread and its connection.
    """
    require_numba()
    desk: Desk = request.app.state.simulating
    with desk.bulkhead.admitted():
        found = await compute(read)
        asked, subject = found.request, found.subject

        def begin() -> Begun:
            return begun(asked, subject.number, subject.returns, subject.held)

        if asked.terminal_values or is_large(asked, subject.held) or _prefers_job(prefer):
            await desk.bulkhead.run(begin)  # refused now, not later
        else:
            symbols = () if subject.held is None else subject.held.symbols
            about = About(subject.portfolio_id, subject.first, subject.last, symbols)
            made = await desk.bulkhead.run(lambda: simulated(asked, about, begin()))
            return SimulatedOut(**dict(made), notice=found.notice)
    job = await run_in_threadpool(_submit, database, asked, subject)
    desk.workers.wake()
    return await run_in_threadpool(_accepted, job, found.notice, request)


@router.get("/simulations", dependencies=[Depends(forbid_keeping)])
def list_simulation_jobs(query: Annotated[JobsQuery, Query()], database: Database) -> Collection[JobRow]:
    """The caller's newest simulations in the background, without their results."""
    with database.reading() as connection:
        jobs = read_jobs(connection, query.state, query.limit + 1, JOBS.decoded(query.cursor))
        kept, following = JOBS.cut(jobs, query.limit)
        rows = [JobRow.model_validate(JobRow.fields_of(job)) for job in kept]
        return Collection[JobRow].of(rows, database.notice(connection), following)


@router.get("/simulations/{job_id}", dependencies=[Depends(forbid_keeping)])
def get_simulation_job(job_id: JobPath, database: Database) -> JobOut:
    """A simulation in the background: how far it is, and its result once it is done."""
    with database.reading() as connection:
        return job_out(read_job(connection, job_id), database.notice(connection))


@router.delete("/simulations/{job_id}")
def cancel_simulation_job(job_id: JobPath, database: Database) -> JobOut:
    """Cancel a simulation; one that has ended stays as it is. Its worker stops after the paths under way."""
    with database.writing() as connection:
        read_job(connection, job_id)
        if cancel_job(connection, job_id):
            database.record(connection, "simulation.cancel", f"simulation:{job_id}")
        return job_out(read_job(connection, job_id), database.notice(connection))


@router.get(
    "/simulations/{job_id}/terminal-values",
    response_class=Response,
    responses={200: DOCUMENTED},
    dependencies=[Depends(forbid_keeping)],
)
def get_terminal_values(job_id: JobPath, request: Request, database: Database) -> Response:
    """Wealth of each path at the horizon, the start is 1: an Arrow stream with the column terminal_wealth."""
    with database.reading() as connection:
        values = read_terminal_wealth(connection, job_id)
        job = job_out(read_job(connection, job_id), database.notice(connection))
    return streamed({"terminal_wealth": np.frombuffer(values, dtype=np.float64)}, job, request)


def read_asked(connection: Connection, database: Connections, asked: SimulateIn) -> Asked:
    """What a simulation is computed from; errors as in `serving.routes.simulating.inputs.read_subject`."""
    return Asked(asked, read_subject(connection, asked), database.notice(connection))


def _read(database: Connections, asked: SimulateIn) -> Asked:
    checked_spec(asked)
    with database.reading() as connection:
        return read_asked(connection, database, asked)


def _submit(database: Connections, asked: SimulateIn, subject: Subject) -> Job:
    job = NewJob(
        id=uuid4(),
        owner_id=database.caller.user_id if database.caller is not None else None,
        request=asked.model_dump(mode="json"),
        portfolio_id=subject.portfolio_id,
        fit_start=subject.first,
        session=subject.last,
        subject=subject.number,
        fit_returns=subject.returns.tobytes(),
        paths_total=asked.paths,
        held=None if subject.held is None else subject.held.model_dump(mode="json"),
    )
    detail = {"portfolio_id": subject.portfolio_id, "paths": asked.paths, "horizon_sessions": asked.horizon_sessions}
    with database.writing() as connection:
        create_job(connection, job)
        database.record(connection, "simulation.create", f"simulation:{job.id}", detail)
        return read_job(connection, job.id)


def job_out(job: Job, notice: str | None) -> JobOut:
    """A job as it is answered, with the notice of its data."""
    return JobOut.model_validate(JobRow.fields_of(job) | {"result": job.result, "notice": notice})


def _accepted(job: Job, notice: str | None, request: Request) -> Response:
    headers = {"Location": f"/api/v1/simulations/{job.id}", "Retry-After": str(RETRY_SECONDS)}
    told = with_told(job_out(job, notice), request)
    return Response(told.model_dump_json(), HTTPStatus.ACCEPTED, headers, "application/json")


def _prefers_job(prefer: str | None) -> bool:
    preferences = [part.partition(";")[0].strip().lower() for part in (prefer or "").split(",")]
    return "respond-async" in preferences
