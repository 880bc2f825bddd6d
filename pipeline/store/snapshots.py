"""Reading all tables as of one moment, although one may be exchanged meanwhile (`pipeline.store.rebuilding`).

A snapshot says which rows are seen, but not which table a name means: that is always the newest. A reader whose
snapshot is older than an exchange would see the new table beside the old rows of others, such as the panel's blocks.
"""

from __future__ import annotations

from psycopg import Connection, sql

from pipeline.store.packed_keys import has_packable_key
from pipeline.store.schema import METADATA


def keep_tables(connection: Connection) -> None:
    """Let no table be exchanged until the transaction ends; its first statement.

    Locking takes no snapshot, so the one that the next statement takes is of the tables that are locked. An exchange
    waits, and its write is made in place if it waits in vain; a reader waits for one that has begun.
    """
    names = sorted(table.name for table in METADATA.tables.values() if has_packable_key(table))
    tables = sql.SQL(", ").join(map(sql.Identifier, names))
    connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(tables))
