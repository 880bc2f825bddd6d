"""The one path by which an asset's rows reach a table: compare, stage, change only what differs, keep what goes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
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
from pipeline.store.schema import SUPERSEDED_BY, WRITER, history_of, session_column, value_columns

Columns = Mapping[str, NDArray[Any]]

BULK_ROWS = 100_000
"""From here on a first load adds the key after the rows: 0.51 of psql's ``COPY FROM`` instead of 0.8."""

SORT_MEMORY = "512MB"


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

        Months whose rows are byte for byte those that were offered last are not compared row by row.

        Parameters
        ----------
        rows
            Every column of the table but the writer, equally long, keys unique.
        months
            The months to replace; None for a table without sessions, which is replaced whole.

        Raises
        ------
        ValueError
            If `rows` lacks a column of the table or names one it does not have.
        """
        _require_columns(table, rows)
        offer = OfferedRows.of(table, rows, months)
        known = materializations.read_digests(self.connection, self.asset)
        differing = [month for month, digest in offer.digests.items() if known.get(month) != digest]
        outcome = self._replace_differing(table, offer, differing)
        materializations.record_partitions(
            self.connection,
            self.materialization_id,
            self.asset,
            offer.counts,
            outcome.changed_months,
            offer.digests,
        )
        return outcome

    def _replace_differing(self, table: Table, offer: OfferedRows, differing: list[date]) -> WriteOutcome:
        if not differing:
            return WriteOutcome(unchanged=offer.total)
        part, months = offer.part(differing)
        outcome = replace_rows(self.connection, table, part, months, self.materialization_id)
        left_out = offer.total - len(next(iter(part.values())))
        return WriteOutcome(
            outcome.inserted,
            outcome.revised,
            outcome.unchanged + left_out,
            outcome.deleted,
            outcome.changed_months,
        )


@dataclass(frozen=True, slots=True)
class OfferedRows:
    """Rows that are offered to a table, in the order of their months.

    Parameters
    ----------
    rows
        Columns, sorted by month.
    edges
        Month → first and last-but-one position of its rows.
    digests
        Month → digest of its rows, in the order in which they were offered.
    """

    rows: Columns
    edges: Mapping[date, tuple[int, int]]
    digests: Mapping[date, bytes]

    @classmethod
    def of(cls, table: Table, rows: Columns, months: MonthRange | None) -> OfferedRows:
        """Sort rows by month and take their digests."""
        total = len(next(iter(rows.values())))
        session = session_column(table)
        if months is None or session is None:
            edges = {UNPARTITIONED: (0, total)}
            return cls(rows, edges, {UNPARTITIONED: _digest(rows, 0, total)})
        ordered = _by_month(rows, session)
        firsts = np.array([*months.months(), months.end], dtype="datetime64[D]")
        positions = np.searchsorted(ordered[session].astype("datetime64[M]"), firsts.astype("datetime64[M]")).tolist()
        edges = dict(zip(months.months(), pairwise(positions), strict=True))
        return cls(ordered, edges, {month: _digest(ordered, *edge) for month, edge in edges.items()})

    @property
    def total(self) -> int:
        """Rows offered."""
        return len(next(iter(self.rows.values())))

    @property
    def counts(self) -> dict[date, int]:
        """Rows of each month."""
        return {month: last - first for month, (first, last) in self.edges.items()}

    def part(self, months: list[date]) -> tuple[Columns, MonthRange | None]:
        """The rows of the smallest range of months that holds the given ones, and that range."""
        if months == [UNPARTITIONED]:
            return self.rows, None
        kept = MonthRange(min(months), max(months))
        first, last = self.edges[kept.first][0], self.edges[kept.last][1]
        return {name: values[first:last] for name, values in self.rows.items()}, kept


def _by_month(rows: Columns, session: str) -> Columns:
    """Rows in the order of their months, and inside a month as they came."""
    month = rows[session].astype("datetime64[M]").astype(np.int64)
    if len(month) == 0 or (month[1:] >= month[:-1]).all():
        return rows
    # A stable sort of small integers is a radix sort, linear in the rows.
    order = np.argsort((month - month.min()).astype(np.uint16), kind="stable")
    return {name: values[order] for name, values in rows.items()}


def _digest(rows: Columns, first: int, last: int) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(rows):
        values = np.ascontiguousarray(rows[name][first:last])
        digest.update(f"{name} {values.dtype.str} {len(values)} ".encode())
        digest.update(values.view(np.uint8).data if values.dtype.kind != "M" else values.view(np.int64).data)
    return digest.digest()


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
    table as it was. Writers of one asset take turns.
    """
    with database.connect() as connection:
        materializations.take_turn(connection, asset)
        materialization_id = materializations.begin(connection, asset, run_id, code_version)
        yield Write(connection, materialization_id, asset)
        materializations.finish(connection, materialization_id)


