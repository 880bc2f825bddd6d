"""A large table built anew beside the one in use: rows by one COPY, then the key, then the names change hands.

Faster than a change in place once most rows differ, and without the space that such a change leaves behind. Readers
go on reading the table in use; only the exchange of the names at the end needs it for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, sql
from sqlalchemy import Date, Integer, Table

from pipeline.base.types import BoolArray, DateArray, IntArray, add_months
from pipeline.store.binary_copy import copy_in
from pipeline.store.offering import Columns, OfferedRows
from pipeline.store.schema import SUPERSEDED_BY, WRITER, history_of

SORT_MEMORY = "512MB"
JOIN_MEMORY = "128MB"

SWAP_PATIENCE = "900ms"
"""How long the exchange waits for readers, while new ones wait behind it; less than Postgres's deadlock time-out of a
second, so that it is the exchange which gives way."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did.

    Parameters
    ----------
    counts
        Rows inserted, revised, unchanged and deleted.
    changed_months
        Months of which a row was inserted, revised or deleted.
    """

    counts: tuple[int, int, int, int]
    changed_months: frozenset[date]


@dataclass(frozen=True, slots=True)
class _Compared:
    """Offered rows beside those of the table in use.

    Parameters
    ----------
    was_there
        (m,) whether the table has a row of the same key.
    last_writer
        (m,) who wrote that row; meaningless where there is none.
    deleted
        (d,) keys of the rows that are not offered (`_packed`).
    """

    was_there: BoolArray
    last_writer: NDArray[np.int32]
    deleted: IntArray


def can_be_rebuilt(connection: Connection, table: Table, offered: OfferedRows) -> bool:
    """Whether an offer replaces all of a table, and a new table can take over all that belongs to the one in use."""
    keys = list(table.primary_key)
    if len(keys) != 2 or not isinstance(keys[0].type, Integer) or not isinstance(keys[1].type, Date):
        return False
    first, last = min(offered.counts), max(offered.counts)
    query = sql.SQL(_CAN_BE_REBUILT).format(table=sql.Identifier(table.name), session=sql.Identifier(keys[1].name))
    row = connection.execute(query, {"table": table.name, "first": first, "end": add_months(last, 1)}).fetchone()
    return row == (True,)


def rebuild(
    connection: Connection, table: Table, offered: OfferedRows, is_new: BoolArray, materialization_id: int
) -> Rebuilt:
    """Put a table with the offered rows in the place of the one in use; rows that are not new keep their writer.

    The new rows are frozen: a reader whose snapshot is older than the exchange sees the new table, not an empty one.

    Parameters
    ----------
    offered
        All rows of the table (`can_be_rebuilt`).
    is_new
        (m,) which of them were not offered like this last.

    Raises
    ------
    psycopg.errors.LockNotAvailable
        If readers do not let go of the table in use for `SWAP_PATIENCE`.
    psycopg.errors.DependentObjectsStillExist
        If something refers to the table in use that a new one cannot take over.
    """
    names = _names(table)
    connection.execute(sql.SQL("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE").format(**names))
    compared = _compared(connection, table, offered)
    is_written = is_new | ~compared.was_there
    writers = np.where(is_written, np.int32(materialization_id), compared.last_writer)
    _build(connection, table, {**offered.rows, WRITER: writers})
    history = history_of(table)
    if history is not None:
        _stage_keys(connection, table, offered, is_written & compared.was_there, compared.deleted)
        _keep_staged(connection, table, history, materialization_id)
    _hand_over(connection, table)
    return _rebuilt(offered, is_written, compared)


def _names(table: Table) -> dict[str, sql.Composable]:
    beside = f"{table.name}_rebuilt"
    return {
        "table": sql.Identifier(table.name),
        "beside": sql.Identifier(beside),
        "key": sql.Identifier(str(table.primary_key.name)),
        "key_beside": sql.Identifier(f"{beside}_pkey"),
        "key_columns": sql.SQL(", ").join(sql.Identifier(c.name) for c in table.primary_key),
        "columns": sql.SQL(", ").join(sql.Identifier(c.name) for c in table.columns),
    }


def _compared(connection: Connection, table: Table, offered: OfferedRows) -> _Compared:
    subject, session = (c.name for c in table.primary_key)
    old_keys, old_writers = _read_writers(connection, table)
    keys = _packed(offered.rows[session], offered.rows[subject])
    place = np.minimum(np.searchsorted(old_keys, keys), len(old_keys) - 1)
    was_there = old_keys[place] == keys
    is_deleted = np.ones(len(old_keys), dtype=bool)
    is_deleted[place[was_there]] = False
    return _Compared(was_there, old_writers[place], old_keys[is_deleted])


_HALF = 32
_ARRAY_HEADER_BYTES = 20
_ELEMENT = np.dtype([("size", ">i4"), ("writer", ">i4"), ("subject", ">i4")])
"""How Postgres sends an element of an array of int8, here of two halves."""


def _read_writers(connection: Connection, table: Table) -> tuple[IntArray, NDArray[np.int32]]:
    """The keys of the table in use, sorted, and who wrote each row; a session at a time, for rows come one by one."""
    subject, session = (sql.Identifier(c.name) for c in table.primary_key)
    query = sql.SQL(
        "SELECT {session} - date '1970-01-01', array_send(array_agg({writer}::int8 << 32 | {subject}))"
        " FROM {table} GROUP BY {session} ORDER BY {session}"
    ).format(subject=subject, session=session, writer=sql.Identifier(WRITER), table=sql.Identifier(table.name))
    with connection.cursor(binary=True) as cursor:
        found = cursor.execute(query).fetchall()
    days = [np.frombuffer(sent, dtype=_ELEMENT, offset=_ARRAY_HEADER_BYTES) for _, sent in found]
    rows = np.concatenate(days)
    numbers = np.repeat(np.array([day for day, _ in found]), [len(day) for day in days])
    keys = _packed(numbers.astype("datetime64[D]"), rows["subject"])
    order = np.argsort(keys, kind="stable")
    return keys[order], rows["writer"][order].astype(np.int32)


def _packed(session: DateArray, subject: NDArray[np.int32]) -> IntArray:
    """Keys as one integer each, in the order of sessions; subjects are positive."""
    return (session.astype("datetime64[D]").astype(np.int64) << _HALF) | subject.astype(np.int64)


def _build(connection: Connection, table: Table, rows: Columns) -> None:
    """A durable table with the columns, checks and comments of the one in use; the key comes after the rows."""
    names = _names(table)
    connection.execute(sql.SQL("SET LOCAL maintenance_work_mem = {}").format(sql.Literal(SORT_MEMORY)))
    connection.execute(sql.SQL("CREATE TABLE {beside} (LIKE {table} INCLUDING ALL EXCLUDING INDEXES)").format(**names))
    copy_in(connection, f"{table.name}_rebuilt", rows, freeze=True)
    connection.execute(
        sql.SQL("ALTER TABLE {beside} ADD CONSTRAINT {key_beside} PRIMARY KEY ({key_columns})").format(**names)
    )
    connection.execute(sql.SQL("ANALYZE {beside}").format(**names))


def _stage_keys(
    connection: Connection, table: Table, offered: OfferedRows, is_revised: BoolArray, deleted: IntArray
) -> None:
    """The keys of the rows that the new table replaces or lacks, as a temporary table."""
    subject, session = (c.name for c in table.primary_key)
    gone = np.concatenate([_packed(offered.rows[session][is_revised], offered.rows[subject][is_revised]), deleted])
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE gone ON COMMIT DROP AS SELECT {key_columns} FROM {table} WITH NO DATA").format(
            **_names(table)
        )
    )
    keys = {subject: (gone & (2**_HALF - 1)).astype(np.int32), session: (gone >> _HALF).astype("datetime64[D]")}
    copy_in(connection, "gone", keys)
    connection.execute("ANALYZE gone")


def _keep_staged(connection: Connection, table: Table, history: Table, materialization_id: int) -> None:
    """Move the rows with a staged key to the history, in the order of its key."""
    statement = sql.SQL(
        "INSERT INTO {history} ({columns}, {superseded})"
        " SELECT {columns}, {id} FROM {table} JOIN gone USING ({key_columns}) ORDER BY {key_columns}"
    ).format(
        history=sql.Identifier(history.name),
        superseded=sql.Identifier(SUPERSEDED_BY),
        id=sql.Literal(materialization_id),
        **_names(table),
    )
    connection.execute(sql.SQL("SET LOCAL work_mem = {}").format(sql.Literal(JOIN_MEMORY)))
    connection.execute(statement)
    connection.execute("DROP TABLE gone")


def _hand_over(connection: Connection, table: Table) -> None:
    """Give the new table the owner, the grants, the comment and at last the name of the one in use."""
    names = _names(table)
    for (statement,) in connection.execute(_BELONGINGS, {"table": table.name, "beside": f"{table.name}_rebuilt"}):
        connection.execute(statement)
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(SWAP_PATIENCE)))
    connection.execute(sql.SQL("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE").format(**names))
    connection.execute("SET LOCAL lock_timeout = 0")
    connection.execute(sql.SQL("DROP TABLE {table}").format(**names))
    connection.execute(sql.SQL("ALTER TABLE {beside} RENAME TO {table}").format(**names))
    connection.execute(sql.SQL("ALTER INDEX {key_beside} RENAME TO {key}").format(**names))


def _rebuilt(offered: OfferedRows, is_written: BoolArray, compared: _Compared) -> Rebuilt:
    assert offered.session is not None
    revised = int((is_written & compared.was_there).sum())
    inserted, unchanged = int(is_written.sum()) - revised, int((~is_written).sum())
    deleted = (compared.deleted >> _HALF).astype("datetime64[D]")
    days = np.concatenate([offered.session[is_written], deleted])
    months = np.unique(days.astype("datetime64[M]")).astype("datetime64[D]").astype(object).tolist()
    return Rebuilt((inserted, revised, unchanged, len(deleted)), frozenset(months))


# What `LIKE` and `_BELONGINGS` do not take over: then the table is changed in place.
_CAN_BE_REBUILT = """
SELECT EXISTS (SELECT FROM {table})
    AND NOT EXISTS (SELECT FROM {table} WHERE {session} < %(first)s OR {session} >= %(end)s)
    AND relpersistence = 'p' AND relreplident = 'd' AND NOT relrowsecurity AND reloptions IS NULL
    AND NOT relhasrules AND NOT relispartition AND reltablespace = 0
    AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND NOT indisprimary)
    AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid)
    AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)
    AND NOT EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent))
    AND NOT EXISTS (SELECT FROM pg_publication_rel WHERE prrelid = c.oid)
    AND NOT EXISTS (SELECT FROM pg_statistic_ext WHERE stxrelid = c.oid)
    AND NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = c.oid AND (attacl IS NOT NULL OR attoptions IS NOT NULL
            OR attisdropped OR coalesce(attstattarget, -1) <> -1)
    )
    AND NOT EXISTS (
        SELECT FROM pg_constraint AS k JOIN pg_description AS d ON d.objoid IN (k.oid, k.conindid)
        WHERE k.conrelid = c.oid AND k.contype = 'p'
    )
FROM pg_class AS c WHERE oid = to_regclass(quote_ident(%(table)s))
"""

# The owner's own privileges are granted like the others', so that those he has taken from himself stay away.
_BELONGINGS = """
WITH known AS (SELECT * FROM pg_class WHERE oid = to_regclass(quote_ident(%(table)s)))
SELECT format('ALTER TABLE %%I OWNER TO %%I', %(beside)s::text, pg_get_userbyid(relowner)) FROM known
UNION ALL
SELECT format('COMMENT ON TABLE %%I IS %%L', %(beside)s::text, obj_description(oid, 'pg_class')) FROM known
UNION ALL
SELECT format('REVOKE ALL ON %%I FROM %%I', %(beside)s::text, pg_get_userbyid(relowner)) FROM known
WHERE relacl IS NOT NULL
UNION ALL
SELECT format(
    'GRANT %%s ON %%I TO %%s%%s', privilege_type, %(beside)s::text,
    CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END
)
FROM known, aclexplode(relacl)
"""
