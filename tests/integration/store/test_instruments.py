"""Instruments keep their numbers; what is unchanged is not written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.base.errors import NotFoundError
from pipeline.store.engine import Database
from pipeline.store.instruments import (
    Instrument,
    Listing,
    find_instruments,
    read_instrument,
    read_instruments,
    replace_instruments,
)
from pipeline.store.materializations import UNPARTITIONED, PartitionState, read_partition_states
from pipeline.store.writing import WriteOutcome, open_write

APPLE = Listing("AAPL", "Apple Inc.", "stock", "Information Technology", "USD", "XNYS", "bundled")
MICROSOFT = Listing("MSFT", "Microsoft Corporation", "stock", "Information Technology", "USD", "XNYS", "bundled")
INDEX = Listing("SP500", "S&P 500", "index", "", "USD", "XNYS", "bundled")
ALL = [MICROSOFT, INDEX, APPLE]


def register(database: Database, listings: list[Listing]) -> WriteOutcome:
    with open_write(database, "instruments", "run", "v1") as write:
        return replace_instruments(write, listings)


def known(database: Database) -> dict[str, Instrument]:
    with database.connect() as connection:
        return {instrument.symbol: instrument for instrument in read_instruments(connection)}


def writers(database: Database) -> dict[str, int]:
    with database.connect() as connection:
        return dict(connection.execute("SELECT symbol, materialization_id FROM instrument").fetchall())


def test_listings_are_registered_and_read_by_symbol(database: Database) -> None:
    assert register(database, ALL) == WriteOutcome(inserted=3, changed_months=frozenset([UNPARTITIONED]))
    assert list(known(database)) == ["AAPL", "MSFT", "SP500"]
    with database.connect() as connection:
        found = read_instrument(connection, "MSFT")
    assert Listing(found.symbol, found.name, found.kind, found.sector, found.currency, found.exchange, "bundled") == (
        MICROSOFT
    )
    assert len({instrument.id for instrument in known(database).values()}) == 3


def test_the_same_listings_again_are_not_written(database: Database) -> None:
    register(database, ALL)
    before = known(database)
    assert register(database, ALL[::-1]) == WriteOutcome(unchanged=3)
    assert known(database) == before
    assert set(writers(database).values()) == {1}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Apple"},
        {"kind": "etf"},
        {"sector": ""},
        {"currency": "EUR"},
        {"exchange": "XNAS"},
        {"provider": "vendor"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_any_field_is_written_and_the_number_stays(database: Database, change: dict[str, str]) -> None:
    register(database, ALL)
    before = known(database)
    outcome = register(database, [replace(APPLE, **change), MICROSOFT, INDEX])
    assert (outcome.inserted, outcome.revised, outcome.unchanged) == (0, 1, 2)
    assert outcome.changed_months == {UNPARTITIONED}
    assert known(database)["AAPL"] == replace(before["AAPL"], **change)
    assert writers(database) == {"AAPL": 2, "MSFT": 1, "SP500": 1}


def test_a_later_listing_gets_a_number_of_its_own(database: Database) -> None:
    register(database, [APPLE])
    first = known(database)["AAPL"].id
    outcome = register(database, [MICROSOFT, APPLE])
    assert (outcome.inserted, outcome.unchanged) == (1, 1)
    assert known(database)["AAPL"].id == first != known(database)["MSFT"].id


def test_an_instrument_that_is_no_longer_listed_stays(database: Database) -> None:
    register(database, ALL)
    before = known(database)
    assert register(database, [APPLE]).deleted == 0
    assert known(database) == before


def test_the_partition_remembers_when_it_last_changed(database: Database) -> None:
    states = []
    for listings in (ALL, ALL, [replace(APPLE, name="Apple"), MICROSOFT, INDEX]):
        register(database, listings)
        with database.connect() as connection:
            states.append(read_partition_states(connection, "instruments")[UNPARTITIONED])
    assert states == [
        PartitionState(UNPARTITIONED, 3, 1, 1, "v1"),
        PartitionState(UNPARTITIONED, 3, 2, 1, "v1"),
        PartitionState(UNPARTITIONED, 3, 3, 3, "v1"),
    ]


@pytest.mark.parametrize("symbol", ["GOOG", "aapl", "", "' OR true --"])
def test_an_unknown_symbol_is_named(database: Database, symbol: str) -> None:
    register(database, ALL)
    with database.connect() as connection, pytest.raises(NotFoundError) as caught:
        read_instrument(connection, symbol)
    assert repr(symbol) in caught.value.cause


def test_only_the_known_symbols_are_found(database: Database) -> None:
    register(database, ALL)
    with database.connect() as connection:
        assert set(find_instruments(connection, ["MSFT", "GOOG", "AAPL", "AAPL"])) == {"MSFT", "AAPL"}
        assert find_instruments(connection, []) == {}
