"""A table in ranges of its subjects, a partition each, so that several connections can fill it anew at once (ADR 0029).

Postgres fills and keys a new table with one process. Ranges are filled beside those in use, each in a transaction of
its own, and committed as tables that nobody knows yet; who waits for them then gives them to the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, errors, sql
from sqlalchemy import Table

from pipeline.store.binary_copy import copy_in
from pipeline.store.bulk_loads import prepare
from pipeline.store.engine import Database
from pipeline.store.offering import Columns

STREAMS = 2
"""Ranges of a table that was filled anew. With two cores, more would take turns."""

STATISTICS_TARGET = 25
"""A quarter of the usual sample, for a quarter of the time: enough to find a range of sessions by skipping through the
key."""

PATIENCE = "900ms"
"""How long a lock is waited for; less than Postgres's deadlock time-out of a second, since a deadlock that goes by way
of this process is none that the server can see."""

_CANCEL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Range:
    """Some of the subjects, and where their rows stand.

    Parameters
    ----------
    number
        From 1.
    first, end
        From the first subject up to, not including, the end; None reaches to all that there may be.
    rows
        Their positions, in the order of the key.
    """

    number: int
    first: int | None
    end: int | None
    rows: slice

    def beside(self, table: Table) -> str:
        """Name of the range's table while it is not in use."""
        return f"{table.name}_rebuilt_{self.number}"

    def in_use(self, table: Table) -> str:
        """Name of the range's table once it is in use."""
        return f"{table.name}_{self.number}"


def is_in_ranges(connection: Connection, table: Table) -> bool:
    """Whether the table is kept in ranges, not as one."""
    query = "SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(quote_ident(%s))"
    return connection.execute(query, [table.name]).fetchone() == (True,)


def ranges_of(subjects: NDArray[np.int32]) -> list[Range]:
    """Ranges with about as many rows each, at most `STREAMS` of them.

    Parameters
    ----------
    subjects
        (m,) subject of each row, sorted; at least one.
    """
    wanted = subjects[[len(subjects) * number // STREAMS for number in range(1, STREAMS)]]
    cuts = [cut for cut in np.unique(wanted).tolist() if cut > subjects[0]]
    edges, places = [None, *cuts, None], [0, *np.searchsorted(subjects, cuts).tolist(), len(subjects)]
    return [
        Range(number, first, end, slice(*rows))
        for number, ((first, end), rows) in enumerate(zip(pairwise(edges), pairwise(places), strict=True), start=1)
    ]


@contextmanager
def filling(database: Database, table: Table, rows: Columns) -> Iterator[Callable[[], list[Range]]]:
    """Fill a table for each range, beside those in use, while the context lasts.

    Parameters
    ----------
    rows
        Every column, in the order of the key.

    Yields
    ------
    Callable
        Waits until all are filled and commits them. If the context fails, or ends before, none of them stays; a process
        that is killed in between leaves some, which the next filling removes.
    """
    ranges = ranges_of(rows[next(iter(table.primary_key)).name])
    with ExitStack() as stack:
        connections = [stack.enter_context(database.connect()) for _ in ranges]
        workers = stack.enter_context(ThreadPoolExecutor(len(ranges)))
        filled = [
            workers.submit(_fill, connection, table, one, rows)
            for connection, one in zip(connections, ranges, strict=True)
        ]
        try:
            yield partial(_finish, connections, filled, ranges)
        except BaseException:
            _stop(connections, filled)
            _remove(connections[0], table, ranges)
            raise
        _stop(connections, filled)


def _fill(connection: Connection, table: Table, one: Range, rows: Columns) -> None:
    """A durable table with the columns, checks and comments of the one in use; the key comes after the rows."""
    names = _names(table, one)
    prepare(connection)
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(PATIENCE)))
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {beside}").format(**names))
    connection.execute(sql.SQL("CREATE TABLE {beside} (LIKE {table} INCLUDING ALL EXCLUDING INDEXES)").format(**names))
    # By this check the server knows that the rows belong to the range, and does not read them again to find out.
    connection.execute(sql.SQL("ALTER TABLE {beside} ADD CONSTRAINT {check} CHECK ({inside})").format(**names))
    copy_in(connection, one.beside(table), {name: values[one.rows] for name, values in rows.items()}, freeze=True)
    connection.execute(
        sql.SQL("ALTER TABLE {beside} ADD CONSTRAINT {key_beside} PRIMARY KEY ({key_columns})").format(**names)
    )
    connection.execute(sql.SQL("SET LOCAL default_statistics_target = {}").format(sql.Literal(STATISTICS_TARGET)))
    connection.execute(sql.SQL("ANALYZE {beside}").format(**names))


