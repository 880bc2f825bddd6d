"""Bars that rules have left: judged by parts, they are what they would be as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.base.types import BoolArray, FloatArray
from pipeline.market_data.rules import Actions, Bars, Context, judge, standing
from pipeline.market_data.rules.bars import Moves
from pipeline.market_data.rules.moves import log_moves, moves_of
from pipeline.market_data.rules.standing import Standing
from tests.unit.market_data.conftest import LONG, bars_of
from tests.unit.market_data.rules.making import together, traded

SESSIONS = 60
PARTS = pytest.mark.parametrize("rows", [1, SESSIONS, 150, 10**6])


def walks(seed: int) -> tuple[Bars, Context]:
    """Fourteen instruments with errors, of different lengths, and actions on some of their days."""
    rng = np.random.default_rng(seed)
    moves = [np.cumsum(rng.normal(0, 0.02, SESSIONS - 3 * number)) for number in range(14)]
    bars = together(*(traded(10.0 * np.exp(walk), f"S{number:02d}") for number, walk in enumerate(moves)))
    factor = np.where(rng.random(len(bars)) < 0.02, rng.choice([0.5, 3.0, 100.0], len(bars)), 1.0)
    bars = replace(bars, **{name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")})
    acting = rng.choice(len(bars), 40, replace=False)
    split = rng.integers(1, 4, 40)
    keys = (bars.symbol_index[acting], bars.sessions[acting])
    return bars, Context(LONG, Actions(bars.symbols, *keys, split, np.ones(40, dtype=int), split * 0.1))


def seen_by_rules(bars: Standing) -> Moves:
    """What a rule is given of all parts together."""
    seen: list[Moves] = []

    def look(left: Bars, context: Context) -> BoolArray:
        seen.append(moves_of(left, context))
        return np.zeros(len(left), dtype=bool)

    assert not bars.flagged(look).any()
    total, market = (np.concatenate([getattr(moves, name) for moves in seen]) for name in ("total", "market"))
    return Moves(together_again([moves.bars for moves in seen]), total, market)


def together_again(parts: list[Bars]) -> Bars:
    names = ("symbol_index", "sessions", "open", "high", "low", "close", "volume", "close_adjusted")
    return Bars(parts[0].symbols, *(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@PARTS
@pytest.mark.parametrize("seed", range(4))
def test_moves_of_what_is_left_are_those_of_a_new_measurement(
    monkeypatch: pytest.MonkeyPatch, rows: int, seed: int
) -> None:
    """Bit for bit, with actions, first and last bars gone, several in a row, and a whole instrument."""
    monkeypatch.setattr(standing, "PART_ROWS", rows)
    bars, context = walks(seed)
    rng = np.random.default_rng(seed)
    dropping = [rng.random(len(bars)) < 0.05, rng.random(len(bars)) < 0.05]
    dropping[0][:3] = dropping[0][-2:] = dropping[0][100:105] = True
    dropping[1][bars.symbol_index == 5] = True
    dropping[1] &= ~dropping[0]
    found = Standing(bars, context)
    for gone in dropping:
        found.drop(gone)
    left = bars.take(~(dropping[0] | dropping[1]))
    expected, seen = moves_of(left, context), seen_by_rules(found)
    np.testing.assert_array_equal(seen.bars.keys, left.keys)
    np.testing.assert_array_equal(seen.bars.values, left.values)
    np.testing.assert_array_equal(seen.total, expected.total)
    np.testing.assert_array_equal(seen.market, expected.market)


@PARTS
@pytest.mark.parametrize("seed", range(4))
def test_parts_change_no_verdict(monkeypatch: pytest.MonkeyPatch, rows: int, seed: int) -> None:
    bars, context = walks(seed)
    second = replace(bars.take(bars.symbol_index < 12), symbols=bars.symbols)
    for known in (context, replace(context, second_source=second)):
        monkeypatch.setattr(standing, "PART_ROWS", 10**9)
        expected = judge(bars, known)
        assert expected.flags.any(axis=0).sum() >= 4
        monkeypatch.setattr(standing, "PART_ROWS", rows)
        np.testing.assert_array_equal(judge(bars, known).flags, expected.flags)


def test_no_bars_have_no_parts() -> None:
    left = Standing(bars_of([]), Context(LONG))
    assert len(left.flagged(lambda bars, _: np.ones(len(bars), dtype=bool))) == 0
    left.drop(np.array([], dtype=bool))


def test_a_flag_stands_at_its_own_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "PART_ROWS", 1)
    bars, context = walks(0)
    left, gone = Standing(bars, context), np.arange(len(bars)) % 7 == 3
    left.drop(gone)
    np.testing.assert_array_equal(left.flagged(lambda bars, _: np.ones(len(bars), dtype=bool)), ~gone)
    high = left.flagged(lambda bars, _: bars.close > 12.0)
    np.testing.assert_array_equal(high, ~gone & (bars.close > 12.0))


def test_moves_are_measured_again_only_beside_a_refused_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []

    def counting(bars: Bars, context: Context, **known: bool) -> FloatArray:
        lengths.append(len(bars))
        return log_moves(bars, context, **known)

    for module in ("moves", "standing"):
        monkeypatch.setattr(f"pipeline.market_data.rules.{module}.log_moves", counting)
    close = 100 + np.arange(80) % 7
    judge(traded(close), Context(LONG))
    assert lengths == [80]
    lengths.clear()
    judge(traded(np.where(np.arange(80) == 60, 500.0, close)), Context(LONG))  # a spike
    assert lengths == [80, 2]
