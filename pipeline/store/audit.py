"""Who did what: an entry for each write and each login, in the transaction of the write. Nothing is ever changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from sqlalchemy import DateTime, Identity, Index, Integer, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

from pipeline.store.schema import METADATA, column

AUDIT_ENTRY = Table(
    "audit_entry",
    METADATA,
    column("id", Integer(), "Number of the entry.", primary_key=True, server_default=Identity(always=True)),
    column("at", DateTime(timezone=True), "When.", nullable=False, server_default=func.clock_timestamp()),
    column("actor", Text(), "Who, such as an address, local, a service or the command line.", nullable=False),
    column("user_id", Integer(), "Number of the user, if it was one."),
    column("action", Text(), "What, such as portfolio.create or login.failed.", nullable=False),
    column("subject", Text(), "On what, such as portfolio:7.", nullable=False),
    column("request_id", Text(), "Finds the request in the log; empty without one."),
    column("client", Text(), "Address that it came from; empty on the machine itself."),
    column("detail", JSONB(), "What was set; never a secret.", nullable=False),
    Index("audit_entry_action_subject_at_idx", "action", "subject", "at"),
    comment="Each write and each login; rows are only added.",
)

LOGIN_TRIED = "login.tried"
"""Noted before a password is compared; the entry of how it ended names it as ``tried``."""
LOGIN_FAILED = "login.failed"
LOGIN = "login"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and by which request.

    Parameters
    ----------
    name
        Such as an address, ``local``, or ``command line (user)``.
    """

    name: str
    user_id: int | None = None
    request_id: str | None = None
    client: str | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A stored entry."""

    id: int
    at: datetime
    actor: str
    user_id: int | None
    action: str
    subject: str
    request_id: str | None
    client: str | None
    detail: dict[str, Any]


def record(
    connection: Connection, actor: Actor, action: str, subject: str, detail: Mapping[str, Any] | None = None
) -> int:
    """Note an act in the transaction of what it writes.

    Returns
    -------
    int
        Number of the entry.
    """
    row = connection.execute(
        "INSERT INTO audit_entry (actor, user_id, action, subject, request_id, client, detail)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id",
        [actor.name, actor.user_id, action, subject, actor.request_id, actor.client, Jsonb(dict(detail or {}))],
    ).fetchone()
    assert row is not None
    return int(row[0])


def read_audit(connection: Connection, before: int | None, limit: int) -> list[AuditEntry]:
    """Entries with a lower number, the newest first."""
    with connection.cursor(row_factory=class_row(AuditEntry)) as cursor:
        return cursor.execute(
            """
            SELECT id, at, actor, user_id, action, subject, request_id, client, detail FROM audit_entry
            WHERE %(before)s::int IS NULL OR id < %(before)s ORDER BY id DESC LIMIT %(limit)s
            """,
            {"before": before, "limit": limit},
        ).fetchall()


def count_tries(connection: Connection, email: str, client: str | None, since: timedelta) -> tuple[int, int]:
    """Tries of an address's password that did not become a login, failed or under way.

    Until the transaction ends, others who count those of the same address wait: a try that is noted in it is counted by
    whoever comes next, however many come at one time.

    Parameters
    ----------
    client
        Who tries.
    since
        How far back tries count.

    Returns
    -------
    tuple
        Those of the client since its last login there, and everybody's.
    """
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('fintech login ' || %s, 0))", [email])
    row = connection.execute(
        """
        WITH begun AS (
            SELECT id, action, detail, client IS NOT DISTINCT FROM %(client)s AS is_own, at FROM audit_entry
            WHERE action IN ('login', 'login.tried') AND subject = %(email)s AND at > clock_timestamp() - %(since)s
        ), login AS (
            SELECT (detail ->> 'tried')::int AS tried, is_own, at FROM begun WHERE action = 'login'
        )
        SELECT count(*) FILTER (WHERE is_own AND at > coalesce(
                (SELECT max(at) FROM login WHERE is_own), '-infinity')), count(*)
        FROM begun WHERE action = 'login.tried' AND NOT EXISTS (SELECT FROM login WHERE login.tried = begun.id)
        """,
        {"email": email, "client": client, "since": since},
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
