"""Loads of symbols that have changed hands: each bar goes to who had the symbol, and what is stored stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from pydantic import Field

from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.providers import FetchRequest, FetchResult
from pipeline.market_data.rules import Bars
from pipeline.store.instruments import read_instrument
from pipeline.store.symbol_changes import rename_instrument, retire_instrument
from tests.integration.orchestration.conftest import AUTUMN, Platform
from tests.integration.orchestration.test_traded_bars import Vendor

LAST, NEXT = date(2022, 11, 14), date(2022, 11, 15)
RULES_APART = 40.0
"""Another company's price: as the same series it would be refused as a large move."""


class Exchange(Vendor):
    """The bundled bars as traded, but that GE was given to another company, or is told of by another symbol.

    Parameters
    ----------
    told
        What the vendor says of GE: ``old`` sessions, ``new`` ones at another level, ``both``, or its whole history by
        the symbol ``GEV`` alone (``renamed``) or by both (``twice``).
    """

    def __init__(self, told: str) -> None:
        super().__init__()
        self.told = told

    def fetch(self, request: FetchRequest) -> FetchResult:
        answer = super().fetch(replace(request, symbols=()))
        bars = answer.bars
        position = bars.symbols.index("GE")
        own, is_new = bars.symbol_index == position, bars.sessions > np.datetime64(LAST)
        if self.told in ("renamed", "twice"):
            return self._by_two_symbols(answer, own)
        close = np.where(own & is_new, bars.close * RULES_APART, bars.close)
        bars = replace(bars, open=close, high=close, low=close, close=close)
        kept = ~own | {"old": ~is_new, "new": is_new, "both": np.ones(len(own), dtype=bool)}[self.told]
        return replace(answer, bars=bars.take(kept))

    def _by_two_symbols(self, answer: FetchResult, own: np.ndarray) -> FetchResult:
        bars, symbols = answer.bars, (*answer.bars.symbols, "GEV")
        other = replace(bars.take(own), symbols=symbols)
        other = replace(other, symbol_index=np.full(len(other), len(symbols) - 1))
        kept = replace(bars.take(~own if self.told == "renamed" else np.ones(len(own), dtype=bool)), symbols=symbols)
        names = ("symbol_index", "sessions", "open", "high", "low", "close", "volume", "close_adjusted")
        joined = Bars(symbols, *(np.concatenate([getattr(kept, n), getattr(other, n)]) for n in names))
        return replace(answer, bars=joined, actions=replace(answer.actions, symbols=symbols))


class ExchangeResource(ProviderResource):
    """A provider resource with such a vendor."""

    told: str = Field(default="both")

    @property
    def provider(self) -> Exchange:
        return Exchange(self.told)


def load(platform: Platform, told: str) -> None:
    platform.materialize("market_data", ["prices"], AUTUMN, provider=ExchangeResource(name="bundled", told=told))


def instrument_id(platform: Platform, reference: str) -> int:
    with platform.database.connect() as connection:
        return read_instrument(connection, reference).id


def sessions_of(platform: Platform, number: int) -> tuple[str, str, int]:
    [row] = platform.rows(
        f"SELECT min(session)::text, max(session)::text, count(*) FROM price WHERE instrument_id = {number}"
    )
    return row


def rows_of(platform: Platform, number: int) -> dict[str, list[tuple]]:
    return {
        table: platform.rows(f"SELECT * FROM {table} WHERE instrument_id = {number} ORDER BY 1, 2")
        for table in ("price", "price_history", "corporate_action", "instrument_risk", "volatility_forecast")
    }


@pytest.fixture
def listed(platform: Platform) -> Platform:
    platform.materialize("market_data", ["instruments"])
    return platform


@pytest.fixture
def reused(listed: Platform) -> Platform:
    """GE with its bars until it was retired, its results, and a new instrument by that symbol."""
    load(listed, "old")
    listed.materialize("risk", ["instrument_risk"], AUTUMN)
    retire_instrument(listed.database, "GE", LAST)
    listed.materialize("market_data", ["instruments"])
    return listed


