"""Texts of series say what their rows say, and are not read while they do not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pytest
from alembic import command
from psycopg.errors import LockNotAvailable
from pydantic_core import to_json

from pipeline.base.types import MonthRange
from pipeline.store.corporate_actions import action_rows, replace_actions
from pipeline.store.engine import Database
from pipeline.store.instruments import Listing, read_instrument, replace_instruments
from pipeline.store.offering import Columns
from pipeline.store.outdating import PRICE_SERIES, outdate, take_outdated
from pipeline.store.prices import PRICE, price_rows, read_bars, replace_prices
from pipeline.store.reading import Window
from pipeline.store.series_kinds import PRICES_KIND
from pipeline.store.series_making import bring_up_to_date
from pipeline.store.served_series import ServedSeries, read_series_of_instrument
from pipeline.store.symbol_changes import rename_instrument
from pipeline.store.writing import Write, open_write
from tests.integration.store.test_migrating import to_revision

LISTINGS = [Listing(symbol, symbol, "stock", "Energy", "GBP", "XLON", "vendor") for symbol in ("A", "B")]
DAYS = np.array(["2020-06-01", "2020-12-31", "2021-01-04", "2021-06-01", "2022-03-01"], dtype="datetime64[D]")
MONTHS = MonthRange(date(2020, 1, 1), date(2022, 12, 1))
EVERYTHING = Window(limit=10_000)


def bars(close: float = 10.0, days: np.ndarray = DAYS, instruments: tuple[int, ...] = (1, 2)) -> Columns:
    ids = np.repeat(np.array(instruments, dtype="i4"), len(days))
    closes = close + np.arange(len(ids)) / 3
    closes[::4] = np.nan  # a provider's adjusted close alone
    numbers = {"close": closes, "close_adjusted": np.full(len(ids), 7.0), "volume": np.full(len(ids), np.inf)}
    return price_rows(ids, np.tile(days, len(instruments)), 1, numbers)


@pytest.fixture
def priced(database: Database) -> Database:
    with open_write(database, "instruments", "run", "v1") as write:
        replace_instruments(write, LISTINGS)
    load(database, bars())
    return database


def load(database: Database, rows: Columns, *, makes_texts: bool = True) -> int:
    """Bars of two instruments; how many texts have changed."""
    with open_write(database, "prices", "run", "v1") as write:
        replace_prices(write, rows, MONTHS)
        return bring_up_to_date(write, PRICES_KIND) if makes_texts else 0


def tell_split(database: Database, day: str, factor: float, instrument: int = 1) -> int:
    with open_write(database, "prices", "run", "v1") as write:
        rows = action_rows(
            np.array([instrument], "i4"),
            np.array([day], "datetime64[D]"),
            1,
            (np.array([round(1 / factor)]), np.array([1])),
            np.zeros(1),
            np.array([factor]),
        )
        replace_actions(write, rows, MONTHS)
        return bring_up_to_date(write, PRICES_KIND)


def series(database: Database, symbol: str = "A", most_rows: int = 10_000) -> ServedSeries | None:
    with database.connect() as connection:
        return read_series_of_instrument(connection, PRICE_SERIES, symbol, most_rows, {})


def says_what_the_rows_say(database: Database) -> bool:
    for symbol in ("A", "B"):
        found = series(database, symbol)
        with database.connect() as connection:
            rows = read_bars(connection, read_instrument(connection, symbol).id, EVERYTHING)
        expected = to_json(rows, inf_nan_mode="null")
        if found is None or b"[" + b",".join(found.bodies) + b"]" != expected:
            return False
    return True


def writers(database: Database) -> dict[tuple[str, int], int]:
    with database.connect() as connection:
        rows = connection.execute("SELECT subject, year, materialization_id FROM served_year")
        return {(subject, year): writer for subject, year, writer in rows}


def test_a_text_is_a_year_of_rows(priced: Database) -> None:
    assert says_what_the_rows_say(priced)
    found = series(priced)
    assert found is not None
    assert [body.count(b"session") for body in found.bodies] == [2, 2, 1]
    assert found.last_session == date(2022, 3, 1)
    assert b'"volume":null' in found.bodies[0]


def test_texts_that_are_held_are_not_sent(priced: Database) -> None:
    found = series(priced)
    assert found is not None
    held = {found.digests[0]: b"held instead of the first year", found.digests[2]: b"and of the last", b"other": b""}
    with priced.connect() as connection:
        again = read_series_of_instrument(connection, PRICE_SERIES, "A", 10_000, held)
    assert again is not None
    assert again.bodies == (b"held instead of the first year", found.bodies[1], b"and of the last")
    assert (again.digests, again.digest, again.last_session) == (found.digests, found.digest, found.last_session)


def test_what_has_not_changed_is_not_written(priced: Database) -> None:
    before = writers(priced)
    assert load(priced, bars()) == 0
    rows = {name: values.copy() for name, values in bars().items()}
    rows["close"][3] += 1  # of the first instrument, in 2021
    assert load(priced, rows) == 1
    assert says_what_the_rows_say(priced)
    after = writers(priced)
    assert [key for key in before if before[key] != after[key]] == [("1", 2021)]


def test_a_later_split_changes_the_years_before_it(priced: Database) -> None:
    before = writers(priced)
    assert tell_split(priced, "2021-06-01", 0.5) == 2
    assert says_what_the_rows_say(priced)
    after = writers(priced)
    assert sorted(key for key in before if before[key] != after[key]) == [("1", 2020), ("1", 2021)]


def test_another_unit_of_prices_changes_every_year(priced: Database) -> None:
    tell_split(priced, "2021-06-01", 0.5)
    with open_write(priced, "instruments", "run", "v1") as write:
        pence = [Listing(**{**_described(listing), "price_scale": 0.01}) for listing in LISTINGS[:1]]
        replace_instruments(write, [*pence, *LISTINGS[1:]])
    assert series(priced) is None
    assert load(priced, bars()) == 3
    assert says_what_the_rows_say(priced)


def _described(listing: Listing) -> dict[str, object]:
    return {name: getattr(listing, name) for name in Listing.__slots__}


def test_rows_that_go_take_their_texts_with_them(priced: Database) -> None:
    assert load(priced, bars(days=DAYS[2:])) == 6  # 2020 goes, and the years after it have other closes
    assert says_what_the_rows_say(priced)
    load(priced, bars(days=DAYS[2:], instruments=(2,)))
    assert series(priced, "A") is None
    assert {subject for subject, _ in writers(priced)} == {"2"}


@pytest.mark.parametrize("changes", ["bars", "actions"])
def test_rows_that_changed_without_their_texts_are_not_hidden(priced: Database, changes: str) -> None:
    with open_write(priced, "prices", "run", "v1") as write:
        if changes == "bars":
            replace_prices(write, bars(close=11.0), MONTHS)
        else:
            split = (np.array([2]), np.array([1]))
            day = np.array(["2021-06-01"], "datetime64[D]")
            rows = action_rows(np.array([1], "i4"), day, 1, split, np.zeros(1), np.array([0.5]))
            replace_actions(write, rows, MONTHS)
    assert series(priced, "A") is None
    assert series(priced, "B") is None
    load(priced, bars(close=11.0))
    assert says_what_the_rows_say(priced)


def test_what_is_rolled_back_changes_no_text(priced: Database) -> None:
    before = series(priced)
    with priced.connect() as connection:
        write = Write(priced, connection, 99, "prices")
        replace_prices(write, bars(close=11.0), MONTHS)
        assert bring_up_to_date(write, PRICES_KIND) > 0
        connection.rollback()
    assert series(priced) == before


def test_a_series_is_found_by_symbol_and_day_if_it_is_short_enough(priced: Database) -> None:
    assert series(priced, most_rows=5) is not None
    assert series(priced, most_rows=4) is None
    assert series(priced, "C") is None
    whole = series(priced)
    rename_instrument(priced, "A", "AA", date(2022, 1, 3))
    assert series(priced, "A") is None
    assert series(priced, "AA") == whole == series(priced, "A@2021-06-01")


def test_whoever_takes_a_note_waits_for_the_change_that_repeats_it(priced: Database) -> None:
    """Otherwise it would make the text of rows as they were, and take the note of the change with it."""
    with priced.connect() as connection:
        outdate(connection, PRICE, [date(2020, 6, 1)], 1)
    with priced.connect() as changing, priced.connect() as making:
        outdate(changing, PRICE, [date(2020, 6, 1)], 2)
        making.execute("SET LOCAL lock_timeout = '50ms'")
        with pytest.raises(LockNotAvailable):
            take_outdated(making, PRICE_SERIES)
        making.rollback()


def test_rows_from_before_there_were_texts_are_outdated(new_empty_database: Callable[[], str]) -> None:
    database = Database(new_empty_database())
    to_revision(database.url, command.upgrade, "0014")
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO price (instrument_id, session, close, source, materialization_id)"
            " VALUES (1, '2020-01-02', 1, 1, 7), (2, '2020-01-02', 1, 1, 8), (1, '2021-01-04', 1, 1, 7)"
        )
    to_revision(database.url, command.upgrade, "0015")
    with database.connect() as connection:
        assert take_outdated(connection, PRICE_SERIES) == {2020, 2021}
    to_revision(database.url, command.downgrade, "0014")
