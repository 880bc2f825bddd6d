"""Each rule on hand-made bars: what it flags, what it lets pass, and the edges between."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.base.types import BoolArray
from pipeline.market_data.rules import Bars
from pipeline.market_data.rules.conflicting_duplicate import flag_conflicting_duplicate
from pipeline.market_data.rules.gap import flag_gap
from pipeline.market_data.rules.large_move import flag_large_move
from pipeline.market_data.rules.not_a_session import flag_not_a_session
from pipeline.market_data.rules.not_positive import flag_not_positive
from tests.unit.market_data.conftest import CONTEXT, SUNDAY, WEEK, bars_of, series


def positions(mask: BoolArray) -> list[int]:
    return np.flatnonzero(mask).tolist()


# Bars ------------------------------------------------------------------------------------------------------


def test_sorting_goes_by_instrument_date_and_close() -> None:
    bars = bars_of([("B", WEEK[0], 5.0), ("A", WEEK[1], 2.0), ("A", WEEK[0], 3.0), ("A", WEEK[0], 1.0)]).sorted()
    assert bars.close_adjusted.tolist() == [1.0, 3.0, 2.0, 5.0]
    assert positions(bars.is_first) == [0, 3]
    assert positions(bars.is_repeat) == [1]


def test_a_date_that_two_instruments_share_is_no_repeat() -> None:
    bars = bars_of([("A", WEEK[0], 1.0), ("B", WEEK[0], 1.0)]).sorted()
    assert positions(bars.is_repeat) == []


def test_no_bars_have_no_first_one() -> None:
    assert len(bars_of([]).is_first) == len(bars_of([]).is_repeat) == 0


# not_positive ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("close", [0.0, -0.0, -1e-9, -5.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("position", [0, 2, 4])
def test_a_close_that_is_no_positive_number_is_flagged(close: float, position: int) -> None:
    values = [10.0] * 5
    values[position] = close
    assert positions(flag_not_positive(series(values, WEEK), CONTEXT)) == [position]


@pytest.mark.parametrize("close", [5e-324, 1e-6, 1.0, 1e300])
def test_any_positive_number_is_a_close(close: float) -> None:
    assert not flag_not_positive(series([close], WEEK), CONTEXT).any()


# not_a_session ---------------------------------------------------------------------------------------------


def test_dates_on_which_the_exchange_was_closed_are_flagged() -> None:
    before, after = CONTEXT.sessions[0] - 1, CONTEXT.sessions[-1] + 1
    bars = bars_of([("A", day, 1.0) for day in (before, CONTEXT.sessions[0], SUNDAY, CONTEXT.sessions[-1], after)])
    assert positions(flag_not_a_session(bars, CONTEXT)) == [0, 2, 4]


# gap -------------------------------------------------------------------------------------------------------


def test_the_bar_after_a_missing_session_is_flagged() -> None:
    bars = bars_of([("A", WEEK[day], 1.0) for day in (0, 1, 3, 4)])
    assert positions(flag_gap(bars, CONTEXT)) == [2]


def test_a_weekend_is_no_gap() -> None:
    assert not flag_gap(bars_of([("A", "2022-05-06", 1.0), ("A", "2022-05-09", 1.0)]), CONTEXT).any()


def test_an_instrument_may_begin_late_and_end_early() -> None:
    bars = bars_of([("A", WEEK[0], 1.0), ("A", WEEK[1], 1.0), ("B", WEEK[4], 1.0), ("C", WEEK[0], 1.0)])
    assert not flag_gap(bars, CONTEXT).any()


# large_move ------------------------------------------------------------------------------------------------


def test_moves_of_more_than_a_quarter_are_flagged_in_both_directions() -> None:
    assert positions(flag_large_move(series([100.0, 125.1, 93.8, 93.8], WEEK), CONTEXT)) == [1, 2]


@pytest.mark.parametrize("close", [125.0, 75.0])
def test_a_move_of_exactly_a_quarter_is_not_flagged(close: float) -> None:
    assert not flag_large_move(series([100.0, close], WEEK), CONTEXT).any()
    further = np.nextafter(close, 1e9 if close > 100 else 0) + (1e-9 if close > 100 else -1e-9)
    assert flag_large_move(series([100.0, further], WEEK), CONTEXT).any()


def test_the_first_bar_of_an_instrument_is_not_compared_with_another_instrument() -> None:
    bars = bars_of([("A", WEEK[0], 1.0), ("A", WEEK[1], 1.0), ("B", WEEK[0], 500.0), ("B", WEEK[1], 500.0)])
    assert not flag_large_move(bars, CONTEXT).any()


# conflicting_duplicate -------------------------------------------------------------------------------------


def duplicates(*closes: float) -> Bars:
    """Several closes on one session, between a session before and one after."""
    return bars_of([("A", WEEK[0], 10.0), *(("A", WEEK[1], close) for close in closes), ("A", WEEK[2], 10.0)])


@pytest.mark.parametrize(
    "closes",
    [(10.0, 11.0), (11.0, 10.0), (10.0, 10.0, 11.0), (11.0, 10.0, 10.0), (10.0, 11.0, 10.0), (10.0, math.nan)],
    ids=str,
)
def test_every_bar_of_a_contradiction_is_flagged(closes: tuple[float, ...]) -> None:
    flagged = flag_conflicting_duplicate(duplicates(*closes), CONTEXT)
    assert positions(flagged) == list(range(1, 1 + len(closes)))


@pytest.mark.parametrize("closes", [(10.0,), (10.0, 10.0), (10.0, 10.0, 10.0), (math.nan, math.nan)], ids=str)
def test_exact_repeats_contradict_nothing(closes: tuple[float, ...]) -> None:
    assert not flag_conflicting_duplicate(duplicates(*closes), CONTEXT).any()


def test_a_contradiction_stays_with_its_instrument_and_session() -> None:
    rows = [("A", WEEK[0], 1.0), ("A", WEEK[1], 2.0), ("B", WEEK[1], 3.0), ("B", WEEK[1], 4.0), ("C", WEEK[1], 5.0)]
    assert positions(flag_conflicting_duplicate(bars_of(rows), CONTEXT)) == [2, 3]
