"""Rules that look at a bar by itself: missing and impossible numbers, the order of prices, the currency."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pipeline.market_data.rules import Bars, Context
from pipeline.market_data.rules.halt import flag_halt
from pipeline.market_data.rules.not_a_session import flag_not_a_session
from pipeline.market_data.rules.not_positive import flag_not_positive
from pipeline.market_data.rules.ohlc_order import flag_ohlc_order
from pipeline.market_data.rules.unknown_currency import flag_unknown_currency
from tests.unit.market_data.conftest import CONTEXT, LONG, series
from tests.unit.market_data.rules.making import hits, together, traded


def with_value(name: str, value: float, row: int = 1) -> Bars:
    bars = traded([10.0, 10.0, 10.0])
    column = getattr(bars, name).copy()
    column[row] = value
    return replace(bars, **{name: column})


# not_positive ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["open", "high", "low", "close", "close_adjusted"])
def test_no_price_is_zero_negative_or_infinite(name: str, value: float) -> None:
    assert hits(flag_not_positive(with_value(name, value), CONTEXT)) == [1]


@pytest.mark.parametrize("value", [-1.0, math.inf, -math.inf])
def test_a_volume_is_an_amount(value: float) -> None:
    assert hits(flag_not_positive(with_value("volume", value), CONTEXT)) == [1]


def test_a_close_is_owed_and_the_other_numbers_are_not() -> None:
    assert hits(flag_not_positive(with_value("close", math.nan), CONTEXT)) == [1]
    for name in ("open", "high", "low", "volume", "close_adjusted"):
        assert hits(flag_not_positive(with_value(name, math.nan), CONTEXT)) == []
    assert hits(flag_not_positive(with_value("volume", 0.0), CONTEXT)) == []


def test_an_adjusted_close_does_not_stand_in_for_a_missing_one() -> None:
    bars = replace(with_value("close", math.nan), close_adjusted=np.full(3, 9.0))
    assert hits(flag_not_positive(bars, CONTEXT)) == [1]


# ohlc_order ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "flagged"),
    [
        ("high", 9.95, [1]),
        ("low", 10.05, [1]),
        ("open", 10.2, [1]),
        ("open", 9.8, [1]),
        ("close", 10.2, [1]),
        ("close", 9.8, [1]),
        ("high", 10.0, []),
        ("low", 10.0, []),
        ("high", 10.0 - 1e-7, []),
        ("high", math.nan, []),
        ("low", math.nan, []),
        ("open", math.nan, []),
    ],
)
def test_the_range_contains_open_and_close(name: str, value: float, flagged: list[int]) -> None:
    assert hits(flag_ohlc_order(with_value(name, value), CONTEXT)) == flagged


def test_high_and_low_alone_must_be_in_order() -> None:
    nan = np.full(2, math.nan)
    bars = replace(traded([1.0, 1.0]), open=nan, close=nan, high=np.array([2.0, 1.0]), low=np.array([1.0, 2.0]))
    assert hits(flag_ohlc_order(bars, CONTEXT)) == [1]


# unknown_currency ------------------------------------------------------------------------------------------


def test_all_bars_in_an_unknown_currency_are_flagged() -> None:
    bars = together(traded([1.0, 1.0]), traded([1.0, 1.0], "B"), traded([1.0], "C"))
    context = replace(CONTEXT, currencies=frozenset({"USD", "GBP"}), symbol_currencies=("USD", "GBp", ""))
    assert hits(flag_unknown_currency(bars, context)) == [2, 3, 4]


@pytest.mark.parametrize("given", [{"currencies": frozenset({"USD"})}, {"symbol_currencies": ("XXX",)}], ids=str)
def test_without_currencies_none_is_judged(given: dict[str, object]) -> None:
    assert hits(flag_unknown_currency(traded([1.0]), replace(CONTEXT, **given))) == []


# not_a_session and halt ------------------------------------------------------------------------------------


@pytest.mark.parametrize("day", ["NaT", "0001-01-01", "9999-12-31", "2020-01-04"])
def test_no_date_far_away_is_a_session(day: str) -> None:
    assert hits(flag_not_a_session(series([1.0], np.array([day], dtype="datetime64[D]")), CONTEXT)) == [0]


def test_without_a_calendar_no_date_is_a_session() -> None:
    assert flag_not_a_session(traded([1.0, 1.0]), Context(LONG[:0])).all()


def test_a_session_without_trading_is_a_halt() -> None:
    bars = together(traded([1.0] * 3, volume=[5.0, 0.0, math.nan]), traded([1.0] * 2, "INDEX", volume=0.0))
    assert hits(flag_halt(bars, CONTEXT)) == [1]
