"""Prices that were sent again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.market_data.rules import Bars
from pipeline.market_data.rules.stale_with_volume import FLAT_REPEATS, flag_stale_with_volume
from tests.unit.market_data.conftest import CONTEXT
from tests.unit.market_data.rules.making import hits, together, traded
from tests.unit.properties import PROPERTY


def flat(bars: Bars) -> Bars:
    """The bars without a day's range."""
    return replace(bars, open=bars.close, high=bars.close, low=bars.close)


def closes_alone(bars: Bars) -> Bars:
    nan = np.full(len(bars), np.nan)
    return replace(bars, open=nan, high=nan, low=nan)


def test_a_range_that_repeats_with_volume_is_stale() -> None:
    assert hits(flag_stale_with_volume(traded([10.0, 11.0, 11.0, 11.0, 12.0]), CONTEXT)) == [2, 3]


@pytest.mark.parametrize("volume", [0.0, np.nan])
def test_without_trading_a_price_stays(volume: float) -> None:
    bars = traded([10.0, 11.0, 11.0, 12.0], volume=[1.0, 1.0, volume, 1.0])
    assert hits(flag_stale_with_volume(bars, CONTEXT)) == []


@pytest.mark.parametrize("name", ["open", "high", "low"])
def test_an_equal_close_in_another_range_is_new(name: str) -> None:
    bars = traded([10.0, 11.0, 11.0])
    column = getattr(bars, name).copy()
    column[2] *= 1.001 if name == "high" else 0.999
    assert hits(flag_stale_with_volume(replace(bars, **{name: column}), CONTEXT)) == []


@pytest.mark.parametrize("form", [flat, closes_alone])
def test_a_flat_price_is_stale_from_the_fifth_repeat_on(form: object) -> None:
    bars = form(traded([9.0, *[10.0] * (FLAT_REPEATS + 2), 11.0]))  # type: ignore[operator]
    assert hits(flag_stale_with_volume(bars, CONTEXT)) == [FLAT_REPEATS + 1, FLAT_REPEATS + 2]


def test_instruments_do_not_repeat_each_other() -> None:
    assert hits(flag_stale_with_volume(together(traded([10.0]), traded([10.0], "B")), CONTEXT)) == []


@PROPERTY
@given(
    st.lists(st.tuples(st.sampled_from([1.0, 2.0]), st.sampled_from([0.0, 5.0, np.nan]), st.booleans()), max_size=25)
)
def test_stale_bars_are_those_of_a_loop(rows: list[tuple[float, float, bool]]) -> None:
    close = np.array([row[0] for row in rows])
    has_range = np.array([row[2] for row in rows], dtype=bool)
    bars = traded(close, volume=np.array([row[1] for row in rows]))
    bars = replace(bars, high=np.where(has_range, 1.01, 1.0) * close, low=np.where(has_range, 0.99, 1.0) * close)
    expected, repeats = [], 0
    for row in range(1, len(rows)):
        repeats = repeats + 1 if (rows[row][0], rows[row][2]) == (rows[row - 1][0], rows[row - 1][2]) else 0
        if repeats and rows[row][1] > 0 and (rows[row][2] or repeats >= FLAT_REPEATS):
            expected.append(row)
    assert hits(flag_stale_with_volume(bars, CONTEXT)) == expected
