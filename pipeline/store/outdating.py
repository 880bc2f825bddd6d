"""Which years of served series no longer say what their rows say (`pipeline.store.served_series`).

Everything that changes rows notes it in the same transaction, by one statement. The texts themselves are made anew by
the asset, when it has written all that they follow from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from psycopg import Connection
from sqlalchemy import SmallInteger, Table, Text

from pipeline.store.schema import METADATA, key, writer

OUTDATED_YEAR = Table(
    "outdated_year",
    METADATA,
    key("resource", Text(), "What the series are of, such as prices."),
    key("year", SmallInteger(), "Calendar year whose rows have changed; 0 if what they follow from has."),
    writer(),
    comment="Years of served series whose rows have changed since the texts were made.",
)

PRICE_SERIES = "prices"
RISK_SERIES = "instrument_risk"
NAV_SERIES = "strategy_nav"

RESOURCES: Mapping[str, str] = {
    "price": PRICE_SERIES,
    "corporate_action": PRICE_SERIES,
    "instrument": PRICE_SERIES,
    "instrument_risk": RISK_SERIES,
    "strategy_nav": NAV_SERIES,
}
"""Table → the resource whose answers follow from its rows."""

WHAT_ROWS_FOLLOW_FROM = 0
"""In the place of a year: what is not of the year may have changed, such as later splits or the unit of prices."""


def outdate(connection: Connection, table: Table, months: Iterable[date], materialization_id: int) -> None:
    """Note that rows of a table have changed in some months; the month of year 1 stands for `WHAT_ROWS_FOLLOW_FROM`.

    A note that is there already is written again, so that who takes it meanwhile waits for this change.
    """
    resource = RESOURCES.get(table.name)
    years = sorted({0 if month.year == 1 else month.year for month in months})
    if resource is None or not years:
        return
    connection.execute(
        """
        INSERT INTO outdated_year (resource, year, materialization_id)
        SELECT %s, year, %s FROM unnest(%s::smallint[]) AS year
        ON CONFLICT (resource, year) DO UPDATE SET materialization_id = excluded.materialization_id
        """,
        [resource, materialization_id, years],
    )


def take_outdated(connection: Connection, resource: str) -> set[int]:
    """The outdated years of a resource, which whoever takes them makes anew before the commit."""
    rows = connection.execute("DELETE FROM outdated_year WHERE resource = %s RETURNING year", [resource])
    return {row[0] for row in rows}
