"""Rows that a provider did not answer for, or no longer can: offered again as they are stored, they stay."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date

import numpy as np
from psycopg import Connection, sql
from sqlalchemy import Table

from pipeline.base.types import BoolArray, IntArray, MonthRange
from pipeline.store.offering import Columns
from pipeline.store.schema import NUMPY_TYPES, WRITER, session_column
from pipeline.store.writing import concatenated


def read_rows_of(
    connection: Connection, table: Table, subjects: Iterable[str] | Iterable[int], months: MonthRange
) -> Columns:
    """Every column of the rows of some subjects and months, as they are written.

    Parameters
    ----------
    subjects
        Values of the table's first key column.
    """
    kept = [column for column in table.columns if column.name != WRITER]
    query = sql.SQL(
        "SELECT {names} FROM {table} WHERE {subject} = ANY({subjects}) AND {session} >= {first} AND {session} < {end}"
    ).format(
        names=sql.SQL(", ").join(sql.Identifier(column.name) for column in kept),
        table=sql.Identifier(table.name),
        subject=sql.Identifier(next(iter(table.primary_key)).name),
        subjects=sql.Literal(list(subjects)),
        session=sql.Identifier(session_column(table) or ""),
        first=sql.Literal(months.first),
        end=sql.Literal(months.end),
    )
    found = list(zip(*connection.execute(query).fetchall(), strict=True)) or [()] * len(kept)
    types = [NUMPY_TYPES.get(type(column.type), "S") for column in kept]
    return {
        column.name: np.array(values, dtype=dtype) for column, values, dtype in zip(kept, found, types, strict=True)
    }


def with_carried_rows(
    connection: Connection,
    table: Table,
    offered: Columns,
    months: MonthRange,
    *,
    final: Collection[int],
    since: Mapping[int, date],
) -> Columns:
    """What is offered, and what is stored that no offer can replace.

    Parameters
    ----------
    offered
        Columns of the table, whose key is an instrument and a session.
    final
        Instruments whose stored rows stand: those that were not answered for, and those that are no longer listed.
        Sessions that are not stored are taken from the offer.
    since
        Instrument → day before which its stored rows stay where none is offered: an earlier symbol of it may have
        no answer any more.
    """
    kept = read_rows_of(connection, table, {*final, *since}, months)
    subject, session = (kept[name] for name in _key_names(table))
    if len(subject) == 0:
        return offered
    is_final = np.isin(subject, list(final))
    ends = np.array([since.get(number, date.min) for number in subject.tolist()], dtype="datetime64[D]")
    known, told = _keys(kept, table), _keys(offered, table)
    stays = is_final | ((session < ends) & ~np.isin(known, told))
    is_new = ~np.isin(told, known[is_final])
    return concatenated(table, [_taken(offered, is_new), _taken(kept, stays)])


def _key_names(table: Table) -> tuple[str, str]:
    return next(iter(table.primary_key)).name, session_column(table) or ""


def _keys(rows: Columns, table: Table) -> IntArray:
    """(m,) one number an instrument and session."""
    subject, session = (rows[name] for name in _key_names(table))
    days = session.astype("datetime64[D]").astype(np.int64) + (1 << 30)
    keys: IntArray = (subject.astype(np.int64) << 31) + days
    return keys


def _taken(rows: Columns, wanted: BoolArray) -> Columns:
    return {name: values[wanted] for name, values in rows.items()}
