"""Symbols over time: one holder at a time, whoever writes; ids and rows outlive their symbols."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import psycopg
import pytest
from psycopg.errors import CheckViolation, ExclusionViolation, ForeignKeyViolation

from pipeline.base.errors import ConflictError, NotFoundError
from pipeline.base.types import MonthRange
from pipeline.store.engine import Database
from pipeline.store.instruments import (
    Instrument,
    Listing,
    find_instruments,
    read_instrument,
    read_instruments,
    replace_instruments,
)
from pipeline.store.materializations import UNPARTITIONED, read_partition_states
from pipeline.store.prices import price_rows, replace_prices
from pipeline.store.symbol_changes import rename_instrument, retire_instrument
from pipeline.store.symbols import Spell, insert_spell, read_spells
from pipeline.store.writing import WriteOutcome, open_write

FACEBOOK = Listing("FB", "Meta Platforms", "stock", "Communication Services", "USD", "XNYS", "vendor")
OTHER = Listing("OTH", "Other", "stock", "Energy", "USD", "XNYS", "vendor")
RENAMED_ON, LAST_AS_FB = date(2022, 6, 9), date(2022, 6, 8)
MAY = MonthRange(date(2022, 5, 1), date(2022, 5, 1))


def register(database: Database, *listings: Listing) -> WriteOutcome:
    with open_write(database, "instruments", "run", "v1") as write:
        return replace_instruments(write, listings)


def spells(database: Database) -> list[Spell]:
    with database.connect() as connection:
        return read_spells(connection)


def named(database: Database, reference: str) -> Instrument:
    with database.connect() as connection:
        return read_instrument(connection, reference)


def price_on(database: Database, instrument_id: int, session: str) -> None:
    with open_write(database, "prices", "run", "v1") as write:
        ids, days = np.array([instrument_id], dtype=np.int32), np.array([session], dtype="datetime64[D]")
        replace_prices(write, price_rows(ids, days, 1, {"close": np.array([7.0])}), MAY)


@pytest.fixture
def listed(database: Database) -> Database:
    register(database, FACEBOOK, OTHER)
    return database


def test_who_is_listed_has_the_symbol_from_the_start(listed: Database) -> None:
    assert spells(listed) == [Spell("FB", 1, None, None), Spell("OTH", 2, None, None)]
    assert (named(listed, "FB").listed_from, named(listed, "FB").delisted_on) == (None, None)


def test_a_renamed_instrument_keeps_its_id_and_is_found_by_either_symbol(listed: Database) -> None:
    before = named(listed, "FB")
    rename_instrument(listed, "FB", "META", RENAMED_ON)
    after = named(listed, "META")
    assert (after.id, after.symbol, after.name) == (before.id, "META", before.name)
    assert (
        after
        == named(listed, f"FB@{LAST_AS_FB}")
        == named(listed, f"META@{RENAMED_ON}")
        == named(listed, "FB@1999-01-04")
    )
    assert (after.listed_from, after.delisted_on) == (None, None)
    for reference in ("FB", f"FB@{RENAMED_ON}", f"META@{LAST_AS_FB}"):
        with pytest.raises(NotFoundError, match="the symbol"):
            named(listed, reference)
    with pytest.raises(NotFoundError, match="FB@2022-06-08 names the last that had it"):
        named(listed, "FB")


def test_a_listing_by_the_new_symbol_is_of_the_same_instrument(listed: Database) -> None:
    rename_instrument(listed, "FB", "META", RENAMED_ON)
    assert register(listed, Listing("META", *_described(FACEBOOK)), OTHER) == WriteOutcome(unchanged=2)
    with listed.connect() as connection:
        assert set(find_instruments(connection, ["FB", "META"])) == {"META"}


def _described(listing: Listing) -> tuple[str, str, str, str, str, str]:
    return listing.name, listing.kind, listing.sector, listing.currency, listing.exchange, listing.provider


def test_a_rename_makes_readers_out_of_date_and_a_retirement_does_not(listed: Database) -> None:
    changed = []
    for change in (
        lambda: retire_instrument(listed, "OTH", LAST_AS_FB),
        lambda: rename_instrument(listed, "FB", "META", RENAMED_ON),
    ):
        change()
        with listed.connect() as connection:
            changed.append(read_partition_states(connection, "instruments")[UNPARTITIONED].changed_by)
    assert changed == [1, 3]


def test_each_change_is_a_write_that_says_what_was_done(listed: Database) -> None:
    retire_instrument(listed, "OTH", LAST_AS_FB)
    rename_instrument(listed, "FB", "META", RENAMED_ON)
    with listed.connect() as connection:
        writes = connection.execute("SELECT id, asset, run_id FROM materialization WHERE id > 1 ORDER BY id").fetchall()
        rows = connection.execute("SELECT symbol, materialization_id FROM instrument_symbol ORDER BY 2, 1").fetchall()
    assert writes == [
        (2, "instruments", "retire OTH on 2022-06-08"),
        (3, "instruments", "rename FB to META on 2022-06-09"),
    ]
    assert rows == [("OTH", 2), ("FB", 3), ("META", 3)]


def test_a_reused_symbol_is_a_new_instrument_and_the_old_row_stays(listed: Database) -> None:
    old = named(listed, "FB")
    price_on(listed, old.id, "2022-05-02")
    retire_instrument(listed, "FB", LAST_AS_FB)
    with listed.connect() as connection:
        before = connection.execute("SELECT * FROM instrument WHERE id = %s", [old.id]).fetchall()
    outcome = register(listed, Listing("FB", "Faraday Boats", "stock", "Industrials", "USD", "XNYS", "vendor"), OTHER)
    assert (outcome.inserted, outcome.revised, outcome.unchanged) == (1, 0, 1)
    new = named(listed, "FB")
    assert (new.name, new.listed_from, new.delisted_on) == ("Faraday Boats", RENAMED_ON, None)
    assert new.id != old.id
    retired = named(listed, f"FB@{LAST_AS_FB}")
    assert (retired.id, retired.name, retired.delisted_on) == (old.id, "Meta Platforms", LAST_AS_FB)
    with listed.connect() as connection:
        assert connection.execute("SELECT * FROM instrument WHERE id = %s", [old.id]).fetchall() == before
        assert connection.execute("SELECT instrument_id, close FROM price").fetchall() == [(old.id, 7.0)]
        assert [i.id for i in read_instruments(connection) if i.symbol == "FB"] == [old.id, new.id]
        assert find_instruments(connection, ["FB"])["FB"].id == new.id


def test_an_instrument_takes_its_symbol_back_and_another_takes_the_one_that_it_left(listed: Database) -> None:
    rename_instrument(listed, "FB", "META", RENAMED_ON)
    rename_instrument(listed, "META", "FB", date(2023, 1, 3))
    rename_instrument(listed, "OTH", "META", date(2023, 1, 3))
    assert [named(listed, name).id for name in ("FB", "META", "META@2022-12-30", "OTH@2022-12-30")] == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("symbol", "instrument_id", "first", "last"),
    [
        ("FB", 2, date(2022, 6, 8), date(2022, 6, 8)),
        ("FB", 2, None, None),
        ("FB", 2, None, date(1999, 1, 4)),
        ("META", 2, date(2022, 6, 9), date(2022, 6, 9)),
        ("META", 2, date(2030, 1, 1), None),
        ("NEW", 1, date(2022, 6, 9), None),
        ("NEW", 1, date(2000, 1, 3), date(2000, 1, 3)),
    ],
)
def test_the_database_itself_refuses_two_holders_and_two_symbols(
    listed: Database, symbol: str, instrument_id: int, first: date | None, last: date | None
) -> None:
    rename_instrument(listed, "FB", "META", RENAMED_ON)
    retire_instrument(listed, "OTH", date(2022, 1, 3))
    forget(listed, 2)
    before = spells(listed)
    with pytest.raises(ExclusionViolation), listed.connect() as connection:
        insert_spell(connection, Spell(symbol, instrument_id, first, last), 1)
    assert spells(listed) == before


def forget(database: Database, instrument_id: int) -> None:
    with database.connect() as connection:
        connection.execute("DELETE FROM instrument_symbol WHERE instrument_id = %s", [instrument_id])


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (Spell("NEW", 3, None, None), ForeignKeyViolation),
        (Spell("NEW", 2, date(2022, 6, 9), date(2022, 6, 8)), (CheckViolation, psycopg.errors.DataException)),
    ],
)
def test_the_database_refuses_rows_without_sense(listed: Database, row: Spell, error: type[Exception]) -> None:
    forget(listed, 2)
    with pytest.raises(error), listed.connect() as connection:
        insert_spell(connection, row, 1)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda d: retire_instrument(d, "XX", RENAMED_ON), NotFoundError, "No instrument has the symbol 'XX'"),
        (lambda d: retire_instrument(d, "OLD", RENAMED_ON), ConflictError, "OLD is already retired, on 2022-01-03"),
        (lambda d: retire_instrument(d, "FB", date(2022, 5, 1)), ConflictError, "on: FB has prices until 2022-05-02"),
        (lambda d: retire_instrument(d, "TWO", RENAMED_ON), ConflictError, "renamed after 2022-06-08, to OTH"),
        (lambda d: retire_instrument(d, "OTH", LAST_AS_FB), ConflictError, "has the symbol OTH only since 2022-06-09"),
        (lambda d: rename_instrument(d, "XX", "YY", RENAMED_ON), NotFoundError, "No instrument has the symbol 'XX'"),
        (lambda d: rename_instrument(d, "FB", "OTH", date(2023, 1, 3)), ConflictError, "has the symbol OTH now"),
        (lambda d: rename_instrument(d, "FB", "OLD", date(2022, 1, 3)), ConflictError, "OLD until 2022-01-03"),
        (lambda d: rename_instrument(d, "OTH", "YY", RENAMED_ON), ConflictError, "only since 2022-06-09"),
    ],
)
def test_what_cannot_be_changed_is_refused_and_nothing_is_written(
    database: Database, change: Callable[[Database], object], error: type[Exception], message: str
) -> None:
    register(database, FACEBOOK, Listing("TWO", *_described(OTHER)), Listing("OLD", *_described(OTHER)))
    price_on(database, 1, "2022-05-02")
    retire_instrument(database, "OLD", date(2022, 1, 3))
    rename_instrument(database, "TWO", "OTH", RENAMED_ON)
    before = spells(database)
    with pytest.raises(error, match=message):
        change(database)
    assert spells(database) == before
    with database.connect() as connection:
        assert connection.execute("SELECT max(id) FROM materialization").fetchone() == (4,)


def test_the_last_session_with_a_price_is_a_day_to_retire_on(listed: Database) -> None:
    price_on(listed, 1, "2022-05-02")
    retire_instrument(listed, "FB", date(2022, 5, 2))
    assert named(listed, "FB@2022-05-02").delisted_on == date(2022, 5, 2)


@pytest.mark.parametrize("reference", ["FB@2013-02-30", "FB@20130501", "@2013-05-01", "FB@", "GOOG@2013-05-01"])
def test_a_reference_that_names_nobody_is_not_found(listed: Database, reference: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        named(listed, reference)
    assert repr(reference) in caught.value.cause
