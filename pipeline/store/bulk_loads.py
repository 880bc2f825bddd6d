"""Many rows into a table that holds none: one COPY, then the key, then the statistics."""

from __future__ import annotations

from psycopg import Connection, sql
from sqlalchemy import Table

from pipeline.store.binary_copy import copy_in
from pipeline.store.offering import Columns
from pipeline.store.packed_keys import order_by_key

SORT_MEMORY = "512MB"

FLUSHED_BLOCKS = 128
"""Blocks of 8 KiB after which a file is on its way to the disk: 0.1 s are left to the commit instead of 0.35."""


def prepare(connection: Connection) -> None:
    """Make the transaction ready for a load: memory to sort the key, and files that reach the disk meanwhile.

    The latter where a table that the transaction has made is not logged, but flushed before the commit (ADR 0016).
    """
    connection.execute(sql.SQL("SET LOCAL maintenance_work_mem = {}").format(sql.Literal(SORT_MEMORY)))
    connection.execute(
        "SELECT set_config(name, least(max_val::int, %s)::text, true) FROM pg_settings"
        " WHERE name = 'backend_flush_after' AND current_setting('wal_level') = 'minimal'",
        [FLUSHED_BLOCKS],
    )


def fill(connection: Connection, table: Table, rows: Columns) -> None:
    """Load a table that was seen to have no rows, and add its key after them; readers wait meanwhile.

    Emptied by the transaction, although it is empty, it gets a new file, which is not logged where `wal_level` is
    minimal. Rows that somebody has added since stay: only the lock that the key's removal takes keeps them out.
    """
    names = {
        "table": sql.Identifier(table.name),
        "key": sql.Identifier(str(table.primary_key.name)),
        "columns": sql.SQL(", ").join(sql.Identifier(c.name) for c in table.primary_key),
    }
    prepare(connection)
    connection.execute(sql.SQL("ALTER TABLE {table} DROP CONSTRAINT {key}").format(**names))
    if connection.execute(sql.SQL("SELECT FROM {table} LIMIT 1").format(**names)).fetchone() is None:
        connection.execute(sql.SQL("TRUNCATE {table}").format(**names))
    order = order_by_key(table, rows)
    copy_in(connection, table.name, rows if order is None else {name: values[order] for name, values in rows.items()})
    connection.execute(sql.SQL("ALTER TABLE {table} ADD CONSTRAINT {key} PRIMARY KEY ({columns})").format(**names))
    # With statistics, a range of sessions is found by skipping through the key: 8 ms instead of 246 in 3.8 M rows.
    connection.execute(sql.SQL("ANALYZE {table}").format(**names))
