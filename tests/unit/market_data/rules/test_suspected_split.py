"""Price levels of splits that nobody announced."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.market_data.rules import Context
from pipeline.market_data.rules.suspected_split import HELD_SESSIONS, LEAST_PRICES, RATIOS, flag_suspected_split
from tests.unit.market_data.conftest import CONTEXT, LONG, series, walk
from tests.unit.market_data.rules.making import USUAL_VOLUME, actions_of, hits, together, traded


def halved(at: int = 100, ratio: float = 2.0, until: int | None = None, sessions: int = 160) -> FloatArray:
    close = walk(sessions)
    close[at:until] /= ratio
    return close


def held(start: int, stop: int | None = None) -> list[int]:
    return list(range(start, start + HELD_SESSIONS if stop is None else stop))


@pytest.mark.parametrize("ratio", [*RATIOS, *(1 / ratio for ratio in RATIOS)])
def test_the_level_of_a_split_is_held_for_two_weeks(ratio: float) -> None:
    assert hits(flag_suspected_split(traded(halved(ratio=ratio)), CONTEXT)) == held(100)


@pytest.mark.parametrize("ratio", [2.0, 4.0, 0.1])
def test_a_split_with_its_action_is_none(ratio: float) -> None:
    new, old = (round(ratio), 1) if ratio > 1 else (1, round(1 / ratio))
    context = replace(CONTEXT, actions=actions_of((0, LONG[100], new, old, 0.0)))
    assert hits(flag_suspected_split(traded(halved(ratio=ratio)), context)) == []


@pytest.mark.parametrize("ratio", [1.25, 2.5, 7.0, 14.0])
def test_other_ratios_are_moves(ratio: float) -> None:
    assert hits(flag_suspected_split(traded(halved(ratio=ratio)), CONTEXT)) == []


def test_a_level_that_comes_back_next_session_is_a_spike() -> None:
    assert hits(flag_suspected_split(traded(halved(until=101)), CONTEXT)) == []


@pytest.mark.parametrize("sessions", [2, 5, 9])
def test_the_hold_ends_when_the_old_level_is_back(sessions: int) -> None:
    assert hits(flag_suspected_split(traded(halved(until=100 + sessions)), CONTEXT)) == held(100, 100 + sessions)


def test_the_hold_ends_with_the_instrument() -> None:
    bars = together(traded(halved(at=95, sessions=100)), traded(walk(50), "B"))
    assert hits(flag_suspected_split(bars, CONTEXT)) == held(95, 100)


def test_the_last_bar_must_wait_for_the_next() -> None:
    assert hits(flag_suspected_split(traded(halved(at=99, sessions=100)), CONTEXT)) == []


def volume_at(row: int, multiple: float) -> FloatArray:
    volume = np.full(160, USUAL_VOLUME)
    volume[row] *= multiple
    return volume


@pytest.mark.parametrize(
    ("ratio", "multiple", "flagged"),
    [
        (2.0, 8.0, []),  # units ×8, money ×4: traded
        (2.0, 4.0, held(100)),  # money ×2: as after a split
        (10.0, 10.0, held(100)),  # a split multiplies the units by its ratio and leaves the money
        (10.0, 40.0, []),
        (0.5, 1.0, held(100)),
        (0.5, 3.1, []),
        (0.1, 1.0, held(100)),  # money ×10, units as ever
    ],
)
def test_trading_confirms_a_move(ratio: float, multiple: float, flagged: list[int]) -> None:
    bars = traded(halved(ratio=ratio), volume=volume_at(100, multiple))
    assert hits(flag_suspected_split(bars, CONTEXT)) == flagged


def test_without_a_volume_a_half_must_be_a_half_and_a_third_is_not_judged() -> None:
    for ratio, flagged in [(2.0, held(100)), (2.1, []), (1.5, [])]:
        close = np.linspace(100, 101, 160)
        close[100:] /= ratio
        assert hits(flag_suspected_split(traded(close, volume=np.nan), CONTEXT)) == flagged


def test_adjusted_closes_contain_every_split() -> None:
    assert hits(flag_suspected_split(series(halved()), CONTEXT)) == []


def test_a_stock_of_a_few_ticks_moves_by_ratios_of_itself() -> None:
    ticks = np.resize([2.0, 3.0, 4.0, 3.0], 160) / 16
    ticks[100:] /= 2
    assert LEAST_PRICES > 3
    assert hits(flag_suspected_split(traded(ticks), CONTEXT)) == []


def test_a_second_source_that_moved_too_confirms() -> None:
    bars = traded(halved())
    assert hits(flag_suspected_split(bars, replace(CONTEXT, second_source=traded(walk(160))))) == held(100)
    assert hits(flag_suspected_split(bars, replace(CONTEXT, second_source=bars))) == []


def test_after_a_restored_level_the_next_split_is_found() -> None:
    close = halved(until=103)
    close[120:] /= 3
    assert hits(flag_suspected_split(traded(close), CONTEXT)) == [*held(100, 103), *held(120)]


def test_a_market_that_fell_by_a_third_of_that_confirms() -> None:
    others = [traded(walk(160, seed) * np.r_[np.ones(100), np.full(60, 0.8)], f"S{seed:02d}") for seed in range(12)]
    bars = together(traded(halved(ratio=1.5)), *others)
    assert hits(flag_suspected_split(bars, Context(LONG))) == []
