"""Rolling risk measures of instruments: one row an instrument and session."""

from __future__ import annotations

from datetime import date

from psycopg import Connection
from sqlalchemy import Integer, Table

from pipeline.store.packed_series import Series, read_series
from pipeline.store.reading import Window, read_newest
from pipeline.store.risk_columns import TAIL_MEASURES, RiskRow, measure_columns
from pipeline.store.schema import METADATA, key, session_key, writer

INSTRUMENT_RISK = Table(
    "instrument_risk",
    METADATA,
    key("instrument_id", Integer(), "Instrument."),
    session_key(),
    *measure_columns(),
    writer(),
    comment="Rolling 252-session risk measures of every instrument.",
)


def read_instrument_risk(connection: Connection, instrument_id: int, window: Window) -> list[RiskRow]:
    """The newest rows of an instrument inside a window, oldest first."""
    return read_newest(connection, INSTRUMENT_RISK, {"instrument_id": instrument_id}, window, RiskRow)


def read_instrument_tails(connection: Connection, start: date, end: date) -> dict[tuple[int], Series]:
    """(instrument_id,) → its sessions in ``[start, end)`` and its tail measures on them; NaN where missing."""
    return read_series(connection, INSTRUMENT_RISK, ("instrument_id",), TAIL_MEASURES, start, end)
