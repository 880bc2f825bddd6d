"""Who wrote what: each write of an asset, and the state of each of its partitions.

Every result row names its write (``materialization_id``); the write names the Dagster run, the code
version and the months. Ids grow with time, so "an input changed after this was built" is a comparison
of two integers, independent of Dagster's event log, which may be pruned.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import BigInteger, Date, DateTime, Identity, Integer, Table, Text, func

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

    The number is taken first, so an input that changes while the asset computes has a higher number
    and makes the result stale: too cautious at worst, never too late.
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
    rows_by_month: dict[date, int],
    changed_months: Iterable[date],
) -> None:
    """Note which partitions a write computed and which of them it changed."""
    changed = set(changed_months)
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO asset_partition AS known (asset, month, rows, built_by, changed_by, code_version)
            SELECT %(asset)s, %(month)s, %(rows)s, id, id, code_version FROM materialization WHERE id = %(id)s
            ON CONFLICT (asset, month) DO UPDATE SET
                rows = excluded.rows,
                built_by = excluded.built_by,
                code_version = excluded.code_version,
                changed_by = CASE WHEN %(changed)s THEN excluded.changed_by ELSE known.changed_by END
            """,
            [
                {
                    "asset": asset,
                    "month": month,
                    "rows": rows,
                    "id": materialization_id,
                    "changed": month in changed,
                }
                for month, rows in rows_by_month.items()
            ],
        )


def read_partition_states(connection: Connection, asset: str) -> dict[date, PartitionState]:
    """The state of each partition of an asset that was ever built, by month."""
    rows = connection.execute(
        "SELECT month, rows, built_by, changed_by, code_version FROM asset_partition WHERE asset = %s ORDER BY month",
        [asset],
    )
    return {row[0]: PartitionState(*row) for row in rows}


def touch(connection: Connection, asset: str, run_id: str, code_version: str) -> int:
    """Record that an input which no asset makes, such as the portfolios, has changed."""
    materialization_id = begin(connection, asset, run_id, code_version)
    record_partitions(connection, materialization_id, asset, {UNPARTITIONED: 0}, [UNPARTITIONED])
    return materialization_id


def count_rows(connection: Connection, asset: str) -> int:
    """Rows of an asset over all its partitions, as its writes recorded them."""
    row = connection.execute("SELECT coalesce(sum(rows), 0) FROM asset_partition WHERE asset = %s", [asset]).fetchone()
    return int(row[0]) if row else 0