def _finish(connections: Sequence[Connection], filled: Sequence[Future[None]], ranges: list[Range]) -> list[Range]:
    for one in filled:
        one.result()
    for connection in connections:
        connection.commit()
    return ranges


def _stop(connections: Sequence[Connection], filled: Sequence[Future[None]]) -> None:
    """Let nobody fill on, and forget what is not committed."""
    while wait(filled, _CANCEL_SECONDS).not_done:
        for connection in connections:
            connection.cancel_safe()
    for connection in connections:
        connection.rollback()


def _remove(connection: Connection, table: Table, ranges: Sequence[Range]) -> None:
    """Remove what is committed and not in use; the next filling does where somebody holds on to it."""
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(PATIENCE)))
    with suppress(errors.LockNotAvailable):
        for one in ranges:
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {beside}").format(**_names(table, one)))
    connection.commit()


def take_over(connection: Connection, table: Table, ranges: Sequence[Range]) -> None:
    """Put filled ranges in the place of those in use, of a table that the transaction has for itself."""
    for (name,) in connection.execute(_PARTITIONS, {"table": table.name}).fetchall():
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    owner = connection.execute(_OWNER, {"table": table.name}).fetchone()
    assert owner is not None
    for one in ranges:
        names = _names(table, one)
        connection.execute(sql.SQL("ALTER TABLE {beside} OWNER TO {owner}").format(owner=sql.SQL(owner[0]), **names))
        connection.execute(
            sql.SQL("ALTER TABLE {table} ATTACH PARTITION {beside} FOR VALUES FROM ({first}) TO ({end})").format(
                **names
            )
        )
        connection.execute(sql.SQL("ALTER TABLE {beside} DROP CONSTRAINT {check}").format(**names))
        connection.execute(sql.SQL("ALTER TABLE {beside} RENAME TO {in_use}").format(**names))
        connection.execute(sql.SQL("ALTER INDEX {key_beside} RENAME TO {key}").format(**names))


def _names(table: Table, one: Range) -> dict[str, sql.Composable]:
    subject, session = (sql.Identifier(c.name) for c in table.primary_key)
    edges = {">=": one.first, "<": one.end}
    inside = [sql.SQL(f"{{}} {sign} {{}}").format(subject, edge) for sign, edge in edges.items() if edge is not None]
    return {
        "table": sql.Identifier(table.name),
        "beside": sql.Identifier(one.beside(table)),
        "in_use": sql.Identifier(one.in_use(table)),
        "check": sql.Identifier(f"{one.beside(table)}_range"),
        "inside": sql.SQL(" AND ").join(inside) if inside else sql.SQL("true"),
        "key_beside": sql.Identifier(f"{one.beside(table)}_pkey"),
        "key": sql.Identifier(f"{one.in_use(table)}_pkey"),
        "key_columns": sql.SQL(", ").join([subject, session]),
        "first": sql.SQL("MINVALUE") if one.first is None else sql.Literal(one.first),
        "end": sql.SQL("MAXVALUE") if one.end is None else sql.Literal(one.end),
    }


_PARTITIONS = """
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = to_regclass(quote_ident(%(table)s)) ORDER BY relname
"""

_OWNER = """
SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = to_regclass(quote_ident(%(table)s))
"""
