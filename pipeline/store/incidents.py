"""What went wrong and whether it is over: incidents, what failed runs left undone, and when regular things succeeded.

An incident is opened once, told of once when it opens and once when it is over. Its key is what a receiver knows it
by, so a message that is repeated after a crash is seen to be the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from sqlalchemy import Boolean, CheckConstraint, Date, DateTime, Index, Integer, Table, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB

from pipeline.store import materializations
from pipeline.store.schema import METADATA, column, key

Kind = Literal["run_failure", "stale_asset"]

WATCH = "incident"
"""Name of the turn that judges of incidents take, so that none opens what another is about to close."""

WORTH_TELLING = timedelta(days=1)
"""An incident that nobody was told of before it was over is told of so long after; later it is history."""

INCIDENT = Table(
    "incident",
    METADATA,
    column("key", Text(), "What receivers know it by.", primary_key=True),
    column("kind", Text(), "run_failure or stale_asset.", nullable=False),
    column("subject", Text(), "Run or asset.", nullable=False),
    column("summary", Text(), "What happened, in a sentence.", nullable=False),
    column("detail", JSONB(), "What helps to find the cause, by name.", nullable=False),
    column("opened_at", DateTime(timezone=True), "When it was noticed.", nullable=False, server_default=func.now()),
    column("resolved_at", DateTime(timezone=True), "When it was seen to be over; empty until then."),
    column("told_at", DateTime(timezone=True), "When the receiver took the message of it; empty until then."),
    column("resolution_told_at", DateTime(timezone=True), "When the receiver was told that it is over."),
    column("attempts", Integer(), "Deliveries that were tried.", nullable=False, server_default="0"),
    column("last_error", Text(), "Why the last delivery failed; empty if none did."),
    CheckConstraint("kind IN ('run_failure', 'stale_asset')", name="kind"),
    # Two watchers cannot open the same one twice.
    Index("incident_open_idx", "kind", "subject", unique=True, postgresql_where=text("resolved_at IS NULL")),
    comment="What went wrong, from when it was noticed until it was over, and who was told.",
)

FAILED_PARTITION = Table(
    "failed_partition",
    METADATA,
    key("subject", Text(), "Asset, or job of a run without assets."),
    key("month", Date(), "First day of the month; 0001-01-01 for what has no partitions."),
    column("is_asset", Boolean(), "Whether the subject is an asset.", nullable=False),
    column("run_id", Text(), "Failed run whose incident it belongs to.", nullable=False),
    column("began_at", DateTime(timezone=True), "When that run began: a later write makes it good.", nullable=False),
    column("failed_at", DateTime(timezone=True), "When that run failed.", nullable=False),
    comment="What failed runs left undone and no later one has done.",
)

LAST_SUCCESS = Table(
    "last_success",
    METADATA,
    key("name", Text(), "Schedule or sensor."),
    key("kind", Text(), "schedule or sensor."),
    column("succeeded_at", DateTime(timezone=True), "When its run, or its tick, last succeeded.", nullable=False),
    CheckConstraint("kind IN ('schedule', 'sensor')", name="kind"),
    comment="When what runs regularly last succeeded.",
)


@dataclass(frozen=True, slots=True)
class NewIncident:
    """An incident before it is stored."""

    key: str
    kind: Kind
    subject: str
    summary: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredIncident(NewIncident):
    """An incident as it is stored."""

    opened_at: datetime
    resolved_at: datetime | None
    told_at: datetime | None
    resolution_told_at: datetime | None
    attempts: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class FailedRun:
    """What a failed run left undone.

    Parameters
    ----------
    run_id
        The run.
    parts
        (asset, month) that it planned and did not write; (job, `UNPARTITIONED`) for a run without assets.
    has_assets
        Whether the parts are of assets.
    """

    run_id: str
    parts: tuple[tuple[str, date], ...]
    has_assets: bool
    began_at: datetime
    failed_at: datetime


_NEW = "key, kind, subject, summary, detail"
_STORED = f"{_NEW}, opened_at, resolved_at, told_at, resolution_told_at, attempts, last_error"
_MADE_GOOD = """
    EXISTS (
        SELECT FROM asset_partition AS built JOIN materialization AS write ON write.id = built.built_by
        WHERE {part}.is_asset AND built.asset = {part}.subject AND built.month = {part}.month
            AND write.started_at >= {part}.began_at
    )
