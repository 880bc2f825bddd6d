"""A vendor with bars as traded: splits and dividends, a second source, symbols without an answer, repeats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pytest
from pydantic import Field

from pipeline.base.types import MonthRange
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.providers import FetchRequest, FetchResult, Payload, PayloadRefusedError
from pipeline.market_data.providers.bundled import BundledProvider
from pipeline.market_data.rules import Actions, Bars
from pipeline.market_data.rules.bars import no_actions
from pipeline.store.instruments import read_instruments
from pipeline.store.prices import read_bars, read_price_panel
from pipeline.store.reading import Window
from pipeline.store.writing import open_write
from tests.integration.orchestration.conftest import AUTUMN, Platform

SPLIT_DAY, DIVIDEND_DAY = np.datetime64("2022-11-15"), np.datetime64("2022-12-01")
DIVIDEND = 3.0


@dataclass
class Vendor(BundledProvider):
    """The bundled closes as if they had been traded, with a split of AAPL and a dividend of MSFT.

    Parameters
    ----------
    without
        Symbols that it does not answer for.
    disturbed
        Symbol and day → factor on the close.
    """

    without: tuple[str, ...] = ()
    disturbed: tuple[tuple[str, str, float], ...] = ()
    with_actions: bool = True

    def fetch(self, request: FetchRequest) -> FetchResult:
        answer = super().fetch(request)
        if answer.bars is None:
            return answer
        bars = answer.bars
        kept = ~np.isin(bars.symbol_index, [bars.symbols.index(symbol) for symbol in self.without])
        bars = self._traded(bars.take(kept))
        return replace(
            answer,
            bars=bars,
            actions=self._actions(bars.symbols) if self.with_actions else None,
            payloads=(Payload("everything", "application/json", b"{}"),),
            missing=dict.fromkeys(self.without, "404 Not Found"),
        )

    def _traded(self, bars: Bars) -> Bars:
        close = bars.close_adjusted.copy()
        apple, microsoft = (bars.symbol_index == bars.symbols.index(symbol) for symbol in ("AAPL", "MSFT"))
        if self.with_actions:
            close[apple & (bars.sessions < SPLIT_DAY)] *= 2.0
            close[microsoft & (bars.sessions < DIVIDEND_DAY)] += DIVIDEND
        for symbol, day, factor in self.disturbed:
            close[(bars.symbol_index == bars.symbols.index(symbol)) & (bars.sessions == np.datetime64(day))] *= factor
        unknown = np.full(len(close), np.nan)
        return Bars(
            bars.symbols,
            bars.symbol_index,
            bars.sessions,
            close,
            close,
            close,
            close,
            np.full(len(close), 1e6),
            unknown,
        )

    @staticmethod
    def _actions(symbols: tuple[str, ...]) -> Actions:
        return Actions(
            symbols,
            np.array([symbols.index("AAPL"), symbols.index("MSFT")]),
            np.array([SPLIT_DAY, DIVIDEND_DAY]),
            np.array([2, 1]),
            np.array([1, 1]),
            np.array([0.0, DIVIDEND]),
        )


class VendorResource(ProviderResource):
    """A provider resource whose provider is made by a test."""

    without: list[str] = Field(default_factory=list)
    disturbed: list[list[str]] = Field(default_factory=list)
    with_actions: bool = True

    @property
    def provider(self) -> Vendor:
        disturbed = tuple((symbol, day, float(factor)) for symbol, day, factor in self.disturbed)
        return Vendor(tuple(self.without), disturbed, self.with_actions)


def load(platform: Platform, months: MonthRange = AUTUMN, **resources: ProviderResource) -> object:
    resources = {"provider": VendorResource(name="bundled"), **resources}
    return platform.materialize("market_data", ["prices"], months, **resources)


@pytest.fixture
def listed(platform: Platform) -> Platform:
    platform.materialize("market_data", ["instruments"])
    return platform


def test_adjusted_closes_follow_from_bars_and_actions(listed: Platform) -> None:
    load(listed)
    actions = listed.rows(
        "SELECT symbol, ex_session::text, split_numerator, split_denominator, dividend FROM corporate_action"
        " JOIN instrument ON id = instrument_id ORDER BY 1"
    )
    assert actions == [("AAPL", "2022-11-15", 2, 1, 0.0), ("MSFT", "2022-12-01", 1, 1, DIVIDEND)]
    with listed.database.connect() as connection:
        ids = {i.symbol: i.id for i in read_instruments(connection)}
        panel = read_price_panel(connection, list(ids.values()), AUTUMN.first, AUTUMN.end)
        traded = {str(bar.session): bar for bar in read_bars(connection, ids["MSFT"], Window())}
    plain = BundledProvider().fetch(FetchRequest("bars", ("AAPL", "MSFT"), AUTUMN.first, date(2022, 12, 31))).bars
    apple = plain.close_adjusted[plain.symbol_index == plain.symbols.index("AAPL")]
    held = panel.column(ids["AAPL"])
    np.testing.assert_allclose(held / held[0], apple / apple[0], rtol=1e-14)
    before = traded["2022-11-30"]
    assert before.close_adjusted == pytest.approx(before.close * (1 - DIVIDEND / before.close), rel=1e-14)
    assert traded["2022-12-01"].close_adjusted == traded["2022-12-01"].close


def test_a_split_without_its_action_waits_in_quarantine(listed: Platform) -> None:
    class Silent(VendorResource):
        @property
        def provider(self) -> Vendor:
            vendor = Vendor()
            vendor._actions = no_actions
            return vendor

    load(listed, provider=Silent(name="bundled"))
    held = listed.rows("SELECT DISTINCT symbol, rule FROM quarantine WHERE rule = 'suspected_split'")
    assert ("AAPL", "suspected_split") in held


def test_a_second_source_finds_a_small_error_and_is_kept(listed: Platform) -> None:
    first = VendorResource(name="bundled", disturbed=[["JNJ", "2022-11-22", "1.02"]])
    result = load(listed, provider=first, second_provider=VendorResource(name="bundled"))
    check = next(c for c in result.get_asset_check_evaluations() if c.check_name == "second_source")
    assert not check.passed
    assert "JNJ 2022-11-22" in check.metadata["samples"].value
    assert listed.rows("SELECT symbol, session::text FROM quarantine WHERE rule = 'second_source'") == [
        ("JNJ", "2022-11-22")
    ]
    assert listed.rows("SELECT count(*) FROM second_price") == [(61 * 26,)]


def test_what_a_vendor_no_longer_answers_stays(listed: Platform) -> None:
    load(listed)
    before = listed.rows("SELECT * FROM price ORDER BY 1, 2")
    result = load(listed, provider=VendorResource(name="bundled", without=["GE", "KO"]))
    assert listed.rows("SELECT * FROM price ORDER BY 1, 2") == before
    check = next(c for c in result.get_asset_check_evaluations() if c.check_name == "symbols_answered")
    assert not check.passed
    assert check.metadata["missing"].value == ["GE: 404 Not Found", "KO: 404 Not Found"]
    assert listed.rows("SELECT count(*) FROM price_history") == [(0,)]


def test_yesterday_sent_again_is_refused_whole(listed: Platform) -> None:
    class Stuck(Vendor):
        def fetch(self, request: FetchRequest) -> FetchResult:
            answer = super().fetch(request)
            newest = answer.bars.sessions.max()
            kept = answer.bars.sessions < newest
            again = answer.bars.sessions == answer.bars.sessions[kept].max()
            repeated = answer.bars.take(again)
            repeated = replace(repeated, sessions=np.full(len(repeated), newest))
            old = answer.bars.take(kept)
            columns = {
                name: np.concatenate([getattr(old, name), getattr(repeated, name)])
                for name in ("symbol_index", "sessions", "open", "high", "low", "close", "volume", "close_adjusted")
            }
            return replace(answer, bars=Bars(old.symbols, **columns))

    class StuckResource(VendorResource):
        @property
        def provider(self) -> Vendor:
            return Stuck()

    with pytest.raises(PayloadRefusedError, match="sent the session before again") as refused:
        load(listed, provider=StuckResource(name="bundled"))
    assert refused.value.rule == "mostly_unchanged"
    assert listed.rows("SELECT provider, name, rule FROM payload_refusal") == [
        ("bundled", "everything", "mostly_unchanged")
    ]
    assert listed.rows("SELECT count(*) FROM price") == [(0,)]


def test_an_unknown_currency_is_refused(listed: Platform) -> None:
    listed.materialize("market_data", ["fx_rates"], AUTUMN)
    with open_write(listed.database, "instruments", "run", "v1") as write:
        write.connection.execute("UPDATE instrument SET currency = 'GBX' WHERE symbol = 'PG'")
    load(listed)
    assert listed.rows("SELECT DISTINCT symbol, rule FROM quarantine") == [("PG", "unknown_currency")]


def test_payloads_are_kept(listed: Platform) -> None:
    load(listed)
    load(listed)
    assert listed.rows("SELECT name, first_materialization_id < last_materialization_id FROM raw_payload") == [
        ("everything", True)
    ]


@pytest.mark.parametrize("month", [date(2022, 11, 1), date(2022, 12, 1)])
def test_a_month_alone_gives_what_the_range_gives(listed: Platform, month: date) -> None:
    load(listed)
    everything = listed.rows("SELECT instrument_id, session, close, close_adjusted FROM price ORDER BY 1, 2")
    factors = listed.rows("SELECT instrument_id, ex_session, factor FROM corporate_action ORDER BY 1")
    load(listed, MonthRange(month, month))
    assert listed.rows("SELECT instrument_id, session, close, close_adjusted FROM price ORDER BY 1, 2") == everything
    assert listed.rows("SELECT instrument_id, ex_session, factor FROM corporate_action ORDER BY 1") == factors
    assert listed.rows("SELECT count(*) FROM price_history") == [(0,)]


def test_actions_of_a_symbol_without_an_answer_stay(listed: Platform) -> None:
    load(listed)
    before = listed.rows("SELECT * FROM corporate_action ORDER BY 1, 2")
    load(listed, provider=VendorResource(name="bundled", without=["AAPL"]))
    assert listed.rows("SELECT * FROM corporate_action ORDER BY 1, 2") == before


def test_a_late_action_makes_its_month_new_for_readers(listed: Platform) -> None:
    load(listed, provider=VendorResource(name="bundled", with_actions=False))
    before = dict(listed.rows("SELECT month, changed_by FROM asset_partition WHERE asset = 'prices'"))

    class Late(VendorResource):
        @property
        def provider(self) -> Vendor:
            return LateVendor(with_actions=False)

    class LateVendor(Vendor):
        def fetch(self, request: FetchRequest) -> FetchResult:
            answer = super().fetch(request)
            return replace(answer, actions=self._actions(answer.bars.symbols))

    load(listed, provider=Late(name="bundled"))
    after = dict(listed.rows("SELECT month, changed_by FROM asset_partition WHERE asset = 'prices'"))
    changed = {month for month in after if after[month] != before[month]}
    # The price halves nowhere, so the split only looks wrong; what counts is that readers are told.
    assert {date(2022, 11, 1), date(2022, 12, 1)} <= changed


def test_closes_that_are_adjusted_already_are_not_adjusted_again(listed: Platform) -> None:
    class Adjusted(VendorResource):
        @property
        def provider(self) -> BundledProvider:
            return AdjustedVendor()

    class AdjustedVendor(BundledProvider):
        def fetch(self, request: FetchRequest) -> FetchResult:
            answer = super().fetch(request)
            return replace(answer, actions=Vendor._actions(answer.bars.symbols))

    load(listed, provider=Adjusted(name="bundled"))
    assert {row[0] for row in listed.rows("SELECT factor FROM corporate_action")} == {1.0}


def test_pence_are_read_as_pounds(listed: Platform) -> None:
    load(listed)
    with listed.database.connect() as connection:
        ids = {i.symbol: i.id for i in read_instruments(connection)}
        plain = read_price_panel(connection, list(ids.values()), AUTUMN.first, AUTUMN.end)
        bar = read_bars(connection, ids["PG"], Window(limit=1))[0]
        connection.execute("UPDATE instrument SET price_scale = 0.01 WHERE symbol = 'PG'")
        scaled = read_price_panel(connection, list(ids.values()), AUTUMN.first, AUTUMN.end)
        scaled_bar = read_bars(connection, ids["PG"], Window(limit=1))[0]
    np.testing.assert_allclose(scaled.column(ids["PG"]), plain.column(ids["PG"]) * 0.01)
    np.testing.assert_array_equal(scaled.column(ids["KO"]), plain.column(ids["KO"]))
    assert scaled_bar.close == pytest.approx(bar.close * 0.01)
    assert scaled_bar.volume == bar.volume


def test_each_exchange_has_its_own_sessions(listed: Platform) -> None:
    """New York was closed on Thanksgiving; London traded, and was closed on 19 September, where New York traded."""
    listed.rows("UPDATE instrument SET exchange = 'XLON' WHERE symbol = 'KO' RETURNING 1")

    class London(VendorResource):
        @property
        def provider(self) -> Vendor:
            return LondonVendor()

    class LondonVendor(Vendor):
        def fetch(self, request: FetchRequest) -> FetchResult:
            answer = super().fetch(request)
            bars = answer.bars
            of_coke = bars.symbol_index == bars.symbols.index("KO")
            sessions = bars.sessions.copy()
            sessions[of_coke & (sessions == np.datetime64("2022-11-23"))] = np.datetime64("2022-11-24")
            return replace(answer, bars=replace(bars, sessions=sessions))

    load(listed, provider=London(name="bundled"))
    stored = "SELECT count(*) FROM price JOIN instrument ON id = instrument_id WHERE symbol = 'KO'"
    assert listed.rows(f"{stored} AND session = '2022-11-24'") == [(1,)]
    assert listed.rows("SELECT DISTINCT symbol FROM quarantine WHERE rule = 'not_a_session'") in ([("KO",)], [])
