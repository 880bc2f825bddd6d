"""A large table built anew beside the one in use: rows by COPY, then the key, then it takes the other's place.

Faster than a change in place once most rows differ, and without the space that such a change leaves behind. Readers
go on reading the table in use; only the exchange of the names at the end needs it for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial

import numpy as np
from psycopg import Connection, errors, sql
from sqlalchemy import Table

from pipeline.base.types import BoolArray, DateArray, IntArray
from pipeline.store.binary_copy import copy_in
from pipeline.store.bulk_loads import prepare
from pipeline.store.engine import Database
from pipeline.store.offering import Columns, Difference, OfferedRows
from pipeline.store.packed_keys import order_by_key, packed_expression, packed_keys, read_keys, sessions_of, subjects_of
from pipeline.store.ranges import PATIENCE, STATISTICS_TARGET, Range, filling, is_in_ranges, take_over
from pipeline.store.schema import SUPERSEDED_BY, WRITER, history_of
from pipeline.store.stored import Stored, StoredOtherwiseError

JOIN_MEMORY = "128MB"

SWAP_TRIES = 3
"""Between them those who wait come in. A change in place, which is what is left then, takes several times as long."""


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


def rebuild(
    connection: Connection,
    database: Database,
    table: Table,
    stored: Stored,
    offered: OfferedRows,
    differing: Difference,
    materialization_id: int,
) -> Rebuilt:
    """Put a table with the offered rows in the place of the one in use; rows that are not new keep their writer.

    The new rows are frozen: a reader whose snapshot is older than the exchange sees the new table, not an empty one.
    Who needs all tables as of one moment keeps them from being exchanged (`pipeline.store.snapshots`).

    Parameters
    ----------
    database
        That of the connection; others fill the ranges of a table that is kept in some (`pipeline.store.ranges`).
    stored
        What the table in use holds (`read_stored`).
    offered
        All rows of the table.
    differing
        How they differ from the last offer, which is known.

    Raises
    ------
    PartOfTableError
        If the table has rows of other months.
    StoredOtherwiseError
        If it does not hold the last offer.
    psycopg.errors.LockNotAvailable
        If readers do not let go of the table in use for `PATIENCE`, however often that is tried.
    psycopg.errors.DependentObjectsStillExist
        If something refers to the table in use that a new one cannot take over.
    """
    stored.require(table, offered, differing)
    rows, is_new = _by_key(table, offered, differing.is_new)
    keys = packed_keys(table, rows)
    writers = np.where(is_new, np.int32(materialization_id), stored.writers_of(keys))
    with _beside(connection, database, table, {**rows, WRITER: writers}) as exchange:
        revised = _keep(connection, table, keys[is_new], materialization_id)
        deleted = _read_deleted(connection, table, keys, differing.days_with_deletions(sessions_of(revised)))
        if len(revised) + len(deleted) != len(differing.vanished):
            raise StoredOtherwiseError(table.name)
        _keep(connection, table, deleted, materialization_id)
        outcome = _rebuilt(offered, differing, revised, deleted)
        exchange()
    return outcome


@contextmanager
def _beside(connection: Connection, database: Database, table: Table, rows: Columns) -> Iterator[Callable[[], None]]:
    """Build beside the table in use; what is yielded puts that in its place.

    Ranges are filled while the context lasts, a table that is one before it begins.
    """
    if is_in_ranges(connection, table):
        with filling(database, table, rows) as finish:
            yield lambda: _hand_over_ranges(connection, table, finish())
    else:
        _build(connection, table, rows)
        yield partial(_hand_over, connection, table)


def _names(table: Table) -> dict[str, sql.Composable]:
    beside = f"{table.name}_rebuilt"
    subject, session = (sql.Identifier(c.name) for c in table.primary_key)
    return {
        "table": sql.Identifier(table.name),
        "beside": sql.Identifier(beside),
        "key": sql.Identifier(str(table.primary_key.name)),
        "key_beside": sql.Identifier(f"{beside}_pkey"),
        "key_columns": sql.SQL(", ").join([subject, session]),
        "session": session,
        "packed": packed_expression(table),
        "columns": sql.SQL(", ").join(sql.Identifier(c.name) for c in table.columns),
    }


def _by_key(table: Table, offered: OfferedRows, is_new: BoolArray) -> tuple[Columns, BoolArray]:
    order, is_new = order_by_key(table, offered.rows), offered.as_given(is_new)
    if order is None:
        return offered.rows, is_new
    return {name: values[order] for name, values in offered.rows.items()}, is_new[order]


def _build(connection: Connection, table: Table, rows: Columns) -> None:
    """A durable table with the columns, checks and comments of the one in use; the key comes after the rows."""
    names = _names(table)
    prepare(connection)
    connection.execute(sql.SQL("CREATE TABLE {beside} (LIKE {table} INCLUDING ALL EXCLUDING INDEXES)").format(**names))
    copy_in(connection, f"{table.name}_rebuilt", rows, freeze=True)
    connection.execute(
        sql.SQL("ALTER TABLE {beside} ADD CONSTRAINT {key_beside} PRIMARY KEY ({key_columns})").format(**names)
    )
    connection.execute(sql.SQL("SET LOCAL default_statistics_target = {}").format(sql.Literal(STATISTICS_TARGET)))
    connection.execute(sql.SQL("ANALYZE {beside}").format(**names))


def _keep(connection: Connection, table: Table, keys: IntArray, materialization_id: int) -> IntArray:
    """Move the rows of sorted keys from the table in use to its history, if it has one.

    Returns
    -------
    NDArray
        (k,) those of the keys that the table has.
    """
    if len(keys) == 0:
        return keys
    names, (subject, session) = _names(table), (c.name for c in table.primary_key)
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE gone ON COMMIT DROP AS SELECT {key_columns} FROM {table} WITH NO DATA").format(
            **names
        )
    )
    copy_in(connection, "gone", {subject: subjects_of(keys), session: sessions_of(keys)})
    connection.execute("ANALYZE gone")
    connection.execute(sql.SQL("SET LOCAL work_mem = {}").format(sql.Literal(JOIN_MEMORY)))
    kept = sql.SQL("SELECT {key_columns} FROM {table} JOIN gone USING ({key_columns})").format(**names)
    history = history_of(table)
    if history is not None:
        kept = sql.SQL(
            "INSERT INTO {history} ({columns}, {superseded})"
            " SELECT {columns}, {id} FROM {table} JOIN gone USING ({key_columns}) ORDER BY {key_columns}"
            " RETURNING {key_columns}"
        ).format(
            history=sql.Identifier(history.name),
            superseded=sql.Identifier(SUPERSEDED_BY),
            id=sql.Literal(materialization_id),
            **names,
        )
    query = sql.SQL("WITH kept AS ({kept}) SELECT array_send(array_agg({packed})) FROM kept").format(kept=kept, **names)
    found = read_keys(connection, query)
    connection.execute("DROP TABLE gone")
    return found


def _read_deleted(connection: Connection, table: Table, keys: IntArray, days: DateArray) -> IntArray:
    """The keys that the table in use has on some days, and the offer has not; sorted."""
    if len(days) == 0:
        return np.array([], dtype=np.int64)
    query = sql.SQL("SELECT array_send(array_agg({packed})) FROM {table} WHERE {session} = ANY({days})").format(
        days=sql.Literal(days.astype(object).tolist()), **_names(table)
    )
    there = np.sort(read_keys(connection, query))
    return there[~np.isin(there, keys)]


def _hand_over(connection: Connection, table: Table) -> None:
    """Give the new table the owner, the grants, the comment and at last the name of the one in use."""
    names = _names(table)
    found = connection.execute(_BELONGINGS, {"table": table.name, "beside": f"{table.name}_rebuilt"})
    connection.execute("; ".join(statement for (statement,) in found))  # one journey to the server, not twenty
    _take_alone(connection, table)
    connection.execute(sql.SQL("DROP TABLE {table}").format(**names))
    connection.execute(sql.SQL("ALTER TABLE {beside} RENAME TO {table}").format(**names))
    connection.execute(sql.SQL("ALTER INDEX {key_beside} RENAME TO {key}").format(**names))


def _hand_over_ranges(connection: Connection, table: Table, ranges: list[Range]) -> None:
    _take_alone(connection, table)
    take_over(connection, table, ranges)


def _take_alone(connection: Connection, table: Table) -> None:
    """Wait until nobody reads the table in use, and keep it until the end."""
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(PATIENCE)))
    for number in range(SWAP_TRIES):
        try:
            with connection.transaction():
                connection.execute(sql.SQL("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE").format(**_names(table)))
            break
        except errors.LockNotAvailable:
            if number == SWAP_TRIES - 1:
                raise
    connection.execute("SET LOCAL lock_timeout = 0")


def _rebuilt(offered: OfferedRows, differing: Difference, revised: IntArray, deleted: IntArray) -> Rebuilt:
    new = int(differing.is_new.sum())
    before = np.concatenate([[0], np.cumsum(differing.is_new)])[np.cumsum([0, *offered.counts.values()])]
    months = {month for month, count in zip(offered.counts, np.diff(before).tolist(), strict=True) if count}
    months |= {day.replace(day=1) for day in np.unique(sessions_of(deleted)).astype(object).tolist()}
    return Rebuilt((new - len(revised), len(revised), offered.total - new, len(deleted)), frozenset(months))


# Default privileges of the schema give the new table grants of their own, which go first. The owner's privileges are
# granted like the others', so that those he has taken from himself stay away.
_BELONGINGS = """
WITH known AS (SELECT * FROM pg_class WHERE oid = to_regclass(quote_ident(%(table)s))),
made AS (SELECT * FROM pg_class WHERE oid = to_regclass(quote_ident(%(beside)s))),
role AS (
    SELECT 0::oid AS oid, 'PUBLIC' AS name UNION ALL SELECT oid, quote_ident(rolname) FROM pg_roles
),
granted AS (
    SELECT privileges.* FROM known, made, aclexplode(coalesce(known.relacl, acldefault('r', known.relowner)))
        AS privileges WHERE known.relacl IS NOT NULL OR made.relacl IS NOT NULL
)
SELECT format('ALTER TABLE %%I OWNER TO %%I', %(beside)s::text, pg_get_userbyid(relowner)) FROM known
UNION ALL
SELECT format('COMMENT ON TABLE %%I IS %%L', %(beside)s::text, obj_description(oid, 'pg_class')) FROM known
UNION ALL
SELECT format('REVOKE ALL ON %%I FROM %%s', %(beside)s::text, name) FROM role
WHERE oid IN (SELECT grantee FROM made, aclexplode(relacl)) OR oid IN (SELECT relowner FROM known, granted)
UNION ALL
SELECT format(
    'GRANT %%s ON %%I TO %%s%%s', privilege_type, %(beside)s::text, name,
    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END
)
FROM granted JOIN role ON oid = grantee
"""
