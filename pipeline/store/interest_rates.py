"""Risk-free interest rates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import Double, Table, Text

from pipeline.store.point_in_time import NOW, Knowledge, read_newest_as_known
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
