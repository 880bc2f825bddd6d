"""Backward adjustment: hand-computed examples, an independent loop, and what it leaves unchanged."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.market_data.measures.adjusted_close import adjusted_close
from pipeline.market_data.measures.errors import ActionInputError
from pipeline.market_data.rules import Actions, Bars, Context
from pipeline.market_data.rules.bars import no_actions
from pipeline.market_data.rules.moves import log_moves
from tests.load.universe import UniverseSpec, make_universe
from tests.unit.market_data.conftest import LONG
from tests.unit.market_data.rules.making import actions_of, together, traded
from tests.unit.properties import PROPERTY

BEFORE = LONG[0] - 5


def test_a_dividend_lowers_what_came_before_by_its_share() -> None:
    # 1 on a close of 50: factor 1 - 1/50 = .98
    adjusted = adjusted_close(traded([40.0, 50.0, 49.0]), actions_of((0, LONG[2], 1, 1, 1.0)))
    np.testing.assert_allclose(adjusted, [39.2, 49.0, 49.0], rtol=1e-15)


def test_a_split_divides_what_came_before() -> None:
    # Apple, 28 February 2005: two for one; 88.99 on the 25th, 44.86 on the ex-date
    adjusted = adjusted_close(traded([88.93, 88.99, 44.86]), actions_of((0, LONG[2], 2, 1, 0.0)))
    np.testing.assert_allclose(adjusted, [44.465, 44.495, 44.86], rtol=1e-15)


def test_factors_multiply() -> None:
    # .99 for the first dividend, 1/3 for the split, .95 for the second: earlier bars carry all later ones
    actions = actions_of((0, LONG[3], 1, 1, 2.0), (0, LONG[1], 1, 1, 1.0), (0, LONG[2], 3, 1, 0.0))
    adjusted = adjusted_close(traded([100.0, 120.0, 40.0, 38.0]), actions)
    np.testing.assert_allclose(adjusted, [100 * 0.99 / 3 * 0.95, 120 / 3 * 0.95, 40 * 0.95, 38.0], rtol=1e-14)


def test_a_dividend_on_the_day_of_a_split_is_per_old_unit() -> None:
    for rows in [[(0, LONG[1], 2, 1, 10.0)], [(0, LONG[1], 2, 1, 0.0), (0, LONG[1], 1, 1, 10.0)]]:
        np.testing.assert_allclose(adjusted_close(traded([100.0, 45.0]), actions_of(*rows)), [45.0, 45.0], rtol=1e-15)


def test_dividends_of_one_day_add_up() -> None:
    actions = actions_of((0, LONG[1], 1, 1, 1.0), (0, LONG[1], 1, 1, 4.0))
    np.testing.assert_allclose(adjusted_close(traded([100.0, 95.0]), actions), [95.0, 95.0], rtol=1e-15)


def test_actions_on_days_without_a_bar_count_against_the_last_close() -> None:
    bars = traded([100.0, 1.0, 1.0, 45.0]).take(np.array([0, 3]))
    split_first = actions_of((0, LONG[1], 2, 1, 0.0), (0, LONG[2], 1, 1, 5.0))  # 5 on each of two new units
    np.testing.assert_allclose(adjusted_close(bars, split_first), [45.0, 45.0], rtol=1e-15)
    dividend_first = actions_of((0, LONG[1], 1, 1, 10.0), (0, LONG[2], 2, 1, 0.0))
    np.testing.assert_allclose(adjusted_close(bars, dividend_first), [45.0, 45.0], rtol=1e-15)


@pytest.mark.parametrize("day", [BEFORE, LONG[0], LONG[50]], ids=["before", "first", "later"])
def test_actions_outside_the_bars_change_nothing(day: np.datetime64) -> None:
    bars = traded([100.0, 99.0])
    np.testing.assert_array_equal(adjusted_close(bars, actions_of((0, day, 2, 1, 1.0))), bars.close)


def test_without_actions_closes_are_adjusted() -> None:
    bars = traded([100.0, 99.0])
    adjusted = adjusted_close(bars, no_actions(bars.symbols))
    np.testing.assert_array_equal(adjusted, bars.close)
    assert adjusted is not bars.close
    assert len(adjusted_close(traded([]), actions_of((0, LONG[1], 2, 1, 0.0)))) == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, LONG[1], 1, 1, 100.0)], r"Instrument 0 has a dividend of 100 on a close of 100 on 2020-01-02"),
        ([(0, LONG[1], 1, 1, 60.0), (0, LONG[1], 1, 1, 60.0)], "a dividend of 120 on a close of 100"),
        ([(0, LONG[1], 1, 1, -0.01)], "a dividend that is no amount on 2020-01-02"),
        ([(0, LONG[1], 1, 1, math.nan)], "a dividend that is no amount"),
        ([(0, LONG[1], 1, 1, math.inf)], "a dividend that is no amount"),
        ([(0, LONG[1], 0, 1, 0.0)], "a split ratio that is not positive"),
        ([(0, LONG[1], 1, -2, 0.0)], "a split ratio that is not positive"),
    ],
)
def test_what_cannot_have_happened_is_refused(rows: list[tuple[int, object, int, int, float]], message: str) -> None:
    with pytest.raises(ActionInputError, match=message):
        adjusted_close(traded([100.0, 99.0]), actions_of(*rows))


# Against a loop --------------------------------------------------------------------------------------------


def looped(bars: Bars, actions: Actions) -> list[float]:
    """Each bar by itself: walk over the instrument's later closes and take off what was paid and split between."""
    adjusted = []
    for row in range(len(bars)):
        factor = 1.0
        for later in range(row + 1, len(bars)):
            if bars.symbol_index[later] != bars.symbol_index[row]:
                break
            units, cash = 1.0, 0.0
            for day in sorted(set(actions.ex_sessions.tolist())):
                if not bars.sessions[later - 1].item() < day <= bars.sessions[later].item():
                    continue
                of_day = [
                    at
                    for at in range(len(actions))
                    if actions.ex_sessions[at].item() == day and actions.symbol_index[at] == bars.symbol_index[row]
                ]
                cash += units * sum(actions.dividend[at] for at in of_day)
                for at in of_day:
                    units *= actions.split_numerator[at] / actions.split_denominator[at]
            factor *= (1.0 - cash / bars.close[later - 1]) / units
        adjusted.append(bars.close[row] * factor)
    return adjusted


