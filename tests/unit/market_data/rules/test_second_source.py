"""Two sources: what they dispute, and who is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.market_data.rules import Bars, Context, judge
from pipeline.market_data.rules.second_source import (
    AGREED,
    FIRST_IS_RIGHT,
    OPEN,
    SECOND_IS_RIGHT,
    compare_sources,
    flag_second_source,
    moves_of_second_source,
)
from tests.unit.market_data.conftest import CONTEXT, LONG, flagged_by, series, walk
from tests.unit.market_data.rules.making import actions_of, hits, together, traded

RIGHT = walk(150)


def wrong(factor: float, at: int = 100) -> FloatArray:
    close = RIGHT.copy()
    close[at] *= factor
    return close


def closes_alone(bars: Bars) -> Bars:
    nan = np.full(len(bars), np.nan)
    return replace(bars, open=nan, high=nan, low=nan)


def standing(first: Bars, second: Bars, context: Context = CONTEXT) -> dict[int, int]:
    compared = compare_sources(first, second, context)
    return {int(compared.rows[at]): int(compared.standing[at]) for at in np.flatnonzero(compared.disputed)}


@pytest.mark.parametrize("factor", [1.01, 0.99, 1.006, 0.994])
@pytest.mark.parametrize("at", [1, 100, 149])
def test_a_small_difference_is_disputed_on_its_own_bar_and_stays_open(factor: float, at: int) -> None:
    first, second = traded(wrong(factor, at)), closes_alone(traded(RIGHT))
    assert standing(first, second) == {at: OPEN}
    assert standing(closes_alone(second), closes_alone(first)) == {at: OPEN}


@pytest.mark.parametrize("factor", [1.004, 0.996, 1.0])
def test_differences_of_tapes_are_not_disputed(factor: float) -> None:
    compared = compare_sources(traded(wrong(factor)), traded(RIGHT), CONTEXT)
    assert set(compared.standing.tolist()) == {AGREED}


def test_a_wrong_first_bar_shows_on_the_second() -> None:
    assert list(standing(traded(wrong(1.01, 0)), traded(RIGHT))) == [1]


@pytest.mark.parametrize("factor", [1.5, 0.6])
def test_a_source_that_jumps_and_comes_back_alone_is_wrong(factor: float) -> None:
    spoilt, right = traded(wrong(factor)), traded(RIGHT)
    assert standing(spoilt, right) == {100: SECOND_IS_RIGHT}
    assert standing(right, spoilt) == {100: FIRST_IS_RIGHT}


def test_a_close_outside_its_own_range_is_wrong() -> None:
    second = replace(traded(RIGHT), close=wrong(1.02))
    assert standing(traded(RIGHT), second) == {100: FIRST_IS_RIGHT}


def test_a_dispute_that_the_first_source_wins_is_accepted() -> None:
    right, spoilt = traded(RIGHT), traded(wrong(1.5))
    assert hits(flag_second_source(right, replace(CONTEXT, second_source=spoilt))) == []
    assert hits(flag_second_source(spoilt, replace(CONTEXT, second_source=right))) == [100]
    assert hits(flag_second_source(traded(wrong(1.01)), replace(CONTEXT, second_source=right))) == [100]


def test_a_missing_bar_is_bridged() -> None:
    second = traded(RIGHT).take(np.r_[0:100, 101:150])
    assert standing(traded(RIGHT), second) == {}
    assert standing(traded(wrong(1.01, 101)), second) == {101: OPEN}


def test_total_returns_are_compared() -> None:
    """A source of closes as traded, with its split and dividend, and one of adjusted closes."""
    as_traded = RIGHT.copy()
    as_traded[100:] /= 2
    as_traded[120:] *= 0.98
    dividend = as_traded[119] * 0.02
    context = replace(CONTEXT, actions=actions_of((0, LONG[100], 2, 1, 0.0), (0, LONG[120], 1, 1, dividend)))
    assert standing(traded(as_traded), series(RIGHT), context) == {}
    assert list(standing(traded(as_traded), series(RIGHT))) == [100, 120]


def test_each_source_has_its_own_actions() -> None:
    paid = RIGHT * np.r_[np.ones(100), np.full(50, 0.98)]
    dividend = actions_of((0, LONG[100], 1, 1, 0.02 * RIGHT[99]))
    other = replace(dividend, symbols=("X", "A"), symbol_index=np.array([1]))
    context = replace(CONTEXT, second_actions=other)
    assert list(standing(traded(paid), traded(paid), context)) == [100]
    assert standing(traded(paid), traded(paid), replace(context, actions=dividend)) == {}


def test_symbols_are_matched_by_name_in_any_order() -> None:
    first = together(traded(RIGHT), traded(walk(150, 9), "B"), traded(walk(150, 8), "C"))
    second = together(traded(walk(150, 7), "Z"), traded(walk(150, 9), "B"), traded(wrong(1.01)))
    context = replace(CONTEXT, second_source=second.take(np.random.default_rng(1).permutation(len(second))))
    assert hits(flag_second_source(first, context)) == [100]


@pytest.mark.parametrize("second", [None, traded([]), traded(RIGHT, "Q")], ids=["none", "empty", "another"])
def test_without_a_common_symbol_nothing_is_disputed(second: Bars | None) -> None:
    context = replace(CONTEXT, second_source=second)
    assert hits(flag_second_source(traded(wrong(1.5)), context)) == []
    assert np.isnan(moves_of_second_source(traded(RIGHT), np.array([0, 5]), context)).all()


def test_prices_that_are_none_are_no_second_opinion() -> None:
    other = wrong(0.0, 50)
    other[60] = np.nan
    assert standing(traded(RIGHT), traded(other)) == {}


def test_repeats_of_the_second_source_count_once() -> None:
    second = traded(RIGHT).take(np.r_[0:150, 100])
    assert hits(flag_second_source(traded(wrong(1.01)), replace(CONTEXT, second_source=second))) == [100]


def test_its_moves_are_known_where_it_has_both_bars() -> None:
    second = traded(RIGHT).take(np.r_[0:50, 51:150])
    moves = moves_of_second_source(traded(RIGHT), np.array([0, 10, 50, 51]), replace(CONTEXT, second_source=second))
    np.testing.assert_allclose(moves, [np.nan, np.log(RIGHT[10] / RIGHT[9]), np.nan, np.nan])


def test_a_flash_crash_that_both_sources_saw_is_accepted() -> None:
    bars = traded(wrong(0.7))
    assert flagged_by("spike", judge(bars, CONTEXT)) == [f"A {LONG[100]}"]
    assert judge(bars, replace(CONTEXT, second_source=bars)).accepted.all()
