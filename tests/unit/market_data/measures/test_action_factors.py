"""The factors of actions make the adjusted closes."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.market_data.measures.action_factors import action_factors
from pipeline.market_data.measures.adjusted_close import adjusted_close
from pipeline.market_data.measures.errors import ActionInputError
from pipeline.market_data.rules import Actions, Bars
from tests.unit.market_data.conftest import LONG

Row = tuple[int, str, int, int, float]


def traded(closes: list[list[float]]) -> Bars:
    """Instruments on the first sessions of `LONG`."""
    index = np.concatenate([np.full(len(own), number) for number, own in enumerate(closes)])
    days = np.concatenate([LONG[: len(own)] for own in closes])
    close = np.concatenate(closes)
    none = np.full(len(close), np.nan)
    symbols = tuple("ABC"[: len(closes)])
    return Bars(symbols, index.astype(np.int64), days, none, none, none, close, none, none)


def actions(*rows: Row, symbols: tuple[str, ...] = ("A", "B")) -> Actions:
    index, days, numerator, denominator, dividend = zip(*rows, strict=True)
    return Actions(
        symbols,
        np.array(index),
        np.array(days, dtype="datetime64[D]"),
        np.array(numerator),
        np.array(denominator),
        np.array(dividend, dtype=float),
    )


def day(number: int) -> str:
    return str(LONG[number])


BARS = traded([[10.0, 11.0, 12.0, 6.0, 6.5], [20.0, 21.0, 22.0, 23.0, 24.0]])


def test_a_split_and_a_dividend() -> None:
    found = action_factors(BARS, actions((0, day(3), 2, 1, 0.0), (1, day(2), 1, 1, 1.05)))
    assert found.tolist() == [0.5, pytest.approx(1 - 1.05 / 21.0)]


def test_an_action_before_the_first_bar_has_only_its_split() -> None:
    assert action_factors(BARS, actions((0, "2019-01-02", 1, 1, 5.0), (1, "2019-01-02", 3, 1, 5.0))).tolist() == [
        1.0,
        pytest.approx(1 / 3),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_product_is_the_adjustment(seed: int) -> None:
    """Also for several actions on one date, or on dates without a bar between, in any order."""
    draws = np.random.default_rng(seed)
    bars = traded([(50 + 5 * draws.standard_normal(60)).tolist() for _ in range(2)])
    kept = draws.random(len(bars)) < 0.8
    bars = bars.take(kept)
    rows: list[Row] = [
        (int(draws.integers(2)), day(int(number)), int(draws.integers(1, 4)), int(draws.integers(1, 4)), draws.random())
        for number in draws.choice(np.arange(1, 59), 12, replace=False)
    ]
    given = actions(*rows)
    factors = action_factors(bars, given)
    expected = adjusted_close(bars, given)
    for position in range(len(bars)):
        own = given.symbol_index == bars.symbol_index[position]
        last = bars.sessions[bars.symbol_index == bars.symbol_index[position]].max()
        later = own & (given.ex_sessions > bars.sessions[position]) & (given.ex_sessions <= last)
        assert bars.close[position] * factors[later].prod() == pytest.approx(expected[position], rel=1e-12)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((0, day(2), 0, 1, 0.0), "split of 0:1"),
        ((0, day(2), 1, 1, -1.0), "dividend of -1.0"),
        ((0, day(2), 1, 1, float("nan")), "dividend of nan"),
        ((0, day(2), 1, 1, 11.0), "was at 11"),
    ],
)
def test_an_impossible_action_is_named(row: Row, message: str) -> None:
    with pytest.raises(ActionInputError, match=message):
        action_factors(BARS, actions(row))
