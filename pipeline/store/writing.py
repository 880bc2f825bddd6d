"""The one path by which an asset's rows reach a table: compare, stage, change only what differs, keep what goes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, sql
from sqlalchemy import Table

from pipeline.base.types import DateArray, MonthRange, add_months
from pipeline.store import materializations
from pipeline.store.binary_copy import copy_in
from pipeline.store.engine import Database
from pipeline.store.materializations import UNPARTITIONED
from pipeline.store.schema import NUMPY_TYPES, SUPERSEDED_BY, WRITER, history_of, session_column, value_columns

Columns = Mapping[str, NDArray[Any]]

BULK_ROWS = 100_000
"""From here on a first load adds the key after the rows: 0.51 of psql's ``COPY FROM`` instead of 0.8."""

SORT_MEMORY = "512MB"

ANALYZED_ROWS = 2_000


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

        Sessions whose rows are byte for byte those that were offered last are not compared row by row.

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
        offered = OfferedRows.of(table, rows, months)
        known = materializations.read_digests(self.connection, self.asset)
        outcome = self._replace_differing(table, offered, offered.differing_from(known))
        materializations.record_partitions(
            self.connection,
            self.materialization_id,
            self.asset,
            offered.counts,
            outcome.changed_months,
            offered.digests,
        )
        return outcome

    def _replace_differing(self, table: Table, offered: OfferedRows, differing: Span | None) -> WriteOutcome:
        if differing is None:
            return WriteOutcome(unchanged=offered.total)
        part = offered.part(differing)
        outcome = replace_rows(self.connection, table, part, differing, self.materialization_id)
        left_out = offered.total - len(next(iter(part.values())))
        return replace(outcome, unchanged=outcome.unchanged + left_out)


@dataclass(frozen=True, slots=True)
class Span:
    """Days from `first` up to, not including, `end`."""

    first: date
    end: date


EVERYTHING = Span(date.min, date.max)
"""For tables without sessions, which are replaced whole."""

_DAY_BYTES, _DIGEST_BYTES = 4, 16
_SESSION_BYTES = _DAY_BYTES + _DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class OfferedRows:
    """Rows that are offered to a table, in the order of their sessions.

    Parameters
    ----------
    rows
        Columns, sorted by session.
    session
        (m,) session of each row; None for a table without sessions.
    counts
        Month → its rows.
    digests
        Month → for each of its sessions the day and a digest of its rows, in the order in which they came.
    """

    rows: Columns
    session: DateArray | None
    counts: Mapping[date, int]
    digests: Mapping[date, bytes]

    @classmethod
    def of(cls, table: Table, rows: Columns, months: MonthRange | None) -> OfferedRows:
        """Sort rows by session and take their digests."""
        name = session_column(table)
        if months is None or name is None:
            total = len(next(iter(rows.values())))
            return cls(rows, None, {UNPARTITIONED: total}, {UNPARTITIONED: _digest(rows, 0, total)})
        ordered = _by_session(rows, name)
        session = ordered[name].astype("datetime64[D]")
        counts, digests = dict.fromkeys(months.months(), 0), dict.fromkeys(months.months(), b"")
        days, starts = np.unique(session, return_index=True)
        edges = [*starts.tolist(), len(session)]
        for day, first, last in zip(days, edges[:-1], edges[1:], strict=True):
            month = day.astype("datetime64[M]").astype("datetime64[D]").astype(object)
            counts[month] += last - first
            digests[month] += day.astype("<i8").astype("<i4").tobytes() + _digest(ordered, first, last)
        return cls(ordered, session, counts, digests)

    @property
    def total(self) -> int:
        """Rows offered."""
        return len(next(iter(self.rows.values())))

    def differing_from(self, known: Mapping[date, bytes]) -> Span | None:
        """The days that were not offered like this last; None if all were."""
        if self.session is None:
            return None if known.get(UNPARTITIONED) == self.digests[UNPARTITIONED] else EVERYTHING
        spans = [
            _differing_days(month, known.get(month), digest)
            for month, digest in self.digests.items()
            if known.get(month) != digest
        ]
        return Span(min(s.first for s in spans), max(s.end for s in spans)) if spans else None

    def part(self, span: Span) -> Columns:
        """The rows of a span."""
        if self.session is None:
            return self.rows
        edges = np.array([span.first, span.end], dtype="datetime64[D]")
        first, last = np.searchsorted(self.session, edges)
        return {name: values[first:last] for name, values in self.rows.items()}


