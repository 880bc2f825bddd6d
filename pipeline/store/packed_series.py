"""Whole columns of stored results, a value a subject: what later assets compute with.

The server packs a subject's numbers into one value, and numpy reads them as they are. A message a row, as COPY sends,
takes longer than all that is computed with the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from psycopg import Connection, sql
from sqlalchemy import Table

from pipeline.base.types import DateArray, FloatArray
from pipeline.store.binary_copy import POSTGRES_EPOCH
from pipeline.store.schema import session_column


@dataclass(frozen=True, slots=True)
class Series:
    """Stored numbers of one subject.

    Parameters
    ----------
    sessions
        (t,) sorted.
    values
        Column → (t,); NaN where missing.
    """

    sessions: DateArray
    values: dict[str, FloatArray]


def read_series(
    connection: Connection,
    table: Table,
    subject: Sequence[str],
    names: Sequence[str],
    start: date,
    end: date,
    *,
    only: Mapping[str, int | str] | None = None,
) -> dict[Any, Series]:
    """Columns of every subject of a table in ``[start, end)``.

    Parameters
    ----------
    subject
        Columns that name a subject; with the session and `only` they hold the whole key.
    names
        Columns of float64.
    only
        Values that key columns must have; None for every subject.

    Returns
    -------
    dict
        Values of `subject` as a tuple → its series.
    """
    keys = sql.SQL(", ").join(map(sql.Identifier, subject))
    session = sql.Identifier(session_column(table) or "")
    packed = [
        sql.SQL("string_agg(float8send(coalesce({}, 'NaN')), '' ORDER BY {})").format(sql.Identifier(name), session)
        for name in names
    ]
    kept: list[sql.Composable] = [
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in (only or {}).items()
    ]
    query = sql.SQL(
        "SELECT {keys}, string_agg(date_send({session}), '' ORDER BY {session}), {packed} FROM {table}"
        " WHERE {session} >= {start} AND {session} < {end} AND {kept} GROUP BY {keys}"
    ).format(
        keys=keys,
        session=session,
        packed=sql.SQL(", ").join(packed),
        table=sql.Identifier(table.name),
        start=sql.Literal(start),
        end=sql.Literal(end),
        kept=sql.SQL(" AND ").join(kept or [sql.SQL("true")]),
    )
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(query).fetchall()
    return {tuple(row[: len(subject)]): _unpacked(row[len(subject) :], names) for row in rows}


def _unpacked(packed: Sequence[bytes], names: Sequence[str]) -> Series:
    days = np.frombuffer(packed[0], dtype=">i4").astype("timedelta64[D]")
    numbers = (np.frombuffer(values, dtype=">f8").astype(np.float64) for values in packed[1:])
    return Series(POSTGRES_EPOCH + days, dict(zip(names, numbers, strict=True)))
