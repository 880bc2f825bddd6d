"""Foreign exchange reference rates against the euro."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import Double, String, Table

from pipeline.store.point_in_time import NOW, Knowledge, read_newest_as_known
from pipeline.store.reading import Window
from pipeline.store.schema import METADATA, Unit, column, key, session_key, versioned, writer

FX_RATES = "fx_rates"
"""Asset that writes the table."""

FX_RATE = versioned(
    Table(
        "fx_rate",
        METADATA,
        key("currency", String(3), "ISO 4217 currency."),
        session_key(),
        column(
            "units_per_euro",
            Double(),
            "Units of the currency for one euro, as the ECB publishes.",
            Unit("currency per EUR", minimum=0),
            nullable=False,
        ),
        writer(),
        comment="Daily ECB reference rates of every currency against the euro.",
    )
)


@dataclass(frozen=True, slots=True)
class FxRate:
    """A rate on one day."""

    session: date
    units_per_euro: float


def read_known_currencies(connection: Connection) -> frozenset[str]:
    """The currencies that can be converted: the euro, and those with a rate against it; none while there is no rate."""
    found = {
        row[0]
        for row in connection.execute(
            """
            WITH RECURSIVE known AS (
                (SELECT currency FROM fx_rate ORDER BY currency LIMIT 1)
                UNION ALL
                SELECT (SELECT currency FROM fx_rate WHERE currency > known.currency ORDER BY currency LIMIT 1)
                FROM known WHERE known.currency IS NOT NULL
            )
            SELECT currency FROM known WHERE currency IS NOT NULL
            """
        )
    }
    return frozenset(found | {"EUR"}) if found else frozenset()


def read_fx_rates(connection: Connection, currency: str, window: Window, known: Knowledge = NOW) -> list[FxRate]:
    """The newest rates of a currency inside a window, oldest first."""
    return read_newest_as_known(connection, FX_RATE, FX_RATES, {"currency": currency}, window, FxRate, known)
