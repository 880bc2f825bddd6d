"""Which series a table has: the values of its first key column, and between which sessions each has rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection, sql
from psycopg.rows import class_row
from sqlalchemy import Table

from pipeline.store.schema import session_column


@dataclass(frozen=True, slots=True)
class Series:
    """A series and its first and last session."""

    name: str
    first_session: date
    last_session: date


def read_series(connection: Connection, table: Table) -> list[Series]:
    """Every series of a table whose key is a name and a session, by name.

    The index finds each name after the one before it, and its ends, so the rows between them are not read.
    """
    name, *_ = table.primary_key
    query = sql.SQL(
        """
        WITH RECURSIVE known AS (
            (SELECT {name} AS name FROM {table} ORDER BY {name} LIMIT 1)
            UNION ALL
            SELECT (SELECT {name} FROM {table} WHERE {name} > known.name ORDER BY {name} LIMIT 1)
            FROM known WHERE known.name IS NOT NULL
        )
        SELECT name,
            (SELECT min({session}) FROM {table} WHERE {name} = known.name) AS first_session,
            (SELECT max({session}) FROM {table} WHERE {name} = known.name) AS last_session
        FROM known WHERE name IS NOT NULL
        """
    ).format(
        name=sql.Identifier(name.name),
        session=sql.Identifier(session_column(table) or ""),
        table=sql.Identifier(table.name),
    )
    with connection.cursor(row_factory=class_row(Series)) as cursor:
        return sorted(cursor.execute(query).fetchall(), key=lambda series: series.name)