def _differing_days(month: date, known: bytes | None, offered: bytes) -> Span:
    """The days of a month that differ; the whole month if nothing is known of it."""
    if known is None:
        return Span(month, add_months(month, 1))
    sessions = _sessions_of(known) ^ _sessions_of(offered)
    days = np.array([int.from_bytes(s[:_DAY_BYTES], "little") for s in sessions]).astype("datetime64[D]")
    return Span(days.min().astype(object), (days.max() + 1).astype(object))


def _sessions_of(digest: bytes) -> set[bytes]:
    return {digest[start : start + _SESSION_BYTES] for start in range(0, len(digest), _SESSION_BYTES)}


def _by_session(rows: Columns, name: str) -> Columns:
    """Rows in the order of their sessions, and inside a session as they came."""
    day = rows[name].astype("datetime64[D]").astype(np.int64)
    if len(day) == 0 or (day[1:] >= day[:-1]).all():
        return rows
    # A stable sort of small integers is a radix sort, linear in the rows; they reach over 179 years.
    order = np.argsort((day - day.min()).astype(np.uint16), kind="stable")
    return {name: values[order] for name, values in rows.items()}


def _digest(rows: Columns, first: int, last: int) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for name in sorted(rows):
        values = np.ascontiguousarray(rows[name][first:last])
        digest.update(f"{name} {values.dtype.str} {len(values)} ".encode())
        digest.update(values.view(np.int64 if values.dtype.kind == "M" else np.uint8).data)
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
    return {c.name: np.array([], dtype=NUMPY_TYPES.get(type(c.type), "S1")) for c in table.columns if c.name != WRITER}


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
    connection: Connection, table: Table, rows: Columns, span: Span, materialization_id: int
) -> WriteOutcome:
    """Make the table's rows in `span` equal to `rows`, touching only rows that differ."""
    count = len(next(iter(rows.values())))
    if not _has_rows(connection, table, span):
        stamped = {**rows, WRITER: np.full(count, materialization_id, dtype=np.int32)}
        _load(connection, table, stamped, count)
        return WriteOutcome(inserted=count, changed_months=_filled_months(table, rows))
    _stage(connection, table, rows)
    return _merge(connection, table, count, span, materialization_id)


def _require_columns(table: Table, rows: Columns) -> None:
    expected = {c.name for c in table.columns} - {WRITER}
    if set(rows) != expected:
        raise ValueError(f"{table.name}: columns {sorted(set(rows) ^ expected)} are missing or unknown")


def _filled_months(table: Table, rows: Columns) -> frozenset[date]:
    session = session_column(table)
    if session is None:
        return frozenset({UNPARTITIONED} if len(next(iter(rows.values()))) else ())
    return frozenset(np.unique(rows[session].astype("datetime64[M]")).astype(object).tolist())


def _scope(table: Table, span: Span, alias: str) -> sql.Composable:
    """The condition that keeps a statement inside the replaced days."""
    session = session_column(table)
    if session is None:
        return sql.SQL("true")
    return sql.SQL("{column} >= {first} AND {column} < {end}").format(
        column=sql.Identifier(alias, session), first=sql.Literal(span.first), end=sql.Literal(span.end)
    )


def _has_rows(connection: Connection, table: Table, span: Span) -> bool:
    query = sql.SQL("SELECT EXISTS (SELECT FROM {name} AS t WHERE {scope})").format(
        name=sql.Identifier(table.name), scope=_scope(table, span, "t")
    )
    row = connection.execute(query).fetchone()
    return row is not None and bool(row[0])


def _load(connection: Connection, table: Table, rows: Columns, count: int) -> None:
    """Append rows; a large load of an empty table adds its key afterwards."""
    if count < BULK_ROWS or _has_rows(connection, table, EVERYTHING):
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
    # With statistics, a range of sessions is found by skipping through the key: 8 ms instead of 246 in 3.8 M rows.
    connection.execute(sql.SQL("ANALYZE {table}").format(**names))


def _stage(connection: Connection, table: Table, rows: Columns) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, rows))
    connection.execute("DROP TABLE IF EXISTS stage")
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE stage ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
            names, sql.Identifier(table.name)
        )
    )
    copy_in(connection, "stage", rows)
    if len(next(iter(rows.values()))) >= ANALYZED_ROWS:
        connection.execute("ANALYZE stage")  # a temporary table has no statistics, and a large join needs them


def _merge(connection: Connection, table: Table, count: int, span: Span, materialization_id: int) -> WriteOutcome:
    counts: Counter[str] = Counter()
    changed: set[date] = set()
    session = session_column(table)
    parts = {
        "name": sql.Identifier(table.name),
        "scope": _scope(table, span, "t"),
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