def replace_rows(
    connection: Connection, table: Table, rows: Columns, months: MonthRange | None, materialization_id: int
) -> WriteOutcome:
    """Make the table's rows in `months` equal to `rows`, touching only rows that differ."""
    count = len(next(iter(rows.values())))
    if not _has_rows(connection, table, months):
        stamped = {**rows, WRITER: np.full(count, materialization_id, dtype=np.int32)}
        _load(connection, table, stamped, count)
        return WriteOutcome(inserted=count, changed_months=_filled_months(table, rows, months))
    _stage(connection, table, rows)
    return _merge(connection, table, count, months, materialization_id)


def _require_columns(table: Table, rows: Columns) -> None:
    expected = {c.name for c in table.columns} - {WRITER}
    if set(rows) != expected:
        raise ValueError(f"{table.name}: columns {sorted(set(rows) ^ expected)} are missing or unknown")


def _filled_months(table: Table, rows: Columns, months: MonthRange | None) -> frozenset[date]:
    session = session_column(table)
    if months is None or session is None:
        return frozenset({UNPARTITIONED} if len(next(iter(rows.values()))) else ())
    return frozenset(np.unique(rows[session].astype("datetime64[M]")).astype(object).tolist())


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


def _load(connection: Connection, table: Table, rows: Columns, count: int) -> None:
    """Append rows; a large load of an empty table adds its key afterwards."""
    if count < BULK_ROWS or _has_rows(connection, table, None):
        copy_in(connection, table.name, rows)
        return
    names = {
        "table": sql.Identifier(table.name),
        "key": sql.Identifier(str(table.primary_key.name)),
        "columns": sql.SQL(", ").join(sql.Identifier(c.name) for c in table.primary_key),
    }
    connection.execute(sql.SQL("SET LOCAL maintenance_work_mem = {}").format(sql.Literal(SORT_MEMORY)))
    connection.execute(sql.SQL("ALTER TABLE {table} DROP CONSTRAINT {key}").format(**names))
    copy_in(connection, table.name, rows)
    connection.execute(sql.SQL("ALTER TABLE {table} ADD CONSTRAINT {key} PRIMARY KEY ({columns})").format(**names))


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
        "all_old": _each(", ", "old.{0}", [c.name for c in table.columns]),
        "writer": sql.Identifier(WRITER),
        "id": sql.Literal(materialization_id),
        "month": sql.SQL("date_trunc('month', t.{})::date").format(sql.Identifier(session))
        if session
        else sql.Literal(UNPARTITIONED),
        "kept": _kept(table, materialization_id),
    }
    for statement in (_DELETE, _MERGE):
        for action, month, rows in connection.execute(sql.SQL(statement).format(**parts)):
            counts[action] += rows
            changed.add(month)
    inserted, revised = counts["INSERT"], counts["UPDATE"]
    return WriteOutcome(inserted, revised, count - inserted - revised, counts["DELETE"], frozenset(changed))


def _kept(table: Table, materialization_id: int) -> sql.Composable:
    """The part of a statement that moves what it replaces or deletes to the table's history."""
    history = history_of(table)
    if history is None:
        return sql.SQL("")
    names = [c.name for c in table.columns]
    return sql.SQL(
        ", kept AS (INSERT INTO {history} ({names}, {superseded}) SELECT {names}, {id} FROM gone WHERE was_there)"
    ).format(
        history=sql.Identifier(history.name),
        names=_each(", ", "{0}", names),
        superseded=sql.Identifier(SUPERSEDED_BY),
        id=sql.Literal(materialization_id),
    )


def _each(separator: str, pattern: str, names: list[str]) -> sql.Composed:
    return sql.SQL(separator).join(sql.SQL(pattern).format(sql.Identifier(name)) for name in names)


# A delete of its own, so that the MERGE joins by key and never reads months outside the range.
_DELETE = """
WITH gone AS (
    DELETE FROM {name} AS t
    WHERE {scope} AND NOT EXISTS (SELECT FROM stage AS s WHERE {same_key})
    RETURNING {all_old}, {month} AS month_of_row, true AS was_there
){kept}
SELECT 'DELETE', month_of_row, count(*) FROM gone GROUP BY month_of_row
"""

_MERGE = """
WITH gone AS (
    MERGE INTO {name} AS t USING stage AS s ON {same_key}
    WHEN MATCHED AND ({old}) IS DISTINCT FROM ({new}) THEN UPDATE SET {values}, {writer} = {id}
    WHEN NOT MATCHED THEN INSERT ({names}, {writer}) VALUES ({staged}, {id})
    RETURNING merge_action() AS action, {all_old}, {month} AS month_of_row, merge_action() = 'UPDATE' AS was_there
){kept}
SELECT action, month_of_row, count(*) FROM gone GROUP BY action, month_of_row
"""
