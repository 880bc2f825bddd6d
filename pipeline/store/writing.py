"""The one path by which an asset's rows reach a table: compare, stage, change only what differs, keep what goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial

import numpy as np
from psycopg import Connection, errors, sql
from sqlalchemy import Table

from pipeline.base.flags import Flag
from pipeline.base.types import DateArray, MonthRange
from pipeline.store import materializations
from pipeline.store.binary_copy import copy_in
from pipeline.store.bulk_loads import fill
from pipeline.store.engine import Database
from pipeline.store.feature_flags import is_on
from pipeline.store.materializations import UNPARTITIONED
from pipeline.store.offering import EVERYTHING, Columns, Difference, OfferedRows, Span
from pipeline.store.outdating import outdate
from pipeline.store.rebuilding import rebuild
from pipeline.store.schema import NUMPY_TYPES, SUPERSEDED_BY, WRITER, history_of, session_column, value_columns
from pipeline.store.stored import PartOfTableError, Stored, StoredOtherwiseError, meanwhile, read_stored

BULK_ROWS = 100_000
"""From here on a first load adds the key after the rows: 0.51 of psql's ``COPY FROM`` instead of 0.8."""

REBUILT_SHARE = 0.1
"""From this share of new rows on, a large table is built anew beside the one in use rather than changed in place."""

ANALYZED_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """What a write did to a table: ``offered = inserted + revised + unchanged``.

    Parameters
    ----------
    built_anew
        Whether another table took the place of the one that was in use.
    """

    inserted: int = 0
    revised: int = 0
    unchanged: int = 0
    deleted: int = 0
    changed_months: frozenset[date] = field(default_factory=frozenset)
    built_anew: bool = field(default=False, compare=False)

    @property
    def written(self) -> int:
        """Rows that the write touched."""
        return self.inserted + self.revised + self.deleted


