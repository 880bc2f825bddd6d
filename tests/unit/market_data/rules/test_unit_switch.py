"""Prices in hundredths for a while."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.market_data.rules.unit_switch import flag_unit_switch
from tests.unit.market_data.conftest import CONTEXT, LONG, walk
from tests.unit.market_data.rules.making import actions_of, hits, together, traded
from tests.unit.properties import PROPERTY


def switched(first: int, last: int, factor: float, sessions: int = 100) -> list[int]:
    close = walk(sessions)
    close[first:last] *= factor
    return hits(flag_unit_switch(traded(close), CONTEXT))


@pytest.mark.parametrize("factor", [100.0, 0.01])
@pytest.mark.parametrize(("first", "last"), [(50, 51), (50, 80), (0, 10), (90, 100), (99, 100), (1, 2)])
def test_every_bar_in_the_other_unit_is_flagged(first: int, last: int, factor: float) -> None:
    assert switched(first, last, factor) == list(range(first, last))


def test_of_two_halves_the_earlier_is_right() -> None:
    assert switched(50, 100, 100.0) == list(range(50, 100))
    assert switched(0, 50, 100.0) == list(range(50, 100))


@pytest.mark.parametrize("factor", [20.0, 0.05, 45.0, 250.0])
def test_other_factors_are_no_switch(factor: float) -> None:
    assert switched(50, 60, factor) == []


def test_a_reverse_split_of_a_hundred_is_no_switch_with_its_action() -> None:
    close = walk(100)
    close[50:] *= 100
    context = replace(CONTEXT, actions=actions_of((0, LONG[50], 1, 100, 0.0)))
    assert hits(flag_unit_switch(traded(close), context)) == []


def test_a_switch_stays_with_its_instrument() -> None:
    wrong = walk(40)
    wrong[30:] *= 100
    bars = together(traded(walk(40)), traded(wrong, "B"), traded(100 * walk(40), "C"))
    assert hits(flag_unit_switch(bars, CONTEXT)) == list(range(70, 80))


@PROPERTY
@given(st.lists(st.sampled_from([0, 0, 0, 1, -1]), min_size=1, max_size=40))
def test_the_bars_off_the_usual_level_are_those_of_a_loop(steps: list[int]) -> None:
    level, levels = 0, []
    for number, step in enumerate(steps):
        level += step if number else 0
        levels.append(max(-2, min(2, level)))
    usual = max(range(-2, 3), key=lambda one: (2 * levels.count(one) + (one == 0), -one))
    running = np.cumsum([0, *steps[1:]])
    close = 10.0 * 100.0 ** running.astype(np.float64)
    assert hits(flag_unit_switch(traded(close), CONTEXT)) == [n for n, one in enumerate(levels) if one != usual]
