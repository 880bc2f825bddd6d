"""A read model of prices: one dense matrix a month, refreshed in the transaction that changes the month.

Numeric slices read whole panels. From rows that is a sort and a scatter of every bar; from blocks it is a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Self

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection
from sqlalchemy import Integer, LargeBinary, Table

from pipeline.base.types import DateArray, FloatArray, IntArray, MonthRange, add_months
from pipeline.store.offering import Columns
from pipeline.store.schema import METADATA, column, session_key, writer
from pipeline.store.writing import Write

PRICE_BLOCK = Table(
    "price_block",
    METADATA,
    session_key("month"),
    column("instrument_count", Integer(), "Columns of the matrix.", nullable=False),
    column("instrument_ids", LargeBinary(), "Instruments, as int32.", nullable=False),
    column("sessions", LargeBinary(), "Sessions, as int32 days since 1970-01-01.", nullable=False),
    column("close", LargeBinary(), "Closes as float64, a row a session; NaN where there is none.", nullable=False),
    writer(),
    comment="Closes of each month as one dense matrix, made from the rows of price.",
)

Block = tuple[DateArray, IntArray, FloatArray]
"""Sessions, instruments, and the matrix of closes."""


def refresh_blocks(write: Write, closes: Closes, months: MonthRange, changed_months: Iterable[date]) -> None:
    """Make the blocks of changed months, and of months that lack one, from the rows that were just written.

    A block that would be the same stays as it is: what has changed of its month is no close.

    Parameters
    ----------
    closes
        Of every row of `months`.
    """
    wanted = sorted({*changed_months, *_months_without_block(write, closes, months)})
    blocks = {month: closes.block(month) for month in wanted}
    filled = [
        [
            month,
            len(ids),
            ids.astype("<i4").tobytes(),
            sessions.astype("<i4").tobytes(),
            close.astype("<f8").tobytes(),
            write.materialization_id,
        ]
        for month, (sessions, ids, close) in blocks.items()
        if len(ids)
    ]
    emptied = [month for month, (_, ids, _) in blocks.items() if not len(ids)]
    with write.connection.cursor() as cursor:
        if emptied:
            cursor.execute("DELETE FROM price_block WHERE month = ANY(%s)", [emptied])
        cursor.executemany(_REFRESH, filled)


_REFRESH = """
INSERT INTO price_block VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (month) DO UPDATE SET
    instrument_count = excluded.instrument_count, instrument_ids = excluded.instrument_ids,
    sessions = excluded.sessions, close = excluded.close,
    materialization_id = excluded.materialization_id
WHERE (price_block.close, price_block.sessions, price_block.instrument_ids)
    IS DISTINCT FROM (excluded.close, excluded.sessions, excluded.instrument_ids)
"""


@dataclass(frozen=True, slots=True)
class Closes:
    """The closes of rows as one matrix.

    Parameters
    ----------
    first_day
        Of the columns, as days since 1970-01-01.
    ids
        (n,) sorted instruments.
    close
        (n, days) closes, a column a calendar day; NaN where there is no row.
    """

    first_day: int
    ids: IntArray
    close: FloatArray

    @classmethod
    def of(cls, rows: Columns) -> Self:
        """Those of columns of the table ``price``; adjusted ones where there are no others."""
        days = rows["session"].astype("datetime64[D]").astype(np.int64)
        ids, row = _sorted_places(rows["instrument_id"])
        first, last = (int(days.min()), int(days.max())) if len(days) else (0, -1)
        close = np.full((len(ids), last - first + 1), np.nan)
        close[row, days - first] = np.where(np.isnan(rows["close"]), rows["close_adjusted"], rows["close"])
        return cls(first, ids, close)

    def months(self) -> set[date]:
        """Months that have rows."""
        days = self.first_day + np.flatnonzero(~np.isnan(self.close).all(axis=0))
        return set(np.unique(days.astype("datetime64[D]").astype("datetime64[M]")).astype("datetime64[D]").tolist())

    def block(self, month: date) -> Block:
        """The sessions of a month and the instruments that have a close on any of them."""
        edges = np.array([month, add_months(month, 1)], dtype="datetime64[D]").astype(np.int64) - self.first_day
        first, last = np.clip(edges, 0, self.close.shape[1]).tolist()
        part = self.close[:, first:last]
        is_known = ~np.isnan(part)
        instruments, days = np.flatnonzero(is_known.any(axis=1)), np.flatnonzero(is_known.any(axis=0))
        return self.first_day + first + days, self.ids[instruments], part[np.ix_(instruments, days)].T


def _sorted_places(numbers: NDArray[np.int32]) -> tuple[IntArray, IntArray]:
    """The different numbers, sorted, and where each stands; they are small, so no sorting is needed."""
    is_there = np.zeros(int(numbers.max(initial=-1)) + 1, dtype=bool)
    is_there[numbers] = True
    return np.flatnonzero(is_there), (np.cumsum(is_there) - 1)[numbers]


def _months_without_block(write: Write, closes: Closes, months: MonthRange) -> set[date]:
    """Months that have rows and no block, such as those of a database that was made before there were blocks."""
    found = write.connection.execute(
        "SELECT month FROM price_block WHERE month >= %s AND month < %s", [months.first, months.end]
    )
    return closes.months() - {row[0] for row in found}


def read_blocks(connection: Connection, instrument_ids: Sequence[int], start: date | None, end: date) -> Block:
    """Closes of instruments in ``[start, end)`` as one matrix, its columns in the order asked for."""
    with connection.cursor(binary=True) as cursor:
        found = cursor.execute(
            """
            SELECT instrument_count, instrument_ids, sessions, close FROM price_block
            WHERE month >= date_trunc('month', %(start)s::date) AND month < %(end)s ORDER BY month
            """,
            {"start": start or date(1, 1, 1), "end": end},
        ).fetchall()
    ids = np.asarray(instrument_ids, dtype=np.int64)
    days = np.concatenate([np.frombuffer(row[2], dtype="<i4") for row in found] or [np.array([], dtype="<i4")])
    sessions = days.astype(np.int64).astype("datetime64[D]")
    close = np.full((len(sessions), len(ids)), np.nan)
    filled = 0
    for count, block_ids, block_days, values in found:
        matrix = np.frombuffer(values, dtype="<f8").reshape(-1, count)
        known = np.frombuffer(block_ids, dtype="<i4")
        rows = slice(filled, filled + len(block_days) // 4)
        _fill(close[rows], matrix, ids, known)
        filled = rows.stop
    return _trimmed(sessions, ids, close, start, end)


def _fill(target: FloatArray, matrix: FloatArray, ids: IntArray, known: NDArray[np.int32]) -> None:
    if np.array_equal(ids, known):
        target[:] = matrix
        return
    place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    is_known = known[place] == ids
    target[:, is_known] = matrix[:, place[is_known]]


def _trimmed(sessions: DateArray, ids: IntArray, close: FloatArray, start: date | None, end: date) -> Block:
    """Only the sessions that were asked for and on which one of the instruments has a price."""
    wanted = ~np.isnan(close).all(axis=1) if len(ids) else np.zeros(len(sessions), dtype=bool)
    wanted &= sessions < np.datetime64(end, "D")
    if start is not None:
        wanted &= sessions >= np.datetime64(start, "D")
    return (sessions, ids, close) if wanted.all() else (sessions[wanted], ids, close[wanted])
