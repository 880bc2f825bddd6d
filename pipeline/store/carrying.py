"""Rows of subjects that a provider did not answer for: offered again as they are stored, they stay."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from psycopg import Connection, sql
from sqlalchemy import Table

from pipeline.base.types import MonthRange
from pipeline.store.schema import NUMPY_TYPES, WRITER, session_column
from pipeline.store.writing import Columns


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
