"""The read of several instruments at once: their rows one instrument after the other, oldest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Generic

from psycopg import Connection, sql
from psycopg.rows import tuple_row
from sqlalchemy import Table

from pipeline.store.point_in_time import NOW, Knowledge, rows_as_known
from pipeline.store.prices import PRICE, PRICES, Bar, adjusted_bars
from pipeline.store.reading import Row
from pipeline.store.schema import session_column


@dataclass(frozen=True, slots=True)
class Span:
    """Which rows of each instrument to read.

    Parameters
    ----------
    start, end
        First and last session, both included; None leaves that side open.
    limit
        Most rows of all instruments together; the first are kept.
    after
        Values of the key's columns: only rows that follow them count. None for all.
    """

    start: date | None
    end: date | None
    limit: int
    after: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Of(Generic[Row]):
    """A row of one of the instruments."""

    instrument_id: int
    row: Row


def read_batch(
    connection: Connection,
    table: Table,
    instrument_ids: Sequence[int],
    span: Span,
    row_type: type[Row],
    known: tuple[str, Knowledge] | None = None,
) -> list[Of[Row]]:
    """Rows of instruments in the order of the key, which begins with the instrument; the key's index gives no others.

    Parameters
    ----------
    row_type
        Dataclass whose fields name the columns to read.
    known
        Asset that writes the table, and the moment, for rows as they were known then.
    """
    asset, knowledge = known or ("", NOW)
    condition = _condition(table, instrument_ids, span)
    rows = rows_as_known(connection, table, asset, _columns(table), condition, knowledge)
    query = sql.SQL("SELECT instrument_id, {names} FROM ({rows}) AS known ORDER BY {order} LIMIT {limit}").format(
        names=sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(row_type)),
        rows=rows,
        order=sql.SQL(", ").join(sql.Identifier(column.name) for column in table.primary_key),
        limit=sql.Literal(span.limit),
    )
    with connection.cursor(row_factory=tuple_row) as cursor:
        return [Of(found[0], row_type(*found[1:])) for found in cursor.execute(query)]


def read_bar_batch(
    connection: Connection, instrument_ids: Sequence[int], span: Span, known: Knowledge = NOW
) -> list[Of[Bar]]:
    """Bars of instruments; their adjusted close is the platform's own, as of `read_bars`."""
    found = read_batch(connection, PRICE, instrument_ids, span, Bar, (PRICES, known))
    by_instrument: dict[int, list[Bar]] = {}
    for each in found:
        by_instrument.setdefault(each.instrument_id, []).append(each.row)
    return list(_adjusted(connection, by_instrument, known))


def _adjusted(connection: Connection, bars: dict[int, list[Bar]], known: Knowledge) -> Iterator[Of[Bar]]:
    for instrument_id, made in adjusted_bars(connection, bars, known).items():
        yield from (Of(instrument_id, bar) for bar in made)


def _columns(table: Table) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)


def _condition(table: Table, instrument_ids: Sequence[int], span: Span) -> sql.Composed:
    session = sql.Identifier(session_column(table) or "")
    conditions = [sql.SQL("instrument_id = ANY({})").format(sql.Literal(list(instrument_ids)))]
    if span.start is not None:
        conditions.append(sql.SQL("{} >= {}").format(session, sql.Literal(span.start)))
    if span.end is not None:
        conditions.append(sql.SQL("{} <= {}").format(session, sql.Literal(span.end)))
    if span.after is not None:
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.primary_key)
        values = sql.SQL(", ").join(map(sql.Literal, span.after))
        conditions.append(sql.SQL("({}) > ({})").format(names, values))
    return sql.SQL(" AND ").join(conditions)
