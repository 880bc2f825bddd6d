"""Books of transactions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.risk.measures.books import CashFlows, Trades, average_cost, money_weighted_return, value_book
from pipeline.risk.measures.errors import MeasureInputError

Trade = tuple[int, int, float, float]


def trades(*given: Trade) -> Trades:
    """Of (row, column, units, paid)."""
    rows, columns, units, paid = zip(*given, strict=True) if given else ((), (), (), ())
    return Trades(np.array(rows, int), np.array(columns, int), np.array(units, float), np.array(paid, float))


def flows(*given: tuple[int, float]) -> CashFlows:
    rows, amounts = zip(*given, strict=True) if given else ((), ())
    return CashFlows(np.array(rows, int), np.array(amounts, float), np.zeros(len(given)))


def column(*prices: float) -> np.ndarray:
    return np.array(prices)[:, None]


def day(*numbers: int) -> np.ndarray:
    return np.datetime64("2020-01-01") + np.array(numbers, int)


def test_what_is_bought_without_cash_is_paid_in() -> None:
    found = value_book(column(10.0, 12.0, 9.0), trades((0, 0, 5, 50.0)), flows())
    assert found.value.tolist() == [50.0, 60.0, 45.0]
    assert found.inflow.tolist() == [50.0, 0.0, 0.0]
    assert found.cash.tolist() == [0.0, 0.0, 0.0]
    assert found.returns == pytest.approx([0.0, 0.2, -0.25])


def test_cash_pays_first_and_takes_what_sales_bring() -> None:
    book = trades((0, 0, 5, 51.0), (1, 0, -5, -59.0))
    found = value_book(column(10.0, 12.0, 20.0), book, flows((0, 100.0), (2, -60.0)))
    assert found.cash.tolist() == [49.0, 108.0, 48.0]
    assert found.inflow.tolist() == [100.0, 0.0, 0.0]
    assert found.outflow.tolist() == [0.0, 0.0, 60.0]
    assert found.returns == pytest.approx([-0.01, 108 / 99 - 1, 0.0])


def test_flows_do_not_change_the_time_weighted_return() -> None:
    close = column(10.0, 11.0, 8.8, 13.2)
    alone = value_book(close, trades((0, 0, 1, 10.0)), flows())
    with_more = value_book(close, trades((0, 0, 1, 10.0), (2, 0, 100, 880.0)), flows())
    assert np.prod(1 + alone.returns) == pytest.approx(1.32)
    # What is bought at a close earns from it on; the session itself is diluted by what came in.
    assert with_more.returns[3] == pytest.approx(alone.returns[3])
    assert with_more.returns[1] == pytest.approx(alone.returns[1])


def test_more_than_there_is_cannot_be_taken_out() -> None:
    with pytest.raises(MeasureInputError, match="amount: 10 taken out, and there is cash of 5"):
        value_book(column(1.0, 1.0), trades(), flows((0, 5.0), (1, -10.0)))


def test_a_price_that_is_needed_and_missing_is_refused() -> None:
    with pytest.raises(MeasureInputError, match="close: missing"):
        value_book(column(10.0, np.nan), trades((0, 0, 1, 10.0)), flows())
    sold = trades((0, 0, 1, 10.0), (1, 0, -1, -10.0))
    assert value_book(column(10.0, np.nan), sold, flows()).value.tolist() == [10.0, 10.0]


@pytest.mark.parametrize(
    ("amounts", "dates", "rate"),
    [
        ((-100.0, 110.0), (0, 365), 0.1),
        ((-100.0, 50.0), (0, 365), -0.5),
        ((-100.0, 100.0), (0, 365), 0.0),
        ((-100.0, 121.0), (0, 730), 0.1),
        ((-100.0, 101.0), (0, 1), 1.01**365 - 1),
        ((-100.0, -100.0, 231.0), (0, 365, 730), 0.1),
        ((-100.0, 0.001), (0, 365), 0.001 / 100 - 1),
    ],
)
def test_a_money_weighted_return_in_closed_form(
    amounts: tuple[float, ...], dates: tuple[int, ...], rate: float
) -> None:
    found = money_weighted_return(np.array(amounts), day(*dates))
    assert found == pytest.approx(rate, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("amounts", "dates"), [((), ()), ((-1.0, 1.0), (0, 0)), ((1.0, 2.0), (0, 9)), ((-1.0,), (0,))])
def test_without_a_rate_there_is_none(amounts: tuple[float, ...], dates: tuple[int, ...]) -> None:
    assert math.isnan(money_weighted_return(np.array(amounts), day(*dates)))


def test_the_average_cost_is_what_is_left_on() -> None:
    book = trades((0, 0, 10, 100.0), (1, 0, 10, 140.0), (2, 0, -5, -75.0))
    realised, cost = average_cost(book, 1)
    assert cost.tolist() == [180.0]  # 15 units at 12
    assert realised.tolist() == [15.0]  # 75 - 5 × 12


def test_a_trade_through_nothing_closes_and_opens() -> None:
    realised, cost = average_cost(trades((0, 0, 10, 100.0), (1, 0, -15, -180.0)), 1)
    assert realised.tolist() == pytest.approx([20.0])  # 10 units at 12, less 100
    assert cost.tolist() == pytest.approx([-60.0])  # 5 short at 12


SOME_TRADES = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(-50, 50), st.floats(0.5, 20.0), st.floats(0.0, 3.0)),
    min_size=1,
    max_size=30,
)


@given(SOME_TRADES)
@example([(0, 0, 41, 1.0, 0.0), (1, 0, -41, 1.0, 0.0), (2, 0, 0, 1.0, 1.0)])
def test_realised_and_unrealised_are_the_whole_profit(given: list[tuple[int, int, int, float, float]]) -> None:
    made = sorted(given, key=lambda trade: trade[0])
    book = trades(*((row, k, float(units), units * price + fee) for row, k, units, price, fee in made))
    realised, cost = average_cost(book, 3)
    for k in range(3):
        own = book.columns == k
        assert realised[k] - cost[k] == pytest.approx(-book.paid[own].sum(), abs=1e-7)
        if abs(book.units[own].sum()) == 0.0:
            assert cost[k] == pytest.approx(0.0, abs=1e-7)


@given(SOME_TRADES, st.integers(0, 2**32 - 1))
def test_value_is_what_was_paid_in_and_the_profit(given: list[tuple[int, int, int, float, float]], seed: int) -> None:
    """Purchases only, so that nothing is short."""
    close = np.random.default_rng(seed).uniform(0.5, 20.0, (10, 3))
    made = sorted(given, key=lambda trade: trade[0])
    bought = [(row, k, float(abs(units) or 1), price, fee) for row, k, units, price, fee in made]
    book = trades(*((row, k, units, units * price + fee) for row, k, units, price, fee in bought))
    found = value_book(close, book, flows((0, 200.0)))
    realised, cost = average_cost(book, 3)
    assert realised.tolist() == pytest.approx([0.0] * 3, abs=1e-9)
    unrealised = (found.units[-1] * close[-1] - cost).sum()
    assert found.value[-1] == pytest.approx(found.inflow.sum() + unrealised)
    # Growing each session's start by its return leads to its end.
    base = np.r_[0.0, found.value[:-1]] + found.inflow
    assert base * (1 + found.returns) == pytest.approx(found.value)
