"""How workers share the simulations that wait: each is one worker's at a time, and none is lost with its worker.

Who works on a job is its `attempt`: every statement of a worker names it, and changes nothing once the job was
cancelled or another worker has taken it over. Finished parts are kept beside the job until its result is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from pipeline.store.simulation_jobs import KEPT, State

DEAD_AFTER = timedelta(seconds=15)
"""Without a sign of its worker, whose parts take about a second, a job is another worker's."""
MOST_LOSSES = 3
"""Workers that may be lost at the same part, before the job is held to be what kills them."""
PRUNED_AT_ONCE = 100

_MINE = "id = %(id)s AND attempt = %(attempt)s AND state = 'running'"


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job in the hands of a worker."""

    id: UUID
    attempt: UUID
    request: dict[str, Any]
    portfolio_id: int | None
    fit_start: date
    session: date
    subject: int
    fit_returns: bytes
    held: dict[str, Any] | None
    paths_total: int


@dataclass(frozen=True, slots=True)
class Part:
    """Finished paths of a job."""

    first_path: int
    outcomes: bytes


def claim_job(connection: Connection, attempt: UUID, code: str) -> ClaimedJob | None:
    """Take the oldest job that waits or whose worker is dead; None if there is none.

    Parameters
    ----------
    code
        Digest of the source: parts that another source has walked are forgotten.
    """
    _fail_deadly_jobs(connection)
    with connection.cursor(row_factory=class_row(ClaimedJob)) as cursor:
        claimed = cursor.execute(
            """
            UPDATE simulation_job AS job SET state = 'running', attempt = %(attempt)s, heartbeat_at = clock_timestamp(),
                started_at = coalesce(started_at, clock_timestamp()), losses = losses + (job.state = 'running')::int
            WHERE id = (
                SELECT id FROM simulation_job
                WHERE state = 'queued' OR (state = 'running' AND heartbeat_at < clock_timestamp() - %(dead)s)
                ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
            )
            RETURNING id, attempt, request, portfolio_id, fit_start, session, subject, fit_returns, held, paths_total
            """,
            {"attempt": attempt, "dead": DEAD_AFTER},
        ).fetchone()
    if claimed is not None:
        outdated = connection.execute(
            """
            UPDATE simulation_job SET code = %(code)s, paths_done = 0
            WHERE id = %(id)s AND code IS DISTINCT FROM %(code)s
            """,
            {"id": claimed.id, "code": code},
        )
        if outdated.rowcount:
            connection.execute("DELETE FROM simulation_part WHERE job_id = %s", [claimed.id])
    return claimed


def _fail_deadly_jobs(connection: Connection) -> None:
    connection.execute(
        """
        UPDATE simulation_job SET state = 'failed', attempt = NULL, finished_at = clock_timestamp(), error = %(error)s
        WHERE id IN (
            SELECT id FROM simulation_job WHERE state = 'running' AND losses >= %(most)s
                AND heartbeat_at < clock_timestamp() - %(dead)s FOR UPDATE SKIP LOCKED
        )
        """,
        {
            "most": MOST_LOSSES,
            "dead": DEAD_AFTER,
            "error": f"The service was lost {MOST_LOSSES + 1} times at the same paths; ask for fewer.",
        },
    )


def read_parts(connection: Connection, job_id: UUID) -> Iterator[Part]:
    """The finished parts of a job by their first path, one in memory at a time."""
    firsts = connection.execute(
        "SELECT first_path FROM simulation_part WHERE job_id = %s ORDER BY first_path", [job_id]
    ).fetchall()
    for (first,) in firsts:
        with connection.cursor(binary=True) as cursor:
            row = cursor.execute(
                "SELECT outcomes FROM simulation_part WHERE job_id = %s AND first_path = %s", [job_id, first]
            ).fetchone()
        if row is not None:
            yield Part(first, row[0])


def keep_part(connection: Connection, job: ClaimedJob, part: Part, paths: int) -> bool:
    """Keep a finished part, which is also the worker's sign of life; False if the job is no longer its own."""
    is_own = connection.execute(
        f"""
        UPDATE simulation_job SET paths_done = paths_done + %(paths)s, heartbeat_at = clock_timestamp(), losses = 0
        WHERE {_MINE}
        """,
        {"id": job.id, "attempt": job.attempt, "paths": paths},
    ).rowcount
    if is_own:
        connection.execute(
            "INSERT INTO simulation_part (job_id, first_path, outcomes) VALUES (%s, %s, %b)",
            [job.id, part.first_path, part.outcomes],
        )
    return bool(is_own)


def finish_job(connection: Connection, job: ClaimedJob, result: dict[str, Any], terminal_wealth: bytes | None) -> bool:
    """Keep the result in place of the parts; False if the job is no longer the worker's."""
    return _end(connection, job, "done", result=Jsonb(result), terminal_wealth=terminal_wealth)


def fail_job(connection: Connection, job: ClaimedJob, error: str) -> bool:
    """Note why there is no result; False if the job is no longer the worker's."""
    return _end(connection, job, "failed", error=error)


def _end(connection: Connection, job: ClaimedJob, state: State, **given: object) -> bool:
    values: dict[str, object] = {"result": None, "terminal_wealth": None, "error": None, **given}
    is_own = connection.execute(
        f"""
        UPDATE simulation_job SET state = %(state)s, attempt = NULL, finished_at = clock_timestamp(),
            result = %(result)s, terminal_wealth = %(terminal_wealth)b, error = %(error)s
        WHERE {_MINE}
        """,
        {"id": job.id, "attempt": job.attempt, "state": state, **values},
    ).rowcount
    if is_own:
        forget_parts(connection, job.id)
    return bool(is_own)


def forget_parts(connection: Connection, job_id: UUID) -> None:
    """Remove the parts of a job that has ended; those of one that goes on elsewhere stay."""
    connection.execute(
        """
        DELETE FROM simulation_part WHERE job_id = %(id)s
            AND NOT EXISTS (SELECT FROM simulation_job WHERE id = %(id)s AND state IN ('queued', 'running'))
        """,
        {"id": job_id},
    )


def release_job(connection: Connection, job: ClaimedJob) -> None:
    """Give a job back with its finished parts, for another worker to go on at once."""
    connection.execute(
        f"UPDATE simulation_job SET state = 'queued', attempt = NULL WHERE {_MINE}",
        {"id": job.id, "attempt": job.attempt},
    )


def prune_jobs(connection: Connection) -> int:
    """Remove jobs that ended more than `KEPT` ago, some at a time, and parts of jobs that have ended.

    Returns
    -------
    int
        Jobs that were removed.
    """
    connection.execute(
        """
        DELETE FROM simulation_part USING simulation_job
        WHERE id = job_id AND state NOT IN ('queued', 'running')
        """
    )
    return connection.execute(
        """
        DELETE FROM simulation_job WHERE id IN (
            SELECT id FROM simulation_job WHERE finished_at < clock_timestamp() - %s
            ORDER BY finished_at LIMIT %s FOR UPDATE SKIP LOCKED
        )
        """,
        [KEPT, PRUNED_AT_ONCE],
    ).rowcount