"""


def take_turn(connection: Connection) -> None:
    """Wait until no other transaction judges incidents; the server frees the turn with the transaction."""
    materializations.take_turn(connection, WATCH)


def open_incident(connection: Connection, incident: NewIncident) -> bool:
    """Store an incident, unless it is known, or one of its subject is open.

    Returns
    -------
    bool
        Whether it is new.
    """
    added = connection.execute(
        f"INSERT INTO incident ({_NEW}) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [incident.key, incident.kind, incident.subject, incident.summary, Jsonb(dict(incident.detail))],
    )
    return added.rowcount == 1


def resolve_incidents(connection: Connection, kind: Kind, subjects: Iterable[str]) -> int:
    """Note that the open incidents of some subjects are over, and give their number."""
    closed = connection.execute(
        "UPDATE incident SET resolved_at = clock_timestamp()"
        " WHERE kind = %s AND subject = ANY(%s) AND resolved_at IS NULL",
        [kind, list(subjects)],
    )
    return closed.rowcount


def read_open_incidents(connection: Connection, kind: Kind | None = None) -> list[StoredIncident]:
    """The incidents that are not over, oldest first."""
    with connection.cursor(row_factory=class_row(StoredIncident)) as cursor:
        return cursor.execute(
            f"SELECT {_STORED} FROM incident WHERE resolved_at IS NULL AND (%(kind)s::text IS NULL OR kind = %(kind)s)"
            " ORDER BY opened_at, key",
            {"kind": kind},
        ).fetchall()


def record_failed_run(connection: Connection, failed: FailedRun) -> int:
    """Note what a failed run left undone: neither what was written since, nor what an open failure left undone before.

    Returns
    -------
    int
        Parts that were noted; 0 if the run only repeated a failure, or all of it was made good.
    """
    added = connection.execute(
        f"""
        INSERT INTO failed_partition (subject, month, is_asset, run_id, began_at, failed_at)
        SELECT part.subject, part.month, part.is_asset, %(run)s, part.began_at, %(failed_at)s
        FROM (
            SELECT subject, month, %(is_asset)s::boolean AS is_asset, %(began_at)s::timestamptz AS began_at
            FROM unnest(%(subjects)s::text[], %(months)s::date[]) AS given (subject, month)
        ) AS part
        WHERE NOT {_MADE_GOOD.format(part="part")}
        ON CONFLICT (subject, month) DO NOTHING
        """,
        {
            "run": failed.run_id,
            "is_asset": failed.has_assets,
            "began_at": failed.began_at,
            "failed_at": failed.failed_at,
            "subjects": [subject for subject, _ in failed.parts],
            "months": [month for _, month in failed.parts],
        },
    )
    return added.rowcount


def forget_what_was_made_good(connection: Connection) -> int:
    """Delete what a later write has done, and give the number of its parts."""
    return connection.execute(f"DELETE FROM failed_partition AS part WHERE {_MADE_GOOD.format(part='part')}").rowcount


def forget_failed_job(connection: Connection, job: str) -> None:
    """Delete what runs of a job without assets left undone: a later one has succeeded."""
    connection.execute("DELETE FROM failed_partition WHERE subject = %s AND NOT is_asset", [job])


def read_failed_jobs(connection: Connection) -> dict[str, datetime]:
    """Job without assets whose last run failed → when that run began."""
    rows = connection.execute("SELECT subject, began_at FROM failed_partition WHERE NOT is_asset ORDER BY subject")
    return dict(rows.fetchall())


def read_runs_with_failed_parts(connection: Connection) -> set[str]:
    """The failed runs of which something is still undone."""
    return {run_id for (run_id,) in connection.execute("SELECT DISTINCT run_id FROM failed_partition")}


def count_failed_partitions(connection: Connection) -> dict[str, int]:
    """Asset → partitions that a failed run left undone and no write has done since."""
    rows = connection.execute(
        f"SELECT subject, count(*) FROM failed_partition AS part WHERE is_asset"
        f" AND NOT {_MADE_GOOD.format(part='part')} GROUP BY subject ORDER BY subject"
    )
    return dict(rows.fetchall())


def claim_untold(connection: Connection, tried: Collection[str]) -> StoredIncident | None:
    """The oldest incident with something to tell that nobody else is telling; others pass it by meanwhile.

    Parameters
    ----------
    tried
        Keys to leave out.
    """
    with connection.cursor(row_factory=class_row(StoredIncident)) as cursor:
        return cursor.execute(
            f"""
            SELECT {_STORED} FROM incident
            WHERE NOT key = ANY(%s) AND (
                told_at IS NULL AND coalesce(resolved_at > now() - %s, true)
                OR told_at IS NOT NULL AND resolved_at IS NOT NULL AND resolution_told_at IS NULL
            ) ORDER BY opened_at, key LIMIT 1 FOR UPDATE SKIP LOCKED
            """,
            [list(tried), WORTH_TELLING],
        ).fetchone()


def mark_told(connection: Connection, incident_key: str, attempts: int) -> None:
    """Note that the receiver took the message that was due: of the incident, or of its end."""
    connection.execute(
        """
        UPDATE incident SET attempts = attempts + %s, last_error = NULL,
            resolution_told_at = CASE WHEN told_at IS NOT NULL THEN clock_timestamp() END,
            told_at = coalesce(told_at, clock_timestamp())
        WHERE key = %s
        """,
        [attempts, incident_key],
    )


def mark_untold(connection: Connection, incident_key: str, attempts: int, error: str) -> None:
    """Note why a message could not be delivered, after a number of further attempts."""
    connection.execute(
        "UPDATE incident SET attempts = attempts + %s, last_error = %s WHERE key = %s", [attempts, error, incident_key]
    )


def note_success(connection: Connection, kind: Literal["schedule", "sensor"], name: str, at: datetime) -> None:
    """Note when a schedule's run or a sensor's tick succeeded; an older moment changes nothing."""
    connection.execute(
        """
        INSERT INTO last_success AS known (name, kind, succeeded_at) VALUES (%s, %s, %s)
        ON CONFLICT (name, kind) DO UPDATE SET succeeded_at = excluded.succeeded_at
            WHERE known.succeeded_at < excluded.succeeded_at
        """,
        [name, kind, at],
    )
