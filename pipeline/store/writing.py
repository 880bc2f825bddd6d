"""The one path by which an asset's rows reach a table: stage, compare, change only what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, sql
from sqlalchemy import BigInteger, Date, Double, Integer, SmallInteger, Table
from sqlalchemy.types import TypeEngine

from pipeline.base.types import MonthRange
from pipeline.store import materializations
from pipeline.store.binary_copy import copy_in
from pipeline.store.engine import Database
from pipeline.store.materializations import UNPARTITIONED
from pipeline.store.schema import WRITER, session_column, value_columns

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """What a write did to a table: ``offered = inserted + revised + unchanged``."""

    inserted: int = 0
    revised: int = 0
    unchanged: int = 0
    deleted: int = 0
    changed_months: frozenset[date] = field(default_factory=frozenset)

    @property
    def written(self) -> int:
        """Rows that the write touched."""
        return self.inserted + self.revised + self.deleted


@dataclass(frozen=True, slots=True)
class Write:
    """An open write of one asset: its connection and its number."""

    connection: Connection
    materialization_id: int
    asset: str

    def replace(self, table: Table, rows: Columns, months: MonthRange | None) -> WriteOutcome:
        """Make the table's rows of `months` equal to `rows` and note the partitions.

        Parameters
        ----------
        rows
            Every column of the table but the writer, equally long, keys unique.
        months
            The months to replace; None for a table without sessions, which is replaced whole.
        """
        outcome = replace_rows(self.connection, table, rows, months, self.materialization_id)
        materializations.record_partitions(
            self.connection,
            self.materialization_id,
            self.asset,
            _rows_by_month(table, rows, months),
            outcome.changed_months,
        )
        return outcome


def concatenated(table: Table, parts: Iterable[Columns]) -> Columns:
    """Rows of several subjects as one set of columns; no part gives no row.

    Parameters
    ----------
    parts
        Columns of the table, each complete but for the writer.
    """
    kept = list(parts)
    if kept:
        return {name: np.concatenate([part[name] for part in kept]) for name in kept[0]}
    return {c.name: np.array([], dtype=_EMPTY_TYPES.get(type(c.type), "S1")) for c in table.columns if c.name != WRITER}


_EMPTY_TYPES: dict[type[TypeEngine[Any]], str] = {
    Date: "datetime64[D]",
    Double: "f8",
    Integer: "i4",
    SmallInteger: "i2",
    BigInteger: "i8",
}


@contextmanager
def open_write(database: Database, asset: str, run_id: str, code_version: str) -> Iterator[Write]:
    """One transaction for reading the inputs and writing the result.

    Nothing is visible to others before the end; a failure, a signal or a lost connection leaves the
    table as it was. Writers of one asset take turns by an advisory lock, which the server frees with
    the transaction.
    """
    with database.connect() as connection:
        materialization_id = materializations.begin(connection, asset, run_id, code_version)
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [asset])
        yield Write(connection, materialization_id, asset)


def replace_rows(
    connection: Connection, table: Table, rows: Columns, months: MonthRange | None, materialization_id: int
) -> WriteOutcome:
    """Make the table's rows in `months` equal to `rows`, touching only rows that differ.

    Raises
    ------
    ValueError
        If `rows` lacks a column of the table or names one it does not have.
    """
    expected = {c.name for c in table.columns} - {WRITER}
    if set(rows) != expected:
        raise ValueError(f"{table.name}: columns {sorted(set(rows) ^ expected)} are missing or unknown")
    count = len(next(iter(rows.values())))
    if not _has_rows(connection, table, months):
        stamped = {**rows, WRITER: np.full(count, materialization_id, dtype=np.int32)}
        copy_in(connection, table.name, stamped)
        changed = frozenset(_rows_by_month(table, rows, months, only_filled=True))
        return WriteOutcome(inserted=count, changed_months=changed)
    _stage(connection, table, rows)
    return _merge(connection, table, count, months, materialization_id)


def _rows_by_month(
    table: Table, rows: Columns, months: MonthRange | None, *, only_filled: bool = False
) -> dict[date, int]:
    session = session_column(table)
    if months is None or session is None:
        return {UNPARTITIONED: len(next(iter(rows.values())))}
    counts = Counter(dict.fromkeys(() if only_filled else months.months(), 0))
    found, sizes = np.unique(rows[session].astype("datetime64[M]"), return_counts=True)
    counts.update({month.astype(date): int(size) for month, size in zip(found, sizes, strict=True)})
    return dict(counts)


def _scope(table: Table, months: MonthRange | None, alias: str) -> sql.Composable:
    """The condition that keeps a statement inside the replaced months."""
    session = session_column(table)
    if months is None or session is None:
        return sql.SQL("true")
    return sql.SQL("{column} >= {first} AND {column} < {end}").format(
        column=sql.Identifier(alias, session), first=sql.Literal(months.first), end=sql.Literal(months.end)
    )


def _has_rows(connection: Connection, table: Table, months: MonthRange | None) -> bool:
    query = sql.SQL("SELECT EXISTS (SELECT FROM {name} AS t WHERE {scope})").format(
        name=sql.Identifier(table.name), scope=_scope(table, months, "t")
    )
    row = connection.execute(query).fetchone()
    return row is not None and bool(row[0])


def _stage(connection: Connection, table: Table, rows: Columns) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, rows))
    connection.execute("DROP TABLE IF EXISTS stage")
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE stage ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
            names, sql.Identifier(table.name)
        )
    )
    copy_in(connection, "stage", rows)
    connection.execute("ANALYZE stage")  # a temporary table has no statistics, and the join needs them


def _merge(
    connection: Connection, table: Table, count: int, months: MonthRange | None, materialization_id: int
) -> WriteOutcome:
    counts: Counter[str] = Counter()
    changed: set[date] = set()
    session = session_column(table)
    parts = {
        "name": sql.Identifier(table.name),
        "scope": _scope(table, months, "t"),
        "same_key": _each(" AND ", "t.{0} = s.{0}", [c.name for c in table.primary_key]),
        "values": _each(", ", "{0} = s.{0}", value_columns(table)),
        "old": _each(", ", "t.{0}", value_columns(table)),
        "new": _each(", ", "s.{0}", value_columns(table)),
        "names": _each(", ", "{0}", [c.name for c in table.columns if c.name != WRITER]),
        "staged": _each(", ", "s.{0}", [c.name for c in table.columns if c.name != WRITER]),
        "writer": sql.Identifier(WRITER),
        "id": sql.Literal(materialization_id),
        "month": sql.SQL("date_trunc('month', t.{})::date").format(sql.Identifier(session))
        if session
        else sql.Literal(UNPARTITIONED),
    }
    for statement in (_DELETE, _MERGE):
        for action, month, rows in connection.execute(sql.SQL(statement).format(**parts)):
            counts[action] += rows
            changed.add(month)
    inserted, revised = counts["INSERT"], counts["UPDATE"]
    return WriteOutcome(inserted, revised, count - inserted - revised, counts["DELETE"], frozenset(changed))


def _each(separator: str, pattern: str, names: list[str]) -> sql.Composed:
    return sql.SQL(separator).join(sql.SQL(pattern).format(sql.Identifier(name)) for name in names)


# A delete of its own, so that the MERGE joins by key and never reads months outside the range.
_DELETE = """
WITH gone AS (
    DELETE FROM {name} AS t
    WHERE {scope} AND NOT EXISTS (SELECT FROM stage AS s WHERE {same_key})
    RETURNING {month} AS month
)
SELECT 'DELETE', month, count(*) FROM gone GROUP BY month
"""

_MERGE = """
WITH merged AS (
    MERGE INTO {name} AS t USING stage AS s ON {same_key}
    WHEN MATCHED AND ({old}) IS DISTINCT FROM ({new}) THEN UPDATE SET {values}, {writer} = {id}
    WHEN NOT MATCHED THEN INSERT ({names}, {writer}) VALUES ({staged}, {id})
    RETURNING merge_action() AS action, {month} AS month
)
SELECT action, month, count(*) FROM merged GROUP BY action, month
"""
