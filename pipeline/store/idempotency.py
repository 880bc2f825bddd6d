"""Requests that callers send with a key of their own, so that sending one twice does no more than once.

The record of a request is claimed in a transaction before the request is carried out. What the request writes is
committed together with the note that it was written (`note_written`), so a crash at any moment leaves either neither or
both: a request that was not written may be tried again, one that was never is. The answer is kept after that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from sqlalchemy import CheckConstraint, DateTime, Index, LargeBinary, SmallInteger, Table, Text, Uuid, func

from pipeline.base.errors import ConflictError
from pipeline.store.schema import METADATA, column, key

KEPT = timedelta(hours=24)
ABANDONED_AFTER = timedelta(minutes=1)
"""Longer than a request takes; one that is not answered by then may be tried again, unless it has written."""
PRUNED_AT_ONCE = 1_000

IDEMPOTENT_REQUEST = Table(
    "idempotent_request",
    METADATA,
    key("caller", Text(), "Digest of who asked."),
    key("key", Text(), "What the caller calls the request."),
    column(
        "request",
        LargeBinary(),
        "HMAC-SHA-256 of method, address and body, under a key of the installation.",
        nullable=False,
    ),
    column("attempt", Uuid(), "Whoever carries it out; another one may take over.", nullable=False),
    column(
        "state",
        Text(),
        "running; written: committed, not answered yet; done: answered.",
        nullable=False,
        server_default="running",
    ),
    column("status", SmallInteger(), "Status of the answer."),
    column("headers", LargeBinary(), "Headers of the answer; empty if it is not kept."),
    column("body", LargeBinary(), "Body of the answer; empty if it is not kept."),
    column(
        "created_at",
        DateTime(timezone=True),
        "When it was claimed last.",
        nullable=False,
        server_default=func.clock_timestamp(),
    ),
    CheckConstraint("state IN ('running', 'written', 'done')", name="state"),
    Index(None, "created_at"),
    comment="Requests with a key, and their answers, for 24 hours.",
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A request that somebody wants to carry out."""

    caller: str
    key: str
    request: bytes
    attempt: UUID

    @property
    def values(self) -> dict[str, object]:
        """As parameters of a statement."""
        return {"caller": self.caller, "key": self.key, "request": self.request, "attempt": self.attempt}


@dataclass(frozen=True, slots=True)
class KnownRequest:
    """A request that was claimed before."""

    request: bytes
    state: str
    status: int | None
    headers: bytes | None
    body: bytes | None
    is_abandoned: bool


_MINE = "caller = %(caller)s AND key = %(key)s AND attempt = %(attempt)s"


def claim(connection: Connection, wanted: Claim) -> KnownRequest | None:
    """Claim a request: None if it may be carried out now, else what is known of it.

    A record that is too old, or whose request was abandoned before it wrote anything, is claimed anew.
    """
    limits = {"kept": KEPT, "abandoned": ABANDONED_AFTER}
    for _ in range(3):  # what is in the way may be removed before it is read
        claimed = connection.execute(
            """
            INSERT INTO idempotent_request AS known (caller, key, request, attempt)
            VALUES (%(caller)s, %(key)s, %(request)s, %(attempt)s)
            ON CONFLICT (caller, key) DO UPDATE SET
                request = excluded.request, attempt = excluded.attempt, state = 'running',
                status = NULL, headers = NULL, body = NULL, created_at = clock_timestamp()
            WHERE known.created_at < clock_timestamp() - %(kept)s
                OR (known.state = 'running' AND known.request = excluded.request
                    AND known.created_at < clock_timestamp() - %(abandoned)s)
            """,
            wanted.values | limits,
        )
        if claimed.rowcount:
            return None
        with connection.cursor(row_factory=class_row(KnownRequest)) as cursor:
            known = cursor.execute(
                """
                SELECT request, state, status, headers, body,
                    created_at < clock_timestamp() - %(abandoned)s AS is_abandoned
                FROM idempotent_request WHERE caller = %(caller)s AND key = %(key)s
                """,
                wanted.values | limits,
            ).fetchone()
        if known is not None:
            return known
    raise ConflictError("Requests with this Idempotency-Key come and go too fast", "Send it again after a second.")


def note_written(connection: Connection, claimed: Claim) -> None:
    """Note, in the transaction of what a request writes, that it was written.

    Raises
    ------
    ConflictError
        If it took so long that another one has claimed it; nothing must be committed then.
    """
    noted = connection.execute(
        f"UPDATE idempotent_request SET state = 'written' WHERE {_MINE} AND state IN ('running', 'written')",
        claimed.values,
    )
    if not noted.rowcount:
        raise ConflictError(
            "The request took so long that another one with its Idempotency-Key took its place",
            "Send it again to have the other one's answer.",
        )


def keep_answer(connection: Connection, claimed: Claim, status: int, headers: bytes | None, body: bytes | None) -> None:
    """Keep the answer, or without headers and body only that there was one."""
    connection.execute(
        f"""
        UPDATE idempotent_request SET state = 'done', status = %(status)s, headers = %(headers)s, body = %(body)s
        WHERE {_MINE}
        """,
        claimed.values | {"status": status, "headers": headers, "body": body},
    )


def give_up(connection: Connection, claimed: Claim, *, notes: bool = False) -> bool:
    """Let a request be tried again at once, unless it has written something.

    Parameters
    ----------
    notes
        Whether what it has written are notes about its refusal, which the next try adds to.

    Returns
    -------
    bool
        Whether it may be tried again.
    """
    given_up = connection.execute(
        f"DELETE FROM idempotent_request WHERE {_MINE} AND (state = 'running' OR %(notes)s)",
        claimed.values | {"notes": notes},
    )
    return given_up.rowcount > 0


def prune(connection: Connection) -> int:
    """Remove records that are no longer kept, some at a time.

    Returns
    -------
    int
        How many were removed.
    """
    return connection.execute(
        """
        DELETE FROM idempotent_request WHERE (caller, key) IN (
            SELECT caller, key FROM idempotent_request WHERE created_at < clock_timestamp() - %s
            ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED
        )
        """,
        [KEPT, PRUNED_AT_ONCE],
    ).rowcount
