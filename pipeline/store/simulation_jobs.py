"""Simulations that take too long for one answer, as their callers see them; `simulation_queue` has the workers' side.

A job holds everything that it is computed from, so that it gives the same digits whenever and wherever it is taken up
again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from pipeline.base.errors import ConflictError, NotFoundError
from pipeline.store.schema import METADATA, Unit, column, key

KEPT = timedelta(days=7)
"""After its end."""
MOST_UNFINISHED = 20
"""Of one owner."""

State = Literal["queued", "running", "done", "failed", "cancelled"]
_PATHS = Unit("paths", minimum=0)
_MOMENT = DateTime(timezone=True)

SIMULATION_JOB = Table(
    "simulation_job",
    METADATA,
    column("id", Uuid(), "Id of the job.", primary_key=True),
    column("owner_id", Integer(), "User who asked; empty for the machine's own user and for services."),
    column("request", JSONB(), "What was asked.", nullable=False),
    column("portfolio_id", Integer(), "Portfolio; empty for positions that were given."),
    column("fit_start", Date(), "Session of the first return of the fit window.", nullable=False),
    column("session", Date(), "Last session of the fit window.", nullable=False),
    column("subject", BigInteger(), "Second half of the random numbers' key.", nullable=False),
    column("fit_returns", LargeBinary(), "Returns of the fit window, float64.", nullable=False),
    column("held", JSONB(), "Positions whose returns these are, row by row, and the policy; empty for one series."),
    column("state", Text(), "queued, running, done, failed or cancelled.", nullable=False, server_default="queued"),
    column("paths_done", Integer(), "Paths walked.", _PATHS, nullable=False, server_default="0"),
    column("paths_total", Integer(), "Paths to walk.", _PATHS, nullable=False),
    column("created_at", _MOMENT, "When it was asked.", nullable=False, server_default=func.clock_timestamp()),
    column("started_at", _MOMENT, "When it was first worked on."),
    column("heartbeat_at", _MOMENT, "Last sign of whoever works on it."),
    column("finished_at", _MOMENT, "When it ended."),
    column("attempt", Uuid(), "Whoever works on it."),
    column("code", Text(), "Digest of the source that walked the finished parts."),
    column("losses", SmallInteger(), "Workers lost since a part was finished.", nullable=False, server_default="0"),
    column("error", Text(), "Why it failed."),
    column("result", JSONB(), "The result."),
    column("terminal_wealth", LargeBinary(), "Wealth of each path at the horizon, float64, if asked for."),
    CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"),
    Index("simulation_job_state_created_at_idx", "state", "created_at"),
    comment="Simulations on request that are computed in the background, until 7 days after their end.",
)
SIMULATION_JOB.append_constraint(ForeignKeyConstraint(["owner_id"], ["app_user.id"]))

SIMULATION_PART = Table(
    "simulation_part",
    METADATA,
    key("job_id", Uuid(), "Job."),
    key("first_path", Integer(), "First path of the part."),
    column("outcomes", LargeBinary(), "Terminal wealth, drawdowns and fan of its paths, float64.", nullable=False),
    comment="Finished parts of simulations that are not done yet.",
)
SIMULATION_PART.append_constraint(ForeignKeyConstraint(["job_id"], ["simulation_job.id"], ondelete="CASCADE"))


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job before it is stored."""

    id: UUID
    owner_id: int | None
    request: dict[str, Any]
    portfolio_id: int | None
    fit_start: date
    session: date
    subject: int
    fit_returns: bytes
    paths_total: int
    held: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A stored job, as its owner sees it."""

    id: UUID
    request: dict[str, Any]
    portfolio_id: int | None
    session: date
    state: State
    paths_done: int
    paths_total: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None
    result: dict[str, Any] | None

    @property
    def kept_until(self) -> datetime | None:
        """When it is removed; None while it has not ended."""
        return None if self.finished_at is None else self.finished_at + KEPT


_SHOWN = (
    "id, request, portfolio_id, session, state, paths_done, paths_total, created_at, started_at, finished_at, error"
)


def create_job(connection: Connection, job: NewJob) -> None:
    """Put a job into the queue.

    Raises
    ------
    ConflictError
        If its owner has `MOST_UNFINISHED` that have not ended.
    """
    # Owners' own requests take turns, or many at once would all find room.
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('simulations of ' || %s, 0))", [job.owner_id or 0]
    )
    row = connection.execute(
        "SELECT count(*) FROM simulation_job WHERE state IN ('queued', 'running') AND owner_id IS NOT DISTINCT FROM %s",
        [job.owner_id],
    ).fetchone()
    assert row is not None
    if row[0] >= MOST_UNFINISHED:
        raise ConflictError(
            f"{row[0]} simulations of yours have not ended, and {MOST_UNFINISHED} may wait",
            "Wait for one to end, or cancel one with DELETE /api/v1/simulations/{id}.",
        )
    connection.execute(
        """
        INSERT INTO simulation_job
            (id, owner_id, request, portfolio_id, fit_start, session, subject, fit_returns, paths_total, held)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [
            job.id,
            job.owner_id,
            Jsonb(job.request),
            job.portfolio_id,
            job.fit_start,
            job.session,
            job.subject,
            job.fit_returns,
            job.paths_total,
            None if job.held is None else Jsonb(job.held),
        ],
    )