BARS = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.floats(50.0, 500.0)), min_size=0, max_size=8), min_size=1, max_size=3
)
ACTIONS = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(-2, 20), st.integers(1, 4), st.integers(1, 3), st.sampled_from([0.0, 0.25, 0.5])
    ),
    max_size=8,
)


def instrument(steps: list[tuple[int, float]], name: str) -> Bars:
    """Bars some sessions apart."""
    places = np.cumsum([1 + step for step, _ in steps]).astype(np.int64)
    return traded([close for _, close in steps], name, LONG[places] if len(steps) else LONG)


@PROPERTY
@given(BARS, ACTIONS)
def test_adjusted_closes_equal_those_of_a_loop(
    instruments: list[list[tuple[int, float]]], rows: list[tuple[int, int, int, int, float]]
) -> None:
    bars = together(*(instrument(steps, "ABC"[number]) for number, steps in enumerate(instruments)))
    dated = [(at, LONG[10] + (day - 10), new, old, cash) for at, day, new, old, cash in rows]
    actions = actions_of(*dated, symbols=("A", "B", "C")) if dated else no_actions(("A", "B", "C"))
    np.testing.assert_allclose(adjusted_close(bars, actions), looped(bars, actions), rtol=1e-13)


# A universe ------------------------------------------------------------------------------------------------


def test_ratios_of_adjusted_closes_are_total_returns() -> None:
    """On an ex-date CRSP has C' · split / (C - D), rules (C' · split + D) / C: apart by D / C of the return."""
    universe = make_universe(UniverseSpec(instruments=30, sessions=800, seed=2))
    bars, actions = universe.bars, universe.context.actions
    moves = np.r_[0.0, np.diff(np.log(bars.close_adjusted))]
    moves[bars.is_first] = np.nan
    expected = log_moves(bars, Context(universe.context.sessions, actions))
    np.testing.assert_allclose(moves, expected, atol=0.02)
    is_ex = np.isin(bars.keys, replace(bars, symbol_index=actions.symbol_index, sessions=actions.ex_sessions).keys)
    ordinary = np.isfinite(expected) & (np.abs(moves - expected) < 1e-12)
    assert ordinary[~is_ex & ~bars.is_first].mean() > 0.999  # the rest follow an ex-date without a bar


def test_an_instrument_does_not_depend_on_the_others() -> None:
    universe = make_universe(UniverseSpec(instruments=12, sessions=800, seed=4))
    bars, actions = universe.bars, universe.context.actions
    for index in range(12):
        own = bars.symbol_index == index
        np.testing.assert_array_equal(adjusted_close(bars.take(own), actions), bars.close_adjusted[own])
