"""Where a stored number comes from: the write that made it, and the writes of the prices that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection, sql
from psycopg.rows import class_row

from pipeline.base.errors import NotFoundError
from pipeline.store.point_in_time import Knowledge, rows_as_known
from pipeline.store.prices import PRICE
from pipeline.store.schema import WRITER


@dataclass(frozen=True, slots=True)
class Materialization:
    """A finished write.

    Parameters
    ----------
    id
        Its number, which the rows carry.
    asset
        Asset that was written.
    run_id
        Dagster run.
    code_version
        Digest of the source that computed the rows.
    started_at, finished_at
        When it began to read its inputs, and when its rows were about to be committed.
    """

    id: int
    asset: str
    run_id: str
    code_version: str
    started_at: datetime
    finished_at: datetime


def read_materialization(connection: Connection, materialization_id: int) -> Materialization:
    """The write of a number.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    with connection.cursor(row_factory=class_row(Materialization)) as cursor:
        found = cursor.execute(
            "SELECT id, asset, run_id, code_version, started_at, finished_at FROM materialization WHERE id = %s",
            [materialization_id],
        ).fetchone()
    if found is None:
        raise NotFoundError(f"No write has the number {materialization_id}", "Take one that a row names.")
    return found


def read_last_writes(connection: Connection) -> list[Materialization]:
    """The last write that computed anything of each asset, by asset."""
    with connection.cursor(row_factory=class_row(Materialization)) as cursor:
        return cursor.execute(
            """
            SELECT id, asset, run_id, code_version, started_at, finished_at FROM materialization
            WHERE id IN (SELECT max(built_by) FROM asset_partition GROUP BY asset) AND finished_at IS NOT NULL
            ORDER BY asset
            """
        ).fetchall()


def read_price_writes(
    connection: Connection, instrument_ids: Sequence[int], first: date, last: date, known: Knowledge
) -> list[Materialization]:
    """The writes that made or last changed the prices of some sessions, as they were known at a moment."""
    condition = sql.SQL("instrument_id = ANY({ids}) AND session BETWEEN {first} AND {last}").format(
        ids=sql.Literal(list(instrument_ids)), first=sql.Literal(first), last=sql.Literal(last)
    )
    rows = rows_as_known(connection, PRICE, "prices", sql.Identifier(WRITER), condition, known)
    query = sql.SQL(
        "SELECT id, asset, run_id, code_version, started_at, finished_at FROM materialization"
        " WHERE id IN (SELECT {writer} FROM ({rows}) AS used) ORDER BY id"
    ).format(writer=sql.Identifier(WRITER), rows=rows)
    with connection.cursor(row_factory=class_row(Materialization)) as cursor:
        return cursor.execute(query).fetchall()
