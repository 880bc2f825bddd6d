"""Reading versioned tables as they were known at a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, sql
from psycopg.rows import class_row
from sqlalchemy import Table

from pipeline.store.materializations import last_write_known_at
from pipeline.store.reading import Row, Window, newest_query, window_condition
from pipeline.store.schema import SUPERSEDED_BY, WRITER, history_of


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Up to when writes count.

    Parameters
    ----------
    at
        The moment; None for all that is there now.
    """

    at: datetime | None = None


NOW = Knowledge()


def rows_as_known(
    connection: Connection,
    table: Table,
    asset: str,
    names: sql.Composable,
    condition: sql.Composable,
    known: Knowledge,
) -> sql.Composed:
    """A query of the rows that stood in a versioned table.

    A row counts if it was written by then, and not replaced or deleted by then. The same moment gives the same
    rows for ever.

    Parameters
    ----------
    asset
        Asset that writes the table, whose writes are numbered in the order of their commits.
    names
        Select list.
    condition
        Which rows, by columns of the table.
    """
    parts = {"names": names, "table": sql.Identifier(table.name), "condition": condition}
    current = sql.SQL("SELECT {names} FROM {table} WHERE {condition}").format(**parts)
    if known.at is None:
        return current
    history = history_of(table)
    if history is None:
        raise ValueError(f"{table.name} keeps no history")
    last = sql.Literal(last_write_known_at(connection, asset, known.at))
    return sql.SQL(
        "{current} AND {writer} <= {last} UNION ALL"
        " SELECT {names} FROM {history} WHERE {condition} AND {writer} <= {last} AND {superseded} > {last}"
    ).format(
        current=current,
        history=sql.Identifier(history.name),
        writer=sql.Identifier(WRITER),
        superseded=sql.Identifier(SUPERSEDED_BY),
        last=last,
        **parts,
    )


def read_newest_as_known(
    connection: Connection,
    table: Table,
    asset: str,
    subject: Mapping[str, int | str],
    window: Window,
    row_type: type[Row],
    known: Knowledge,
) -> list[Row]:
    """The newest rows of a subject inside a window as they were known, oldest first."""
    names = sql.SQL(", ").join(sql.Identifier(c.name) for c in table.columns)
    condition = window_condition(table, subject, window)
    rows = sql.SQL("({}) AS known").format(rows_as_known(connection, table, asset, names, condition, known))
    query = newest_query(table, rows, sql.SQL("true"), window, row_type)
    with connection.cursor(row_factory=class_row(row_type)) as cursor:
        return cursor.execute(query).fetchall()[::-1]
