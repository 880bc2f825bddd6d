"""Who wrote what: each write of an asset, and the state of each of its partitions.

Every result row names its write (``materialization_id``); the write names the Dagster run, the code
version and the months. Ids grow with time, so "an input changed after this was built" is a comparison
of two integers, independent of Dagster's event log, which may be pruned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection
from sqlalchemy import BigInteger, Date, DateTime, Identity, Integer, LargeBinary, Table, Text, func

from pipeline.base.errors import InvalidInputError
from pipeline.store.schema import METADATA, ROWS, column, key

UNPARTITIONED = date(1, 1, 1)
"""The month that stands for the whole of an asset without partitions."""

MATERIALIZATION = Table(
    "materialization",
    METADATA,
    column(
        "id",
        Integer(),
        "Number of the write; a later write has a higher one.",
        primary_key=True,
        server_default=Identity(always=True),
    ),
    column("asset", Text(), "Asset key.", nullable=False),
    column("run_id", Text(), "Dagster run that made the write.", nullable=False),
    column("code_version", Text(), "Digest of the source that computed the rows.", nullable=False),
    column(
        "started_at",
        DateTime(timezone=True),
        "When the asset began to read.",
        nullable=False,
        server_default=func.clock_timestamp(),
    ),
    column("finished_at", DateTime(timezone=True), "When its rows were about to be committed."),
    comment="Each write of an asset; result rows refer to it.",
)

ASSET_PARTITION = Table(
    "asset_partition",
    METADATA,
    key("asset", Text(), "Asset key."),
    key("month", Date(), "First day of the month; 0001-01-01 for an asset without partitions."),
    column("rows", BigInteger(), "Rows in the partition.", ROWS, nullable=False),
    column("built_by", Integer(), "Last write that computed the partition.", nullable=False),
    column("changed_by", Integer(), "Last write that changed a row of it.", nullable=False),
    column("code_version", Text(), "Code version of the last computation.", nullable=False),
    column("digest", LargeBinary(), "Digest of the rows as they were offered, by which an equal offer is known."),
    comment="State of every partition: what was built from which code, and when it last changed.",
)


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One row of ``asset_partition``."""

    month: date
    rows: int
    built_by: int
    changed_by: int
    code_version: str


def begin(connection: Connection, asset: str, run_id: str, code_version: str) -> int:
    """Register a write before its inputs are read.

    The number is taken before, so an input that changes while the asset computes has a higher number
    and makes the result stale: too cautious at worst, never too late. It is taken after the asset's turn
    has come, so the numbers of one asset ascend in the order of their commits.
    """
    row = connection.execute(
        "INSERT INTO materialization (asset, run_id, code_version) VALUES (%s, %s, %s) RETURNING id",
        [asset, run_id, code_version],
    ).fetchone()
    assert row is not None
    return int(row[0])


def record_partitions(
    connection: Connection,
    materialization_id: int,
    asset: str,
    rows_by_month: Mapping[date, int],
    changed_months: Iterable[date],
    digests: Mapping[date, bytes] | None = None,
) -> None:
    """Note which partitions a write computed, which of them it changed, and what was offered."""
    changed = set(changed_months)
    digests = digests or {}
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO asset_partition AS known (asset, month, rows, built_by, changed_by, code_version, digest)
            SELECT %(asset)s, %(month)s, %(rows)s, id, id, code_version, %(digest)s
            FROM materialization WHERE id = %(id)s
            ON CONFLICT (asset, month) DO UPDATE SET
                rows = excluded.rows,
                built_by = excluded.built_by,
                code_version = excluded.code_version,
                digest = excluded.digest,
                changed_by = CASE WHEN %(changed)s THEN excluded.changed_by ELSE known.changed_by END
            """,
            [
                {
                    "asset": asset,
                    "month": month,
                    "rows": rows,
                    "id": materialization_id,
                    "changed": month in changed,
                    "digest": digests.get(month),
                }
                for month, rows in rows_by_month.items()
            ],
        )


def mark_changed(connection: Connection, materialization_id: int, asset: str, months: Iterable[date]) -> None:
    """Note that a write changed more of an asset's months than its rows, so that what reads them is out of date."""
    connection.execute(
        "UPDATE asset_partition SET changed_by = %s WHERE asset = %s AND month = ANY(%s)",
        [materialization_id, asset, list(months)],
    )


def read_partition_states(connection: Connection, asset: str) -> dict[date, PartitionState]:
    """The state of each partition of an asset that was ever built, by month."""
    rows = connection.execute(
        "SELECT month, rows, built_by, changed_by, code_version FROM asset_partition WHERE asset = %s ORDER BY month",
        [asset],
    )
    return {row[0]: PartitionState(*row) for row in rows}


def read_digests(connection: Connection, asset: str, months: Iterable[date]) -> dict[date, bytes]:
    """The digests of what was last offered for some partitions of an asset, by month."""
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(
            "SELECT month, digest FROM asset_partition WHERE asset = %s AND month = ANY(%s) AND digest IS NOT NULL",
            [asset, list(months)],
        )
        return {month: bytes(digest) for month, digest in rows}


def finish(connection: Connection, materialization_id: int) -> None:
    """Note that a write ends; the last statement before its commit."""
    connection.execute("UPDATE materialization SET finished_at = clock_timestamp() WHERE id = %s", [materialization_id])


def last_write_known_at(connection: Connection, asset: str, known_at: datetime) -> int:
    """Number of the last write of an asset that was finished at a moment; 0 if there was none.

    Waits for a write under way: it may be finished already and not yet visible. Hence the same moment gives the
    same answer for ever.

    Raises
    ------
    InvalidInputError
        If the moment lies in the future, for which no answer can last.
    """
    connection.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0))", [asset])
    row = connection.execute(
        "SELECT coalesce(max(id) FILTER (WHERE finished_at <= %(at)s), 0), %(at)s > clock_timestamp()"
        " FROM materialization WHERE asset = %(asset)s",
        {"asset": asset, "at": known_at},
    ).fetchone()
    assert row is not None
    if row[1]:
        raise InvalidInputError(f"known_at={known_at.isoformat()} lies in the future", "Give a moment that has passed.")
    return int(row[0])


def take_turn(connection: Connection, asset: str) -> None:
    """Wait until no other transaction writes the asset; the server frees the turn with the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [asset])


def read_seconds_per_month(connection: Connection, asset: str) -> float | None:
    """What a month of an asset took in its last builds; None if there were none."""
    row = connection.execute(
        """
        SELECT sum(extract(epoch FROM finished_at - started_at)) / sum(months) FROM materialization AS m
        JOIN (SELECT built_by, count(*) AS months FROM asset_partition WHERE asset = %(asset)s GROUP BY built_by) AS b
            ON b.built_by = m.id
        """,
        {"asset": asset},
    ).fetchone()
    return float(row[0]) if row and row[0] is not None else None


def touch(connection: Connection, asset: str, run_id: str, code_version: str) -> int:
    """Record that an input which no asset makes, such as the portfolios, has changed."""
    materialization_id = begin(connection, asset, run_id, code_version)
    record_partitions(connection, materialization_id, asset, {UNPARTITIONED: 0}, [UNPARTITIONED])
    return materialization_id


def count_rows(connection: Connection, asset: str) -> int:
    """Rows of an asset over all its partitions, as its writes recorded them."""
    row = connection.execute("SELECT coalesce(sum(rows), 0) FROM asset_partition WHERE asset = %s", [asset]).fetchone()
    return int(row[0]) if row else 0
