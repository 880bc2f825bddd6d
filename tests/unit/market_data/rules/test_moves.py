"""Moves after splits, dividends and the market, and the windows around a row."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.market_data.rules import Bars, Context
from pipeline.market_data.rules.moves import (
    MARKET_INSTRUMENTS,
    PRIOR_SESSIONS,
    PRIOR_SIGMA,
    after,
    before,
    log_moves,
    market_moves,
    moves_of,
    next_of,
    sigma_before,
)
from tests.unit.market_data.conftest import CONTEXT, LONG, bars_of, series
from tests.unit.market_data.rules.making import actions_of, together, traded
from tests.unit.properties import PROPERTY


def test_the_first_bar_of_an_instrument_has_no_move() -> None:
    moves = log_moves(together(traded([1.0, 2.0]), traded([8.0, 4.0], "B")), CONTEXT)
    np.testing.assert_allclose(moves, [np.nan, math.log(2), np.nan, -math.log(2)])


@pytest.mark.parametrize("bars", [bars_of([]), series([3.0])], ids=["none", "one"])
def test_fewer_than_two_bars_have_no_move(bars: Bars) -> None:
    assert np.isnan(log_moves(bars, CONTEXT)).all()


def test_a_split_and_a_dividend_are_no_moves() -> None:
    context = Context(LONG, actions_of((0, LONG[1], 4, 1, 0.0), (0, LONG[2], 1, 1, 1.0), (0, LONG[3], 1, 2, 4.0)))
    moves = log_moves(traded([100.0, 25.0, 24.0, 40.0]), context)
    np.testing.assert_allclose(moves[1:], 0.0, atol=1e-15)


def test_an_action_on_a_day_without_a_bar_counts_on_the_next() -> None:
    bars = traded([100.0, 50.0, 50.0]).take(np.array([0, 2]))
    moves = log_moves(bars, Context(LONG, actions_of((0, LONG[1], 2, 1, 0.0))))
    np.testing.assert_allclose(moves[1:], 0.0)


def test_actions_before_the_first_bar_and_of_others_change_nothing() -> None:
    actions = actions_of((0, LONG[0], 2, 1, 0.0), (0, LONG[9], 2, 1, 0.0), (1, LONG[1], 5, 1, 0.0), symbols=("A", "B"))
    bars = together(traded([10.0, 10.0]), traded([10.0, 2.0], "B"))
    np.testing.assert_allclose(log_moves(bars, Context(LONG, actions)), [np.nan, 0.0, np.nan, 0.0], atol=1e-15)


def test_actions_around_the_span_of_the_bars_change_nothing() -> None:
    """A provider tells all of a history, a load has a few months; only what falls on the days between counts."""
    bars = together(traded([10.0, 5.0], sessions=LONG[10:]), traded([8.0, 8.0, 4.0], "B", sessions=LONG[10:]))
    around = [(index, LONG[day], 7, 1, 3.0) for index in (0, 1) for day in (0, 9, 10, 13, 50)]
    inside = [(0, LONG[11], 2, 1, 0.0), (1, LONG[12], 3, 1, 0.0), (1, LONG[12], 2, 3, 0.0), (0, LONG[12], 9, 1, 1.0)]
    moves = log_moves(bars, Context(LONG, actions_of(*around, *inside, symbols=("A", "B"))))
    np.testing.assert_allclose(moves, [np.nan, 0.0, np.nan, 0.0, 0.0], atol=1e-15)


def test_adjusted_closes_contain_their_actions() -> None:
    moves = log_moves(series([10.0, 10.0]), Context(LONG, actions_of((0, LONG[1], 2, 1, 0.0))))
    assert moves[1] == 0.0


CLOSES = st.lists(st.floats(0.5, 500.0), min_size=2, max_size=12)
ACTIONS = st.lists(
    st.tuples(st.just(0), st.integers(0, 14), st.integers(1, 4), st.integers(1, 4), st.sampled_from([0.0, 0.1])),
    max_size=6,
)


@PROPERTY
@given(CLOSES, ACTIONS)
def test_moves_equal_those_of_a_loop(close: list[float], rows: list[tuple[int, int, int, int, float]]) -> None:
    expected = [math.nan]
    for day in range(1, len(close)):
        today = [row for row in rows if row[1] == day]
        units = math.prod(new / old for _, _, new, old, _ in today)
        cash = sum(row[4] for row in today)
        expected.append(math.log((close[day] * units + cash) / close[day - 1]))
    dated = [(0, LONG[day], new, old, cash) for _, day, new, old, cash in rows]
    context = Context(LONG, actions_of(*dated)) if dated else CONTEXT
    np.testing.assert_allclose(log_moves(traded(close), context), expected, rtol=1e-12, atol=1e-14)


# The market ------------------------------------------------------------------------------------------------


def market_of(count: int, *steps: float) -> tuple[Bars, np.ndarray]:
    close = 100.0 * np.exp(np.cumsum([0.0, *steps]))
    bars = together(*(traded(close, f"S{number:02d}") for number in range(count)))
    return bars, market_moves(bars, log_moves(bars, CONTEXT))


def test_the_market_is_the_mean_of_a_session() -> None:
    bars, market = market_of(MARKET_INSTRUMENTS, 0.1, -0.2)
    for day, expected in enumerate([0.0, 0.1, -0.2]):
        np.testing.assert_allclose(market[bars.sessions == LONG[day]], expected)


def test_fewer_than_ten_instruments_are_no_market() -> None:
    assert not market_of(MARKET_INSTRUMENTS - 1, 0.1, -0.2)[1].any()


def test_a_market_beyond_any_real_day_explains_nothing() -> None:
    assert not market_of(20, 0.405, -0.405)[1].any()


def test_one_wild_instrument_hardly_moves_the_market() -> None:
    every = together(*(traded([100.0, 100.0], f"S{i:02d}") for i in range(19)), traded([1.0, 1000.0], "Z"))
    assert market_moves(every, log_moves(every, CONTEXT)).max() == pytest.approx(0.35 / 20)


# Sharing ---------------------------------------------------------------------------------------------------


def test_known_moves_are_those_of_the_very_bars_that_were_measured() -> None:
    bars = together(*(traded(10.0 * 1.02 ** np.arange(4), f"S{i:02d}") for i in range(12)))
    known = replace(CONTEXT, moves=moves_of(bars, CONTEXT))
    assert moves_of(bars, known) is known.moves
    np.testing.assert_array_equal(known.moves.total, log_moves(bars, CONTEXT))
    np.testing.assert_array_equal(known.moves.market, market_moves(bars, known.moves.total))
    np.testing.assert_allclose(known.moves.own[~bars.is_first], 0.0, atol=1e-15)
    for others in (bars.take(np.arange(len(bars))), bars.take(~bars.is_first)):
        np.testing.assert_array_equal(moves_of(others, known).total, log_moves(others, CONTEXT))


# Windows ---------------------------------------------------------------------------------------------------


def test_windows_stay_within_the_instrument() -> None:
    bars = together(traded([1.0, 2.0, 3.0]), traded([4.0, 5.0, 6.0], "B"))
    rows = np.array([0, 2, 4])
    nan = math.nan
    np.testing.assert_array_equal(before(bars.close, rows, bars, 2), [[nan, nan], [1.0, 2.0], [nan, 4.0]])
    np.testing.assert_array_equal(after(bars.close, rows, bars, 2), [[2.0, 3.0], [nan, nan], [6.0, nan]])
    np.testing.assert_array_equal(next_of(bars.close, bars), [2.0, 3.0, nan, 5.0, 6.0, nan])


def test_windows_are_gathered_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    bars, rows = traded(np.arange(1.0, 301.0)), np.arange(300)
    at_once = sigma_before(bars.close, rows, bars)
    monkeypatch.setattr("pipeline.market_data.rules.moves._BLOCK", 7)
    np.testing.assert_array_equal(sigma_before(bars.close, rows, bars), at_once)
    assert len(sigma_before(bars.close, rows[:0], bars)) == 0


def test_sigma_is_the_root_mean_square_drawn_to_the_prior() -> None:
    moves = np.r_[np.nan, np.full(99, 0.01)]
    bars = traded(np.exp(np.nancumsum(moves)))
    sigma = sigma_before(moves, np.array([0, 1, 11, 99]), bars)
    squares = [(n * 0.01**2 + PRIOR_SESSIONS * PRIOR_SIGMA**2) / (n + PRIOR_SESSIONS) for n in (0, 0, 10, 63)]
    np.testing.assert_allclose(sigma, np.sqrt(squares))
