"""What became of every row that was fetched: the books of the load, which the database itself checks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import BigInteger, CheckConstraint, Date, Integer, Table, Text

from pipeline.base.types import MonthRange
from pipeline.store.schema import METADATA, ROWS, column, key
from pipeline.store.writing import Write, WriteOutcome

INGEST_RUN = Table(
    "ingest_run",
    METADATA,
    key("materialization_id", Integer(), "Write that loaded the rows."),
    column("provider", Text(), "Provider that was asked.", nullable=False),
    column("first_month", Date(), "First month that was asked for.", nullable=False),
    column("last_month", Date(), "Last month that was asked for.", nullable=False),
    column("fetched", BigInteger(), "Rows of these months in the answer.", ROWS, nullable=False),
    column("inserted", BigInteger(), "Rows that were new.", ROWS, nullable=False),
    column("revised", BigInteger(), "Rows whose values had changed.", ROWS, nullable=False),
    column("unchanged", BigInteger(), "Rows that were there already, repeats included.", ROWS, nullable=False),
    column("quarantined", BigInteger(), "Rows that a rule refused.", ROWS, nullable=False),
    column("deleted", BigInteger(), "Stored rows that the answer no longer has.", ROWS, nullable=False),
    CheckConstraint("fetched = inserted + revised + unchanged + quarantined", name="nothing_lost"),
    comment="What became of the rows of each load; every fetched row is accounted for.",
)


@dataclass(frozen=True, slots=True)
class IngestRun:
    """The books of one load."""

    materialization_id: int
    provider: str
    first_month: date
    last_month: date
    fetched: int
    inserted: int
    revised: int
    unchanged: int
    quarantined: int
    deleted: int


def record_ingest_run(
    write: Write, provider: str, months: MonthRange, fetched: int, quarantined: int, repeats: int, outcome: WriteOutcome
) -> None:
    """Close the books of a load; the database refuses them, and with them the load, if a row is missing.

    Parameters
    ----------
    repeats
        Rows that say again what another row of the answer says.
    """
    write.connection.execute(
        "INSERT INTO ingest_run VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            write.materialization_id,
            provider,
            months.first,
            months.last,
            fetched,
            outcome.inserted,
            outcome.revised,
            outcome.unchanged + repeats,
            quarantined,
            outcome.deleted,
        ],
    )


def read_ingest_runs(connection: Connection, limit: int = 20) -> list[IngestRun]:
    """The newest loads, newest first."""
    rows = connection.execute("SELECT * FROM ingest_run ORDER BY materialization_id DESC LIMIT %s", [limit])
    return [IngestRun(*row) for row in rows]
