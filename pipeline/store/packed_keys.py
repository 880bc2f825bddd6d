"""Keys of a number and a day as one integer each, in numpy and in the server."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, sql
from sqlalchemy import Date, Integer, Table

from pipeline.base.types import DateArray, IntArray
from pipeline.store.offering import Columns

_HALF = 1 << 31


def packed_keys(table: Table, rows: Columns) -> IntArray:
    """Keys as one integer each, in the order of the primary key; days may lie before 1970."""
    subject, session = (rows[c.name] for c in table.primary_key)
    keys: IntArray = session.astype("datetime64[D]").astype(np.int64)
    keys += (subject.astype(np.int64) << 32) + _HALF
    return keys


def subjects_of(keys: IntArray) -> NDArray[np.int32]:
    """(m,) the number in each key."""
    return (keys >> 32).astype(np.int32)


def sessions_of(keys: IntArray) -> DateArray:
    """(m,) the day in each key."""
    return ((keys & (2 * _HALF - 1)) - _HALF).astype("datetime64[D]")


def has_packable_key(table: Table) -> bool:
    """Whether the table's key is a number and a day, as that of a table that can be rebuilt."""
    keys = list(table.primary_key)
    return len(keys) == 2 and isinstance(keys[0].type, Integer) and isinstance(keys[1].type, Date)


def packed_expression(table: Table) -> sql.Composable:
    """What `packed_keys` makes, of the columns of a table."""
    subject, session = (sql.Identifier(c.name) for c in table.primary_key)
    return sql.SQL("({subject}::int8 << 32) + ({session} - date '1970-01-01') + {half}").format(
        subject=subject, session=session, half=sql.Literal(_HALF)
    )


def order_by_key(table: Table, rows: Columns) -> IntArray | None:
    """Positions in the order of the primary key; None if the rows have it, or the key is not a number and a day.

    In this order a key is built soonest, and a subject read soonest.
    """
    if not has_packable_key(table):
        return None
    keys = packed_keys(table, rows)
    return None if (keys[1:] > keys[:-1]).all() else np.argsort(keys, kind="stable")


_ARRAY_HEADER_BYTES = 20


def unpacked_array(sent: bytes | None, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The elements of an array of whole numbers as Postgres sends it, each after its size; None is an empty one."""
    if sent is None:
        return np.array([], dtype=dtype)
    element = np.dtype([("size", ">i4"), ("value", dtype.newbyteorder(">"))])
    return np.frombuffer(sent, dtype=element, offset=_ARRAY_HEADER_BYTES)["value"].astype(dtype)


def read_keys(connection: Connection, query: sql.Composed) -> IntArray:
    """The only value of a query: an array of keys, as ``array_send`` gives it."""
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(query).fetchone()
    assert row is not None
    return unpacked_array(row[0], np.dtype(np.int64))
