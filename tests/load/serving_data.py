"""What the measured servers answer from: the small database of the tests, a long series, and somebody who may ask."""

from __future__ import annotations

from datetime import date

import numpy as np

from pipeline.base.types import MonthRange
from pipeline.store.engine import Database
from pipeline.store.instruments import Listing, read_instruments, replace_instruments
from pipeline.store.prices import price_rows, replace_prices
from pipeline.store.series_kinds import PRICES_KIND
from pipeline.store.series_making import bring_up_to_date
from pipeline.store.users import NewUser, create_user
from pipeline.store.writing import open_write
from serving.auth.passwords import hashed
from tests.integration.serving.seeding import seed

SERIES_POINTS = 7_500
"""Thirty years of sessions."""
SERIES = f"/api/v1/instruments/LONG/prices?limit={SERIES_POINTS}"
SERIES_OF_ROWS = f"{SERIES}&start=1900-01-01"
"""The same by another question, which what is stored does not answer."""
EMAIL, PASSWORD = "bench@example.com", "measure twice and cut once"


def fill(database: Database) -> None:
    """Fill an empty migrated database."""
    seed(database)
    with database.connect() as connection:
        # An operator sees the sample portfolios, which nobody owns.
        create_user(connection, NewUser(EMAIL, "Bench", hashed(PASSWORD, EMAIL), "operator"))
    _add_long_series(database)


def _add_long_series(database: Database) -> None:
    days = np.arange("1990-01-01", "2020-01-01", dtype="datetime64[D]")
    sessions = days[np.is_busday(days)][-SERIES_POINTS:]
    close = 100 * np.cumprod(1 + np.random.default_rng(3).normal(0.0004, 0.01, len(sessions)))
    numbers = {"open": close * 0.999, "high": close * 1.004, "low": close * 0.996, "close": close}
    numbers |= {"close_adjusted": close, "volume": np.full(len(sessions), 1e6)}
    with open_write(database, "instruments", "bench", "1") as write:
        replace_instruments(write, [Listing("LONG", "Long", "stock", "Energy", "USD", "XNYS", "bundled")])
        [number] = [found.id for found in read_instruments(write.connection) if found.symbol == "LONG"]
    with open_write(database, "prices", "bench", "1") as write:
        rows = price_rows(np.full(len(sessions), number, "i4"), sessions, 1, numbers)
        replace_prices(write, rows, MonthRange(date(1990, 1, 1), date(2019, 12, 1)))
        bring_up_to_date(write, PRICES_KIND)
