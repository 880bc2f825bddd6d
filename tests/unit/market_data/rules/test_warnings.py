"""What is accepted and told: large moves, those that nobody confirms, and days of the whole market."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.market_data.rules import Context
from pipeline.market_data.rules.large_move import flag_large_move
from pipeline.market_data.rules.market_move import MARKET_RETURN, flag_market_move
from pipeline.market_data.rules.unconfirmed_move import flag_unconfirmed_move
from tests.unit.market_data.conftest import CONTEXT, LONG, series, walk
from tests.unit.market_data.rules.making import USUAL_VOLUME, actions_of, hits, together, traded


def moved(factor: float = 0.6) -> np.ndarray:
    close = walk(120)
    close[100:] *= factor
    return close


def test_a_split_is_no_large_move() -> None:
    context = Context(LONG, actions_of((0, LONG[100], 2, 1, 0.0)))
    assert hits(flag_large_move(traded(moved(0.5)), context)) == []
    assert hits(flag_large_move(traded(moved(0.5)), CONTEXT)) == [100]


@pytest.mark.parametrize(("multiple", "flagged"), [(1.0, [100]), (4.0, [100]), (9.0, [])])
def test_a_large_move_at_the_usual_volume_is_unconfirmed(multiple: float, flagged: list[int]) -> None:
    volume = np.full(120, USUAL_VOLUME)
    volume[100] *= multiple
    assert hits(flag_unconfirmed_move(traded(moved(), volume=volume), CONTEXT)) == flagged


def test_where_nothing_could_confirm_nothing_is_unconfirmed() -> None:
    assert hits(flag_unconfirmed_move(series(moved()), CONTEXT)) == []


def test_a_second_source_confirms_or_does_not() -> None:
    bars = series(moved())
    assert hits(flag_unconfirmed_move(bars, replace(CONTEXT, second_source=bars))) == []
    assert hits(flag_unconfirmed_move(bars, replace(CONTEXT, second_source=series(walk(120))))) == [100]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("share", "flagged"), [(1.01, True), (0.99, False)])
def test_a_day_of_the_whole_market_is_told_on_each_of_its_bars(sign: int, share: float, flagged: bool) -> None:
    step = 1 + sign * share * MARKET_RETURN
    bars = together(*(traded([100.0, 100.0 * step, 100.0 * step], f"S{number:02d}") for number in range(12)))
    mask = flag_market_move(bars, CONTEXT)
    assert mask.sum() == 12 * flagged
    assert (bars.sessions[mask] == LONG[1]).all()


def test_a_few_instruments_are_no_market() -> None:
    bars = together(*(traded([100.0, 50.0], f"S{number:02d}") for number in range(9)))
    assert hits(flag_market_move(bars, CONTEXT)) == []
