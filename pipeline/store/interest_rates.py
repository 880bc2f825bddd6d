"""Risk-free interest rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from psycopg import Connection, sql
from sqlalchemy import Double, Table, Text

from pipeline.base.types import DateArray, FloatArray
from pipeline.store.point_in_time import NOW, Knowledge, read_newest_as_known, rows_as_known
from pipeline.store.reading import Window
from pipeline.store.schema import METADATA, Unit, column, key, session_key, versioned, writer

INTEREST_RATES = "interest_rates"
"""Asset that writes the table."""

INTEREST_RATE = versioned(
    Table(
        "interest_rate",
        METADATA,
        key("series", Text(), "Series, such as DTB3."),
        session_key(),
        column(
            "annual_rate",
            Double(),
            "Rate as the series quotes it.",
            Unit("fraction per year", minimum=-1, maximum=1),
            nullable=False,
        ),
        writer(),
        comment="Daily risk-free interest rates by series.",
    )
)


@dataclass(frozen=True, slots=True)
class InterestRate:
    """A rate on one day."""

    session: date
    annual_rate: float


def read_interest_rates(
    connection: Connection, series: str, window: Window, known: Knowledge = NOW
) -> list[InterestRate]:
    """The newest rates of a series inside a window, oldest first."""
    subject = {"series": series}
    return read_newest_as_known(connection, INTEREST_RATE, INTEREST_RATES, subject, window, InterestRate, known)


def read_rate_quotes(
    connection: Connection, series: Sequence[str], start: date, end: date, known: Knowledge = NOW
) -> dict[str, tuple[DateArray, FloatArray]]:
    """Series → (m,) days in ``[start, end)``, ascending, and (m,) rates as quoted; without those that have none."""
    condition = sql.SQL("series = ANY({series}) AND session >= {start} AND session < {end}").format(
        series=sql.Literal(list(series)), start=sql.Literal(start), end=sql.Literal(end)
    )
    names = sql.SQL("series, session, annual_rate")
    rows = rows_as_known(connection, INTEREST_RATE, INTEREST_RATES, names, condition, known)
    found: dict[str, list[tuple[date, float]]] = {}
    for name, day, rate in connection.execute(
        sql.SQL("SELECT * FROM ({rows}) AS known ORDER BY series, session").format(rows=rows)
    ):
        found.setdefault(name, []).append((day, rate))
    return {
        name: (np.array([day for day, _ in rates], dtype="datetime64[D]"), np.array([rate for _, rate in rates]))
        for name, rates in found.items()
    }
