"""Daily prices, one narrow row a bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from psycopg import Connection, sql
from sqlalchemy import Double, Integer, Table

from pipeline.base.types import DateArray, FloatArray, IntArray
from pipeline.store.binary_copy import copy_out
from pipeline.store.reading import Window, read_newest
from pipeline.store.schema import METADATA, PRICE_UNIT, column, key, session_key, writer

PRICE = Table(
    "price",
    METADATA,
    key("instrument_id", Integer(), "Instrument."),
    session_key(),
    column(
        "close_adjusted",
        Double(),
        "Close, adjusted for splits and dividends.",
        PRICE_UNIT,
        nullable=False,
    ),
    writer(),
    comment="Accepted daily prices of every instrument.",
)

_PANEL_ROW = np.dtype([("session", "datetime64[D]"), ("instrument_id", "i4"), ("close", "f8")])


@dataclass(frozen=True, slots=True)
class PricePanel:
    """Prices as one dense matrix.

    Parameters
    ----------
    sessions
        (t,) sorted sessions on which any of the instruments has a price.
    instrument_ids
        (n,) in the order asked for.
    close
        (t, n) adjusted closes; NaN where an instrument has no price on a session.
    """

    sessions: DateArray
    instrument_ids: IntArray
    close: FloatArray

    def column(self, instrument_id: int) -> FloatArray:
        """(t,) closes of one instrument, NaN where missing."""
        return self.columns([instrument_id])[:, 0]

    def columns(self, instrument_ids: Sequence[int]) -> FloatArray:
        """(t, k) closes of some of the instruments, in the order asked for."""
        positions = [int(np.flatnonzero(self.instrument_ids == wanted)[0]) for wanted in instrument_ids]
        return self.close[:, positions]


def read_price_panel(
    connection: Connection, instrument_ids: Sequence[int], start: date | None, end: date
) -> PricePanel:
    """Prices of instruments in ``[start, end)``; `start` None reads from the first session."""
    query = sql.SQL(
        "SELECT session, instrument_id, close_adjusted FROM price"
        " WHERE instrument_id = ANY({ids}) AND session >= {start} AND session < {end}"
    ).format(ids=sql.Literal(list(instrument_ids)), start=sql.Literal(start or date(1, 1, 1)), end=sql.Literal(end))
    rows = copy_out(connection, query, _PANEL_ROW)
    ids = np.asarray(instrument_ids, dtype=np.int64)
    sessions, row_of = np.unique(rows["session"], return_inverse=True)
    close = np.full((len(sessions), len(ids)), np.nan)
    if len(rows):
        by_id = np.argsort(ids)
        close[row_of, by_id[np.searchsorted(ids, rows["instrument_id"], sorter=by_id)]] = rows["close"]
    return PricePanel(sessions, ids, close)


@dataclass(frozen=True, slots=True)
class Bar:
    """One price of one instrument."""

    session: date
    close_adjusted: float


def read_bars(connection: Connection, instrument_id: int, window: Window) -> list[Bar]:
    """The newest bars of an instrument inside a window, oldest first."""
    return read_newest(connection, PRICE, {"instrument_id": instrument_id}, window, Bar)


def read_last_session(connection: Connection) -> date | None:
    """The newest session with a price, or None while there is none."""
    row = connection.execute("SELECT max(session) FROM price").fetchone()
    return row[0] if row else None