@dataclass(frozen=True, slots=True)
class Write:
    """An open write of one asset: its connection and its number.

    Parameters
    ----------
    database
        That of the connection, for work that takes several at once.
    anew
        Whether to build tables beside those in use, however little differs, where all of a table is offered.
    ahead
        What is stored of tables that are read already, by name; each is taken once, since a write changes it.
    digests
        Month → digests of what was offered last, of tables of which they are read already.
    """

    database: Database
    connection: Connection
    materialization_id: int
    asset: str
    anew: bool = False
    ahead: dict[str, Future[Stored | None]] = field(default_factory=dict)
    digests: dict[str, Mapping[date, bytes]] = field(default_factory=dict)

    def replace(self, table: Table, rows: Columns, months: MonthRange | None) -> WriteOutcome:
        """Make the table's rows of `months` equal to `rows` and note the partitions.

        Sessions whose rows are byte for byte those that were offered last are not compared row by row, and of a
        large offer only rows that are new.

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
        named = [UNPARTITIONED] if months is None or session_column(table) is None else list(months.months())
        with ThreadPoolExecutor(max_workers=1) as reader:
            # The server reads what is stored while the digests of what is offered are made.
            known = reader.submit(self._last_digests, table, named)
            reading = self.ahead.pop(table.name, None)
            if self.anew and reading is None:
                reading = reader.submit(read_stored, self.connection, table)
            offered = OfferedRows.of(table, rows, months)
            differing = offered.differing_from(known.result())
        stored = reading.result() if reading else None
        outcome = self._replaced_anew(table, offered, differing, stored)
        if outcome is None:
            outcome = self._replaced_in_place(table, offered, differing)
        connection, number, changed = self.connection, self.materialization_id, outcome.changed_months
        outdate(connection, table, changed, number)
        materializations.record_partitions(connection, number, self.asset, offered.counts, changed, offered.digests)
        return outcome

    def _last_digests(self, table: Table, months: list[date]) -> Mapping[date, bytes]:
        """Those of each month, taken once, since a write changes them."""
        known = self.digests.pop(table.name, None)
        return materializations.read_digests(self.connection, self.asset, months) if known is None else known

    def _replaced_anew(
        self, table: Table, offered: OfferedRows, differing: Difference | None, stored: Stored | None
    ) -> WriteOutcome | None:
        """Build another table beside the one in use where that is asked for, or it is new for a good part.

        Where it is not known how the offer differs from what is stored, rows are compared one by one before.

        Returns
        -------
        WriteOutcome or None
            None where it is not wanted, not possible, or readers do not let go of the one in use.
        """
        if not self.anew and not (_is_mostly_new(offered, differing) and is_on(self.connection, Flag.BUILD_ANEW)):
            return None
        stored = stored or read_stored(self.connection, table)
        if stored is None or offered.session is None:
            return None
        if differing is None or differing.is_known:
            with suppress(StoredOtherwiseError):
                return self._rebuilt(table, stored, offered, differing or offered.nothing_differs)
        outcome = replace_rows(self.connection, table, offered.rows, offered.span, self.materialization_id)
        stored = read_stored(self.connection, table) if self.anew else None
        rebuilt = self._rebuilt(table, stored, offered, offered.nothing_differs) if stored else None
        return replace(outcome, built_anew=rebuilt is not None)

    def _rebuilt(
        self, table: Table, stored: Stored, offered: OfferedRows, differing: Difference
    ) -> WriteOutcome | None:
        connection, number = self.connection, self.materialization_id
        try:
            with connection.transaction():
                rebuilt = rebuild(connection, self.database, table, stored, offered, differing, number)
        except (errors.LockNotAvailable, errors.DependentObjectsStillExist, PartOfTableError):
            return None
        return WriteOutcome(*rebuilt.counts, rebuilt.changed_months, built_anew=True)

    def _replaced_in_place(self, table: Table, offered: OfferedRows, differing: Difference | None) -> WriteOutcome:
        if differing is None:
            return WriteOutcome(unchanged=offered.total)
        part = offered.inside(differing.span)
        count = part.stop - part.start
        if differing.is_known and count >= BULK_ROWS:
            return _change(self.connection, table, offered, differing, self.materialization_id)
        rows = offered.take(part)
        outcome = replace_rows(self.connection, table, rows, differing.span, self.materialization_id)
        return replace(outcome, unchanged=outcome.unchanged + offered.total - count)


def _is_mostly_new(offered: OfferedRows, differing: Difference | None) -> bool:
    if differing is None or not differing.is_known:
        return False
    part = offered.inside(differing.span)
    return part.stop - part.start >= BULK_ROWS and bool(differing.is_new.mean() >= REBUILT_SHARE)


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
def open_write(
    database: Database, asset: str, run_id: str, code_version: str, *, anew: bool = False, table: Table | None = None
) -> Iterator[Write]:
    """One transaction for reading the inputs and writing the result.

    Nothing is visible to others before the end; a failure, a signal or a lost connection leaves the
    table as it was. Writers of one asset take turns.

    Parameters
    ----------
    anew
        Build tables beside those in use, however little differs.
    table
        The table that will be, which others do not write to from now on; None where it is not known yet.
    """
    with database.connect() as connection:
        materializations.take_turn(connection, asset)
        materialization_id = materializations.begin(connection, asset, run_id, code_version)
        write = Write(database, connection, materialization_id, asset, anew)
        if anew and table is not None:
            with meanwhile(connection, partial(read_stored, connection, table)) as write.ahead[table.name]:
                yield write
        else:
            yield write
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


def _change(
    connection: Connection, table: Table, offered: OfferedRows, differing: Difference, materialization_id: int
) -> WriteOutcome:
    """As `replace_rows`, for a large offer of which it is known how it differs from the last one.

    Only the new rows are merged; deleted ones are looked for in sessions where more rows are gone than were revised.
    """
    _stage(connection, table, offered.take(differing.is_new))
    parts = _parts(table, differing.span, materialization_id)
    tally = _tally(connection, _MERGE, parts)
    days = differing.days_with_deletions(_revised_sessions(tally))
    if len(days) and offered.session is not None:
        _stage(connection, table, offered.take(np.isin(offered.session, days)))
        tally += _tally(connection, _DELETE, {**parts, "scope": _on_days(table, days.astype(object).tolist())})
    return _outcome(table, offered.total, tally)


def _revised_sessions(tally: Tally) -> DateArray:
    """Session of each row that was revised."""
    revised = {day: rows for (action, day), rows in tally.items() if action == "UPDATE"}
    return np.repeat(np.array(list(revised), dtype="datetime64[D]"), list(revised.values()))


def _on_days(table: Table, days: list[date]) -> sql.Composable:
    return sql.SQL("{} = ANY({})").format(sql.Identifier("t", session_column(table) or ""), sql.Literal(days))


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
    fill(connection, table, rows)


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


Tally = Counter[tuple[str, date]]
"""(INSERT, UPDATE or DELETE, session) → rows."""


def _merge(connection: Connection, table: Table, count: int, span: Span, materialization_id: int) -> WriteOutcome:
    parts = _parts(table, span, materialization_id)
    return _outcome(table, count, _tally(connection, _DELETE, parts) + _tally(connection, _MERGE, parts))


def _tally(connection: Connection, statement: str, parts: dict[str, sql.Composable]) -> Tally:
    found = connection.execute(sql.SQL(statement).format(**parts))
    return Counter({(action, day): rows for action, day, rows in found})


def _outcome(table: Table, count: int, tally: Tally) -> WriteOutcome:
    """What a write did that offered `count` rows."""
    counts: Counter[str] = Counter()
    for (action, _), rows in tally.items():
        counts[action] += rows
    inserted, revised, deleted = counts["INSERT"], counts["UPDATE"], counts["DELETE"]
    changed = {day.replace(day=1) for _, day in tally} if session_column(table) else {day for _, day in tally}
    return WriteOutcome(inserted, revised, count - inserted - revised, deleted, frozenset(changed))


def _parts(table: Table, span: Span, materialization_id: int) -> dict[str, sql.Composable]:
    """What the statements of a write need to know of a table."""
    session = session_column(table)
    return {
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
        "day": sql.Identifier("t", session) if session else sql.Literal(UNPARTITIONED),
        "kept": _kept(table, materialization_id),
    }


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
    RETURNING {all_old}, {day} AS day_of_row, true AS was_there
){kept}
SELECT 'DELETE', day_of_row, count(*) FROM gone GROUP BY day_of_row
"""

_MERGE = """
WITH gone AS (
    MERGE INTO {name} AS t USING stage AS s ON {same_key}
    WHEN MATCHED AND ({old}) IS DISTINCT FROM ({new}) THEN UPDATE SET {values}, {writer} = {id}
    WHEN NOT MATCHED THEN INSERT ({names}, {writer}) VALUES ({staged}, {id})
    RETURNING merge_action() AS action, {all_old}, {day} AS day_of_row, merge_action() = 'UPDATE' AS was_there
){kept}
SELECT action, day_of_row, count(*) FROM gone GROUP BY action, day_of_row
"""
