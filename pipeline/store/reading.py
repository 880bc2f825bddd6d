"""The read that most answers need: the newest rows of one subject, as typed records."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

from psycopg import Connection, sql
from psycopg.rows import class_row
from sqlalchemy import Table

from pipeline.store.schema import session_column

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Row = TypeVar("Row", bound=DataclassInstance)
else:
    Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Window:
    """Which sessions of a series to read.

    Parameters
    ----------
    start, end
        First and last session, both included; None leaves that side open.
    limit
        Most rows to return; the newest are kept.
    before
        Values of `order_columns`: only rows that come before them count. None for all.
    """

    start: date | None = None
    end: date | None = None
    limit: int = 252
    before: tuple[Any, ...] | None = None


LATEST = Window(limit=1)


def read_newest(
    connection: Connection, table: Table, subject: Mapping[str, int | str], window: Window, row_type: type[Row]
) -> list[Row]:
    """The newest rows of a subject inside a window, oldest first; rows of one session by the rest of the key.

    Parameters
    ----------
    subject
        Values of the leading key columns.
    row_type
        Dataclass whose fields name the columns to read.
    """
    query = newest_query(table, sql.Identifier(table.name), window_condition(table, subject, window), window, row_type)
    with connection.cursor(row_factory=class_row(row_type)) as cursor:
        return cursor.execute(query).fetchall()[::-1]


def window_condition(table: Table, subject: Mapping[str, int | str], window: Window) -> sql.Composed:
    """The condition that keeps a query to the rows of a subject inside a window."""
    session = _required_session(table)
    conditions: list[sql.Composable] = [
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(v)) for name, v in subject.items()
    ]
    for operator, bound in ((">=", window.start), ("<=", window.end)):
        if bound is not None:
            conditions.append(
                sql.SQL("{} {} {}").format(sql.Identifier(session), sql.SQL(operator), sql.Literal(bound))
            )
    if window.before is not None:
        conditions.append(_before(order_columns(table, subject), window.before))
    return sql.SQL(" AND ").join(conditions or [sql.SQL("true")])


def order_columns(table: Table, subject: Collection[str]) -> list[str]:
    """The columns that order the rows of a subject: the session, then the rest of the key.

    Parameters
    ----------
    subject
        Key columns that the subject has values of.
    """
    session = _required_session(table)
    return [session, *(c.name for c in table.primary_key if c.name != session and c.name not in subject)]


def _before(names: list[str], values: tuple[Any, ...]) -> sql.Composed:
    """Rows that come before a key, which an index on it finds at once."""
    return sql.SQL("({}) < ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, names)), sql.SQL(", ").join(map(sql.Literal, values))
    )


def newest_query(
    table: Table, rows: sql.Composable, condition: sql.Composable, window: Window, row_type: type[Row]
) -> sql.Composed:
    """A query of the newest rows, newest first; rows of one session by the rest of the key, which it must name."""
    session = _required_session(table)
    keys = [session, *(c.name for c in table.primary_key if c.name != session)]
    return sql.SQL("SELECT {names} FROM {rows} WHERE {condition} ORDER BY {order} LIMIT {limit}").format(
        names=sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(row_type)),
        rows=rows,
        condition=condition,
        order=sql.SQL(", ").join(sql.SQL("{} DESC").format(sql.Identifier(name)) for name in keys),
        limit=sql.Literal(window.limit),
    )


def _required_session(table: Table) -> str:
    session = session_column(table)
    if session is None:
        raise ValueError(f"{table.name} has no session column")
    return session


def read_monthly_means(
    connection: Connection, table: Table, column: str, end: date, months: int, subject: Mapping[str, int | str]
) -> list[tuple[date, float]]:
    """Mean of a column in each of the `months` months up to its newest one before `end`, oldest first.

    A month without a value is left out.

    Parameters
    ----------
    subject
        Values that leading key columns must have; empty for the mean over all subjects.
    """
    kept = [sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in subject.items()]
    query = sql.SQL(
        "WITH kept AS (SELECT {session} AS session, {column} AS value FROM {table} WHERE {where})"
        " SELECT date_trunc('month', session)::date AS month, avg(value)::float8 FROM kept"
        " WHERE session >= date_trunc('month', (SELECT max(session) FROM kept)) - make_interval(months => {before})"
        " GROUP BY month HAVING avg(value) IS NOT NULL ORDER BY month"
    ).format(
        session=sql.Identifier(session_column(table) or ""),
        column=sql.Identifier(column),
        table=sql.Identifier(table.name),
        where=sql.SQL(" AND ").join(
            [*kept, sql.SQL("{} < {}").format(sql.Identifier(session_column(table) or ""), sql.Literal(end))]
        ),
        before=sql.Literal(months - 1),
    )
    return [(row[0], row[1]) for row in connection.execute(query)]
