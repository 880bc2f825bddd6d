"""Answers of vendors, byte by byte, for 90 days: what a row was read from can be looked at again."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from psycopg import Connection
from sqlalchemy import DateTime, Integer, LargeBinary, Table, Text, func

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
    column("first_materialization_id", Integer(), "First write that read it.", nullable=False),
    column("last_materialization_id", Integer(), "Last write that read it.", nullable=False),
    column(
        "last_seen_at",
        DateTime(timezone=True),
        "When the vendor gave this answer last.",
        nullable=False,
        server_default=func.clock_timestamp(),
    ),
    comment="Answers of vendors as they came, compressed, for 90 days.",
)


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """An answer to be kept."""

    sha256: str
    name: str
    media_type: str
    content: bytes


def keep_payloads(write: Write, provider: str, payloads: Iterable[StoredPayload]) -> int:
    """Keep the answers of a load, each once.

    Returns
    -------
    int
        Answers that were not there yet.
    """
    new = 0
    for payload in payloads:
        row = write.connection.execute(
            """
            INSERT INTO raw_payload AS known (sha256, provider, name, media_type, size_bytes, content,
                first_materialization_id, last_materialization_id)
            VALUES (%(sha256)s, %(provider)s, %(name)s, %(media_type)s, %(size)s, %(content)s, %(id)s, %(id)s)
            ON CONFLICT (sha256) DO UPDATE SET
                last_materialization_id = excluded.last_materialization_id, last_seen_at = clock_timestamp()
            RETURNING old.sha256 IS NULL
            """,
            {
                "sha256": payload.sha256,
                "provider": provider,
                "name": payload.name,
                "media_type": payload.media_type,
                "size": len(payload.content),
                "content": zlib.compress(payload.content, level=6),
                "id": write.materialization_id,
            },
        ).fetchone()
        new += row is not None and bool(row[0])
    return new


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
