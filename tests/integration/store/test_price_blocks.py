"""The read model of panels says what the rows say, after any load."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from pipeline.base.types import MonthRange
from pipeline.store import prices as store_prices
from pipeline.store.engine import Database
from pipeline.store.offering import Columns
from pipeline.store.prices import PricePanel, price_rows, read_price_panel, replace_prices
from pipeline.store.writing import open_write

SPRING = MonthRange(date(2022, 3, 1), date(2022, 5, 1))
DAYS = np.arange("2022-03-01", "2022-06-01", dtype="datetime64[D]")
IDS = list(range(3, 40, 3))


def random_rows(seed: int) -> Columns:
    draws = np.random.default_rng(seed)
    ids, days = np.meshgrid(np.array(IDS, dtype=np.int32), DAYS)
    kept = draws.random(ids.size) < 0.7
    closes = draws.uniform(1, 100, ids.size)
    adjusted_only = draws.random(ids.size) < 0.3
    numbers = {"close": np.where(adjusted_only, np.nan, closes), "close_adjusted": closes}
    return price_rows(ids.ravel()[kept], days.ravel()[kept], 1, {name: n[kept] for name, n in numbers.items()})


def load(database: Database, rows: Columns, months: MonthRange = SPRING) -> None:
    first, end = np.datetime64(months.first), np.datetime64(months.end)
    inside = (rows["session"] >= first) & (rows["session"] < end)
    with open_write(database, "prices", "run", "v1") as write:
        replace_prices(write, {name: values[inside] for name, values in rows.items()}, months)


def panels(database: Database, ids: list[int], start: date | None, end: date) -> tuple[PricePanel, PricePanel]:
    """The panel from blocks, and from rows."""
    with database.connect() as connection:
        from_blocks = read_price_panel(connection, ids, start, end)
        rows = [read_price_panel(connection, ids[first : first + 4], start, end) for first in range(0, len(ids), 4)]
    days = np.unique(np.concatenate([panel.sessions for panel in rows]))
    close = np.full((len(days), len(ids)), np.nan)
    for number, panel in enumerate(rows):
        close[np.searchsorted(days, panel.sessions), 4 * number : 4 * number + panel.close.shape[1]] = panel.close
    return from_blocks, PricePanel(days, np.array(ids), close)


def same(left: PricePanel, right: PricePanel) -> bool:
    return (
        np.array_equal(left.sessions, right.sessions)
        and np.array_equal(left.instrument_ids, right.instrument_ids)
        and np.array_equal(left.close, right.close, equal_nan=True)
    )


@pytest.mark.parametrize(
    ("ids", "start", "end"),
    [
        (IDS, None, date(2023, 1, 1)),
        (IDS[::-1], date(2022, 3, 15), date(2022, 5, 10)),
        ([*IDS[:5], 1000, *IDS[5:], 1], date(2022, 4, 1), date(2022, 5, 1)),
        ([1000 + n for n in range(12)], None, date(2023, 1, 1)),
        (IDS, date(2024, 1, 1), date(2025, 1, 1)),
    ],
    ids=["all", "reversed", "unknown among them", "none known", "no session"],
)
def test_blocks_say_what_rows_say(database: Database, ids: list[int], start: date | None, end: date) -> None:
    load(database, random_rows(1))
    assert len(ids) > store_prices.MOST_INSTRUMENTS_BY_ROW
    assert same(*panels(database, ids, start, end))


def test_blocks_follow_every_load(database: Database) -> None:
    for seed, months in enumerate((SPRING, MonthRange(date(2022, 4, 1), date(2022, 4, 1)), SPRING, SPRING)):
        load(database, random_rows(seed), months)
        assert same(*panels(database, IDS, None, date(2023, 1, 1)))
    nothing = price_rows(np.array([], dtype=np.int32), DAYS[:0], 1, {})
    load(database, nothing, MonthRange(date(2022, 5, 1), date(2022, 5, 1)))
    assert same(*panels(database, IDS, None, date(2023, 1, 1)))
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM price_block").fetchone() == (2,)


def test_a_month_without_a_block_gets_one_although_no_row_changes(database: Database) -> None:
    load(database, random_rows(1))
    with database.connect() as connection:
        connection.execute("DELETE FROM price_block")
    load(database, random_rows(1))
    assert same(*panels(database, IDS, None, date(2023, 1, 1)))


def test_an_equal_load_makes_no_block_anew(database: Database) -> None:
    load(database, random_rows(1))
    load(database, random_rows(1))
    with database.connect() as connection:
        assert connection.execute("SELECT DISTINCT materialization_id FROM price_block").fetchall() == [(1,)]


def test_a_month_whose_closes_stay_keeps_its_block(database: Database) -> None:
    """A corrected volume is a change of the month, and none of its closes."""
    whole = random_rows(1)
    load(database, whole)
    in_april = whole["session"] == np.datetime64("2022-04-05")
    in_may = whole["session"] == np.datetime64("2022-05-05")
    load(database, {**whole, "volume": np.where(in_april, 5.0, np.nan), "close": np.where(in_may, 7.0, whole["close"])})
    with database.connect() as connection:
        writers = connection.execute("SELECT materialization_id FROM price_block ORDER BY month").fetchall()
    assert writers == [(1,), (1,), (2,)]
    assert same(*panels(database, IDS, None, date(2023, 1, 1)))
