"""A jump on the newest session: held, unless the market, volume or a second source saw it too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.market_data.rules import Bars, Context, judge
from pipeline.market_data.rules.provisional_spike import flag_provisional_spike
from tests.unit.market_data.conftest import LONG, flagged_by, series, walk
from tests.unit.market_data.rules.making import USUAL_VOLUME, hits, together, traded

SESSIONS = 100
NEWEST = Context(LONG[:SESSIONS])


def jumped(factor: float = 1.5, seed: int = 3, sessions: int = SESSIONS) -> np.ndarray:
    close = walk(sessions, seed)
    close[-1] *= factor
    return close


@pytest.mark.parametrize("factor", [1.5, 1 / 1.5, 3.0, 0.01])
@pytest.mark.parametrize("form", [traded, series])
def test_a_jump_on_the_newest_session_is_held(factor: float, form: object) -> None:
    bars = form(jumped(factor))  # type: ignore[operator]
    assert hits(flag_provisional_spike(bars, NEWEST)) == [SESSIONS - 1]


@pytest.mark.parametrize("factor", [1.0, 1.2, 0.85])
def test_an_ordinary_move_is_not_held(factor: float) -> None:
    assert hits(flag_provisional_spike(traded(jumped(factor)), NEWEST)) == []


def test_an_instrument_that_has_stopped_trading_is_not_held() -> None:
    assert hits(flag_provisional_spike(traded(jumped()), Context(LONG[: SESSIONS + 1]))) == []
    assert hits(flag_provisional_spike(traded(jumped()), Context(LONG[:0]))) == []


def test_volume_confirms_at_once() -> None:
    volume = np.full(SESSIONS, USUAL_VOLUME)
    volume[-1] *= 5
    assert hits(flag_provisional_spike(traded(jumped(0.65), volume=volume), NEWEST)) == []


def test_a_second_source_confirms_at_once() -> None:
    bars = traded(jumped())
    assert hits(flag_provisional_spike(bars, replace(NEWEST, second_source=bars))) == []
    other = replace(NEWEST, second_source=traded(walk(SESSIONS)))
    assert hits(flag_provisional_spike(bars, other)) == [SESSIONS - 1]


def crash(*factors: float) -> Bars:
    return together(*(traded(jumped(factor, seed), f"S{seed:02d}") for seed, factor in enumerate(factors)))


def test_a_crash_of_the_whole_market_is_not_held() -> None:
    assert hits(flag_provisional_spike(crash(*[0.8] * 14, 0.55), NEWEST)) == []


@pytest.mark.parametrize("factor", [1.6, 0.3])
def test_a_crash_does_not_hide_an_error(factor: float) -> None:
    assert hits(flag_provisional_spike(crash(*[0.8] * 14, factor), NEWEST)) == [15 * SESSIONS - 1]


def test_the_same_error_in_every_instrument_is_held() -> None:
    assert len(hits(flag_provisional_spike(crash(*[1.5] * 15), NEWEST))) == 15


# The verdict over time -------------------------------------------------------------------------------------


def test_a_held_bar_is_provisional_until_the_next_session() -> None:
    verdict = judge(traded(jumped()), NEWEST)
    assert hits(verdict.provisional) == hits(verdict.refused) == [SESSIONS - 1]
    assert not verdict.accepted[-1]


@pytest.mark.parametrize(("after", "refused", "warned"), [(1.0, [SESSIONS - 1], []), (1.45, [], [SESSIONS - 1])])
def test_the_next_session_settles_it(after: float, refused: list[int], warned: list[int]) -> None:
    close = walk(SESSIONS + 1)
    close[SESSIONS - 1] *= 1.45
    close[SESSIONS] *= after
    verdict = judge(series(close), Context(LONG[: SESSIONS + 1]))
    assert hits(verdict.refused) == refused
    assert not verdict.provisional.any()
    assert flagged_by("spike", verdict) == [f"A {LONG[row]}" for row in refused]
    assert flagged_by("large_move", verdict) == [f"A {LONG[row]}" for row in warned]


def test_a_bar_that_is_wrong_anyway_is_not_provisional() -> None:
    verdict = judge(traded([*walk(SESSIONS - 1), -1.0]), NEWEST)
    assert hits(verdict.refused) == [SESSIONS - 1]
    assert not verdict.provisional.any()