def read_job(connection: Connection, job_id: UUID) -> Job:
    """A job with its result, if it has one.

    Raises
    ------
    NotFoundError
        If there is none, it is another caller's, or it ended more than `KEPT` ago.
    """
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        found = cursor.execute(f"SELECT {_SHOWN}, result FROM simulation_job WHERE id = %s", [job_id]).fetchone()
    if found is None:
        raise NotFoundError(
            f"No simulation has the id {job_id}",
            f"GET /api/v1/simulations lists yours; they are kept {KEPT.days} days after their end.",
        )
    return found


def read_jobs(
    connection: Connection, state: State | None, limit: int, after: tuple[datetime, UUID] | None = None
) -> list[Job]:
    """The newest jobs of a caller, newest first, without their results.

    Parameters
    ----------
    after
        Creation and id of the job that the first one follows; None for the newest.
    """
    created_at, job_id = after or (None, None)
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(
            f"""
            SELECT {_SHOWN}, NULL AS result FROM simulation_job
            WHERE (%(state)s::text IS NULL OR state = %(state)s)
                AND (%(created_at)s::timestamptz IS NULL OR created_at < %(created_at)s
                    OR (created_at = %(created_at)s AND id > %(id)s))
            ORDER BY created_at DESC, id LIMIT %(limit)s
            """,
            {"state": state, "limit": limit, "created_at": created_at, "id": job_id},
        ).fetchall()


@dataclass(frozen=True, slots=True)
class Fit:
    """What a job is computed from beside its request, as in `NewJob`.

    Parameters
    ----------
    code
        As in `pipeline.store.simulation_queue.claim_job`; None before anybody has worked on it.
    """

    fit_start: date
    subject: int
    fit_returns: bytes
    held: dict[str, Any] | None
    code: str | None


def read_fit(connection: Connection, job_id: UUID) -> Fit:
    """What a job is computed from.

    Raises
    ------
    NotFoundError
        As in `read_job`.
    """
    with connection.cursor(row_factory=class_row(Fit)) as cursor:
        found = cursor.execute(
            "SELECT fit_start, subject, fit_returns, held, code FROM simulation_job WHERE id = %s", [job_id]
        ).fetchone()
    if found is None:
        read_job(connection, job_id)
    assert found is not None  # refused above
    return found


def read_terminal_wealth(connection: Connection, job_id: UUID) -> bytes:
    """Wealth of each path at the horizon, float64.

    Raises
    ------
    NotFoundError
        As in `read_job`, or if it is not kept.
    """
    row = connection.execute("SELECT state, terminal_wealth FROM simulation_job WHERE id = %s", [job_id]).fetchone()
    if row is None:
        read_job(connection, job_id)
    elif row[1] is not None:
        return bytes(row[1])
    raise NotFoundError(
        f"The simulation {job_id} has no terminal values",
        "Ask for it with terminal_values = true, and wait until it is done.",
    )


def cancel_job(connection: Connection, job_id: UUID) -> bool:
    """End a job that has not ended; its worker finds out after the part under way.

    Returns
    -------
    bool
        Whether it was ended by this.
    """
    return bool(
        connection.execute(
            """
            UPDATE simulation_job SET state = 'cancelled', attempt = NULL, finished_at = clock_timestamp()
            WHERE id = %s AND state IN ('queued', 'running')
            """,
            [job_id],
        ).rowcount
    )
