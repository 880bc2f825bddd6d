"""Answers of vendors, byte by byte, for 90 days: what a row was read from, or was refused, can be looked at again."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import Connection
from psycopg.rows import class_row
from sqlalchemy import DateTime, ForeignKeyConstraint, Integer, LargeBinary, Table, Text, func

from pipeline.base.errors import ConflictError, NotFoundError
from pipeline.store.schema import METADATA, Unit, column, key
from pipeline.store.writing import Write

KEPT = timedelta(days=90)

RAW_PAYLOAD = Table(
    "raw_payload",
    METADATA,
    key("sha256", Text(), "Digest of the bytes; an equal answer is kept once."),
    column("provider", Text(), "Provider that answered.", nullable=False),
    column("name", Text(), "What was asked, such as a symbol.", nullable=False),
    column("media_type", Text(), "As the vendor declares it.", nullable=False),
    column("size_bytes", Integer(), "Size of the answer.", Unit("bytes", minimum=0), nullable=False),
    column("content", LargeBinary(), "The answer, compressed with zlib.", nullable=False),
    column("first_materialization_id", Integer(), "First write that read it; empty if it was only ever refused."),
    column("last_materialization_id", Integer(), "Last write that read it; empty if it was only ever refused."),
    column(
        "last_seen_at",
        DateTime(timezone=True),
        "When the vendor gave this answer last.",
        nullable=False,
        server_default=func.clock_timestamp(),
    ),
    comment="Answers of vendors as they came, compressed, for 90 days.",
)

PAYLOAD_REFUSAL = Table(
    "payload_refusal",
    METADATA,
    key("sha256", Text(), "Digest of the bytes that were refused."),
    key("provider", Text(), "Provider that answered."),
    key("name", Text(), "What was asked, such as a symbol."),
    key("rule", Text(), "Rule that refused the answer."),
    column("asset", Text(), "Asset that was to be loaded last.", nullable=False),
    column("reason", Text(), "Why, in the words of the last error.", nullable=False),
    column("times", Integer(), "How often it was refused.", Unit("refusals", minimum=1), nullable=False),
    column(
        "first_refused_at",
        DateTime(timezone=True),
        "When it was refused first.",
        nullable=False,
        server_default=func.clock_timestamp(),
    ),
    column(
        "last_refused_at",
        DateTime(timezone=True),
        "When it was refused last.",
        nullable=False,
        server_default=func.clock_timestamp(),
    ),
    ForeignKeyConstraint(["sha256"], ["raw_payload.sha256"], ondelete="CASCADE"),
    comment="Why answers of vendors were refused; kept as long as the answers.",
)


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """An answer to be kept."""

    sha256: str
    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why answers were refused.

    Parameters
    ----------
    asset
        What was to be loaded.
    """

    provider: str
    asset: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class RefusedPayload(Refusal):
    """A refused answer as it is stored, without its bytes."""

    sha256: str
    name: str
    media_type: str
    size_bytes: int
    times: int
    first_refused_at: datetime
    last_refused_at: datetime


def keep_payloads(write: Write, provider: str, payloads: Iterable[StoredPayload]) -> int:
    """Keep the answers of a load, each once.

    Returns
    -------
    int
        Answers that were not there yet.
    """
    return sum(_keep(write.connection, provider, payload, write.materialization_id) for payload in payloads)


def keep_refused(connection: Connection, refusal: Refusal, payloads: Iterable[StoredPayload]) -> int:
    """Keep refused answers, each once, and why they were refused.

    Returns
    -------
    int
        Answers that were not there yet.
    """
    new = 0
    for payload in payloads:
        new += _keep(connection, refusal.provider, payload, None)
        connection.execute(
            """
            INSERT INTO payload_refusal AS known (sha256, provider, name, rule, asset, reason, times)
            VALUES (%s, %s, %s, %s, %s, %s, 1)
            ON CONFLICT (sha256, provider, name, rule) DO UPDATE SET
                asset = excluded.asset, reason = excluded.reason, times = known.times + 1,
                last_refused_at = clock_timestamp()
            """,
            [payload.sha256, refusal.provider, payload.name, refusal.rule, refusal.asset, refusal.reason],
        )
    return new


def _keep(connection: Connection, provider: str, payload: StoredPayload, materialization_id: int | None) -> bool:
    """Keep an answer; whether it was not there yet."""
    row = connection.execute(
        """
        INSERT INTO raw_payload AS known (sha256, provider, name, media_type, size_bytes, content,
            first_materialization_id, last_materialization_id)
        VALUES (%(sha256)s, %(provider)s, %(name)s, %(media_type)s, %(size)s, %(content)s, %(id)s, %(id)s)
        ON CONFLICT (sha256) DO UPDATE SET
            first_materialization_id = coalesce(known.first_materialization_id, excluded.first_materialization_id),
            last_materialization_id = coalesce(excluded.last_materialization_id, known.last_materialization_id),
            last_seen_at = clock_timestamp()
        RETURNING old.sha256 IS NULL
        """,
        {
            "sha256": payload.sha256,
            "provider": provider,
            "name": payload.name,
            "media_type": payload.media_type,
            "size": len(payload.content),
            "content": zlib.compress(payload.content, level=6),
            "id": materialization_id,
        },
    ).fetchone()
    return row is not None and bool(row[0])


def read_refused(connection: Connection, limit: int = 100) -> list[RefusedPayload]:
    """Refused answers, the last refused first."""
    with connection.cursor(row_factory=class_row(RefusedPayload)) as cursor:
        return cursor.execute(
            """
            SELECT refused.provider, asset, rule, reason, sha256, refused.name, media_type, size_bytes, times,
                first_refused_at, last_refused_at
            FROM payload_refusal AS refused JOIN raw_payload USING (sha256)
            ORDER BY last_refused_at DESC, refused.name LIMIT %s
            """,
            [limit],
        ).fetchall()


def find_payload(connection: Connection, beginning: str) -> bytes:
    """The bytes of the answer whose digest begins like this.

    Raises
    ------
    NotFoundError
        If there is none.
    ConflictError
        If there are several.
    """
    rows = connection.execute(
        "SELECT sha256 FROM raw_payload WHERE starts_with(sha256, lower(%s)) ORDER BY sha256 LIMIT 2", [beginning]
    ).fetchall()
    if len(rows) > 1:
        raise ConflictError(f"Several answers have a digest that begins with {beginning!r}", "Give more of it.")
    content = read_payload(connection, rows[0][0]) if rows and beginning else None
    if content is None:
        raise NotFoundError(
            f"No answer with the digest {beginning!r} is kept",
            f"`fintech quarantine payloads` shows what was refused; answers are kept for {KEPT.days} days.",
        )
    return content


def read_payload(connection: Connection, sha256: str) -> bytes | None:
    """The bytes of an answer; None if it was never kept or is gone."""
    row = connection.execute("SELECT content FROM raw_payload WHERE sha256 = %s", [sha256]).fetchone()
    return zlib.decompress(row[0]) if row else None


def forget_old_payloads(connection: Connection, older_than: timedelta = KEPT) -> int:
    """Delete answers that the vendor has not given for so long.

    Returns
    -------
    int
        How many were deleted.
    """
    cursor = connection.execute("DELETE FROM raw_payload WHERE last_seen_at < clock_timestamp() - %s", [older_than])
    return cursor.rowcount