def test_a_load_across_the_boundary_fills_both_instruments(listed: Platform) -> None:
    retire_instrument(listed.database, "GE", LAST)
    listed.materialize("market_data", ["instruments"])
    load(listed, "both")
    old, new = instrument_id(listed, f"GE@{LAST}"), instrument_id(listed, "GE")
    assert old != new
    assert sessions_of(listed, old) == ("2022-10-03", str(LAST), 31)
    assert sessions_of(listed, new) == (str(NEXT), "2022-12-28", 30)
    assert listed.rows("SELECT session, rule FROM quarantine WHERE symbol = 'GE'") == []
    [(level,)] = listed.rows(
        f"SELECT n.close / o.close FROM price o, price n WHERE o.instrument_id = {old} AND o.session = '{LAST}'"
        f" AND n.instrument_id = {new} AND n.session = '{NEXT}'"
    )
    assert level == pytest.approx(RULES_APART, rel=0.1)


def test_a_symbol_that_is_still_listed_is_a_new_instrument_only_once_it_has_bars(listed: Platform) -> None:
    load(listed, "old")
    retire_instrument(listed.database, "GE", LAST)
    numbers = "SELECT i.id FROM instrument_symbol JOIN instrument AS i ON i.id = instrument_id WHERE i.symbol = 'GE'"
    before = listed.rows(numbers)
    run = listed.materialize("market_data", ["instruments"], provider=ExchangeResource(name="bundled", told="old"))
    assert listed.rows(numbers) == before
    [event] = run.asset_materializations_for_node("instruments")
    assert event.metadata["still_listed"].value == "GE"
    run = listed.materialize("market_data", ["instruments"], provider=ExchangeResource(name="bundled", told="new"))
    assert len(listed.rows(numbers)) == len(before) + 1
    [event] = run.asset_materializations_for_node("instruments")
    assert "still_listed" not in event.metadata


@pytest.mark.parametrize("told", ["new", "both"])
def test_the_rows_of_a_retired_instrument_stay_byte_for_byte(reused: Platform, told: str) -> None:
    old, new = instrument_id(reused, f"GE@{LAST}"), instrument_id(reused, "GE")
    before = rows_of(reused, old)
    assert len(before["price"]) == 31
    assert before["instrument_risk"]
    for _ in range(2):
        load(reused, told)
        reused.materialize("risk", ["instrument_risk"], AUTUMN)
    assert rows_of(reused, old) == before
    assert sessions_of(reused, new)[0] == str(NEXT)
    fetched, kept = reused.rows(
        "SELECT fetched, inserted + revised + unchanged + quarantined FROM ingest_run ORDER BY 1 DESC LIMIT 1"
    )[0]
    assert fetched == kept


def test_the_second_load_writes_nothing(reused: Platform) -> None:
    load(reused, "new")
    load(reused, "new")
    newest = "SELECT inserted, revised, deleted FROM ingest_run ORDER BY materialization_id DESC LIMIT 1"
    assert reused.rows(newest) == [(0, 0, 0)]


def test_a_renamed_instrument_takes_its_history_by_the_new_symbol(listed: Platform) -> None:
    number = instrument_id(listed, "GE")
    load(listed, "old")
    before = sessions_of(listed, number)
    rename_instrument(listed.database, "GE", "GEV", NEXT)
    load(listed, "renamed")
    assert instrument_id(listed, "GEV") == number
    assert sessions_of(listed, number) == (before[0], "2022-12-28", 61)
    assert listed.rows("SELECT count(*) FROM price_history") == [(0,)]


def test_what_is_told_by_both_symbols_is_stored_once(listed: Platform) -> None:
    number = instrument_id(listed, "GE")
    rename_instrument(listed.database, "GE", "GEV", NEXT)
    load(listed, "twice")
    assert sessions_of(listed, number) == ("2022-10-03", "2022-12-28", 61)


def test_the_earlier_sessions_of_a_renamed_instrument_stay_without_an_answer(listed: Platform) -> None:
    number = instrument_id(listed, "GE")
    load(listed, "old")
    before = rows_of(listed, number)["price"]
    rename_instrument(listed.database, "GE", "GEV", NEXT)
    listed.materialize("market_data", ["instruments"])  # the vendor lists GE still: another company from here
    load(listed, "new")
    assert rows_of(listed, number)["price"] == before
    assert sessions_of(listed, instrument_id(listed, "GE"))[0] == str(NEXT)
