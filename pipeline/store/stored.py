"""What is stored of a table that is to be rebuilt, and whether it can be (`pipeline.store.rebuilding`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, errors, sql
from sqlalchemy import Table

from pipeline.base.types import IntArray, add_months
from pipeline.store.offering import Difference, OfferedRows
from pipeline.store.packed_keys import has_packable_key, packed_expression, unpacked_array
from pipeline.store.schema import WRITER

T = TypeVar("T")

CANCEL_SECONDS = 0.1
"""After which a statement that was not yet there to be cancelled is cancelled again."""


class PartOfTableError(Exception):
    """The table has rows of other months than those offered."""


class StoredOtherwiseError(Exception):
    """The table does not hold what was offered last: somebody has changed it by hand."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a rebuild has to know of the rows of the table in use.

    Parameters
    ----------
    total
        Rows.
    first, last
        The first session and the last.
    common_writer
        Who wrote the rows that are not listed.
    keys, writers
        (x,) keys (`packed_keys`) of those that are, sorted, and who wrote each.
    """

    total: int
    first: date
    last: date
    common_writer: int
    keys: IntArray
    writers: NDArray[np.int32]

    def writers_of(self, keys: IntArray) -> NDArray[np.int32]:
        """(m,) who wrote the rows of sorted keys; meaningless where there is none."""
        found = np.full(len(keys), self.common_writer, dtype=np.int32)
        if len(keys):
            place = np.minimum(np.searchsorted(keys, self.keys), len(keys) - 1)
            is_offered = keys[place] == self.keys
            found[place[is_offered]] = self.writers[is_offered]
        return found

    def require(self, table: Table, offered: OfferedRows, differing: Difference) -> None:
        """Refuse a table that is more than what is offered, or other than the last offer."""
        if not (min(offered.counts) <= self.first and self.last < add_months(max(offered.counts), 1)):
            raise PartOfTableError(table.name)
        if self.total != offered.total - int(differing.is_new.sum()) + len(differing.vanished):
            raise StoredOtherwiseError(table.name)


def read_stored(connection: Connection, table: Table) -> Stored | None:
    """Keep others from writing to a table, and read what a rebuild has to know of it.

    Returns
    -------
    Stored or None
        None if the table has no rows, or something that a new one cannot take over.
    """
    if not has_packable_key(table):
        return None
    name = sql.Identifier(table.name)
    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(name))
    query = sql.SQL(_CAN_BE_REBUILT).format(table=name)
    can_be = connection.execute(query, {"table": table.name}).fetchone() == (True,)
    return _read_rows(connection, table) if can_be else None


@contextmanager
def meanwhile(connection: Connection, work: Callable[[], T]) -> Iterator[Future[T]]:
    """Let a thread, and the server for it, do something while the rows to offer are still fetched and judged.

    Statements of the caller wait for one of the thread's that runs.

    Yields
    ------
    Future
        Of the work. If that fails, the caller gets its error, at the end of the context at the latest, and not that of
        his own next statement.
    """
    with ThreadPoolExecutor(max_workers=1) as worker:
        working = worker.submit(work)
        try:
            yield working
            working.result()
        except errors.InFailedSqlTransaction as error:
            cause = working.exception()
            if cause is None or cause is error:  # somebody else's statement has failed
                raise
            raise cause from error
        except BaseException:
            while not working.done():  # it may wait for a lock, or be about to, and nobody waits for it any longer
                connection.cancel()
                wait([working], CANCEL_SECONDS)
            raise


def _read_rows(connection: Connection, table: Table) -> Stored:
    common = _read_common_writer(connection, table)
    # Made in one pass over the rows, both arrays have the same order, whichever it is.
    query = sql.SQL(
        "SELECT count(*)::int8, min({session}), max({session}),"
        " array_send(array_agg({packed}) FILTER (WHERE {writer} <> {common})),"
        " array_send(array_agg({writer}) FILTER (WHERE {writer} <> {common})) FROM {table}"
    ).format(
        session=sql.Identifier(list(table.primary_key)[1].name),
        packed=packed_expression(table),
        writer=sql.Identifier(WRITER),
        common=sql.Literal(common),
        table=sql.Identifier(table.name),
    )
    with connection.cursor(binary=True) as cursor:
        found = cursor.execute(query).fetchone()
    assert found is not None
    total, first, last, sent_keys, sent_writers = found
    keys = unpacked_array(sent_keys, np.dtype(np.int64))
    order = np.argsort(keys, kind="stable")
    return Stored(total, first, last, common, keys[order], unpacked_array(sent_writers, np.dtype(np.int32))[order])


def _read_common_writer(connection: Connection, table: Table) -> int:
    """Who wrote most rows as far as the statistics know, of the largest range where the table is kept in some.

    0, which is nobody, where they know nothing.
    """
    row = connection.execute(
        """
        SELECT (most_common_vals::text::int4[])[1] FROM pg_stats
        JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(tablename)) AND relkind = 'r'
        WHERE schemaname = current_schema() AND attname = %(writer)s AND NOT inherited
            AND (tablename = %(table)s OR c.oid IN (
                SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(quote_ident(%(table)s))
            ))
        ORDER BY reltuples DESC LIMIT 1
        """,
        {"table": table.name, "writer": WRITER},
    ).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


# What `LIKE` and `_BELONGINGS` do not take over, of the table and of its ranges, if it is kept in some: then it is
# changed in place. A table in ranges itself stays, and with it what only refers to it.
_CAN_BE_REBUILT = """
WITH whole AS (SELECT to_regclass(quote_ident(%(table)s)) AS number),
part AS (
    SELECT c.*, relkind <> 'p' AS has_rows, number FROM whole, pg_class AS c WHERE c.oid = number
        OR relispartition AND c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = number)
)
SELECT EXISTS (SELECT FROM {table}) AND bool_and(
    relpersistence = 'p' AND NOT relrowsecurity AND reloptions IS NULL AND NOT relhasrules AND reltablespace = 0
    AND (relreplident = 'd' OR NOT has_rows)
    AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND NOT indisprimary)
    AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid)
    AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)
    AND NOT EXISTS (SELECT FROM pg_publication_rel WHERE prrelid = c.oid)
    AND NOT EXISTS (SELECT FROM pg_statistic_ext WHERE stxrelid = c.oid)
    AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid AND has_rows)
    AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid AND inhparent <> number)
    AND NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = c.oid AND (attacl IS NOT NULL OR attoptions IS NOT NULL
            OR attisdropped OR coalesce(attstattarget, -1) <> -1)
    )
    AND NOT EXISTS (
        SELECT FROM pg_constraint AS k JOIN pg_description AS d ON d.objoid IN (k.oid, k.conindid)
        WHERE k.conrelid = c.oid AND k.contype = 'p'
    )
) FROM part AS c
"""
