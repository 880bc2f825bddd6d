"""The walk: closed forms, costs, listings and delistings, and that the future changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.base.types import DateArray, FloatArray
from pipeline.simulation.strategies.errors import StrategyInputError
from pipeline.simulation.strategies.walking import Walk, walk_forward

SESSIONS = np.arange("2020-01-01", "2020-07-01", dtype="datetime64[D]")
SESSIONS = SESSIONS[np.is_busday(SESSIONS)]
MONTH = SESSIONS.astype("datetime64[M]")
CLOSE = 100.0 * np.exp(np.cumsum(np.random.default_rng(3).normal(0.0004, 0.015, (len(SESSIONS), 3)), axis=0))
ENDS = SESSIONS[np.flatnonzero(np.append(MONTH[1:] != MONTH[:-1], True))]
WEIGHTS = np.array([[0.5, 0.3, 0.2], [0.0, 0.6, 0.4], [1.0, 0.0, 0.0], [0.2, 0.2, 0.6], [0.4, 0.4, 0.2]])
COST = 0.001


def walk(
    close: FloatArray = CLOSE,
    sessions: DateArray = SESSIONS,
    set_on: DateArray = ENDS[:5],
    weights: FloatArray = WEIGHTS,
    cost: float = COST,
) -> Walk:
    return walk_forward(close, sessions, set_on, weights, cost)


def first_of(month: str) -> int:
    return int(np.argmax(np.datetime64(month) == MONTH))


def test_one_stock_is_worth_its_price_less_its_purchase() -> None:
    found = walk(CLOSE[:, :1], set_on=ENDS[:1], weights=np.ones((1, 1)))
    first = first_of("2020-02")
    assert (found.rows.start, found.rows.stop) == (first, len(SESSIONS))
    np.testing.assert_allclose(found.nav, CLOSE[first:, 0] / CLOSE[first - 1, 0] * (1.0 - COST), rtol=1e-12)
    assert (found.turnover[0], found.cost[0]) == (1.0, COST)
    assert not found.turnover[1:].any()


def test_weights_drift_until_the_next_are_set() -> None:
    found = walk(cost=0.0)
    february, march = first_of("2020-02"), first_of("2020-03")
    values = WEIGHTS[0] * CLOSE[february:march] / CLOSE[february - 1]
    np.testing.assert_allclose(found.nav[: march - february], values.sum(axis=1), rtol=1e-12)
    drifted = values[-1] / values[-1].sum()
    assert found.turnover[march - february] == pytest.approx(np.abs(WEIGHTS[1] - drifted).sum(), rel=1e-12)
    gained = WEIGHTS[1] @ (CLOSE[march] / CLOSE[march - 1])
    assert found.returns[march - february] == pytest.approx(gained - 1.0, rel=1e-9)


def test_costs_take_exactly_turnover_times_cost() -> None:
    free, paid = walk(cost=0.0), walk()
    np.testing.assert_array_equal(paid.turnover, free.turnover)
    np.testing.assert_array_equal(paid.cost, COST * free.turnover)
    np.testing.assert_allclose(paid.nav, free.nav * np.cumprod(1.0 - COST * free.turnover), rtol=1e-12)
    assert np.flatnonzero(paid.turnover).tolist() == [first_of(f"2020-0{m}") - first_of("2020-02") for m in range(2, 7)]


@pytest.mark.parametrize("length", [25, 40, 44, 66, 100, len(SESSIONS) - 1])
def test_what_comes_later_changes_no_bit(length: int) -> None:
    whole = walk()
    known = ENDS[:5] < SESSIONS[length - 1]
    cut = walk(CLOSE[:length], SESSIONS[:length], ENDS[:5][known], WEIGHTS[known])
    for name in ("nav", "returns", "turnover", "cost"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name)[: len(cut.nav)])
    assert len(cut.nav) == length - whole.rows.start


def test_weights_of_a_month_that_is_not_over_wait_for_its_end() -> None:
    middle = SESSIONS[first_of("2020-03") + 5]
    early, late = np.array([ENDS[1], middle]), np.array([ENDS[1], ENDS[2]])
    np.testing.assert_array_equal(
        walk(set_on=early, weights=WEIGHTS[:2]).nav, walk(set_on=late, weights=WEIGHTS[:2]).nav
    )
    before = slice(0, first_of("2020-03") + 6)
    cut = walk(CLOSE[before], SESSIONS[before], early, WEIGHTS[:2])
    np.testing.assert_array_equal(cut.nav, walk(set_on=late, weights=WEIGHTS[:2]).nav[: len(cut.nav)])


def test_a_gap_is_made_up_for_when_it_ends() -> None:
    gap = first_of("2020-02") + 4
    close = CLOSE.copy()
    close[gap, 1] = np.nan
    whole, gapped = walk(), walk(close)
    differs = np.flatnonzero(~np.isclose(whole.nav, gapped.nav, rtol=1e-12))
    assert differs.tolist() == [gap - whole.rows.start]


def test_what_is_delisted_lies_as_cash_until_the_next_weights() -> None:
    gone = first_of("2020-02") + 4
    close = CLOSE.copy()
    close[gone:, 1] = np.nan
    weights = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    found = walk(close, set_on=ENDS[:2], weights=weights, cost=0.0)
    february, march = first_of("2020-02"), first_of("2020-03")
    base = CLOSE[february - 1]
    cash = 0.5 * CLOSE[gone - 1, 1] / base[1]
    np.testing.assert_allclose(
        found.nav[gone - february : march - february], 0.5 * CLOSE[gone:march, 0] / base[0] + cash, rtol=1e-12
    )
    at_end = found.nav[march - february - 1]
    assert found.turnover[march - february] == pytest.approx(2.0 * cash / at_end, rel=1e-12)


def test_a_new_listing_is_bought_once_it_has_a_price() -> None:
    listed = first_of("2020-03") + 3
    close = CLOSE.copy()
    close[:listed, 2] = np.nan
    weights = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.3, 0.3, 0.4]])
    found = walk(close, set_on=ENDS[:3], weights=weights)
    assert np.isfinite(found.nav).all()
    without = walk(CLOSE[:, :2], set_on=ENDS[:2], weights=weights[:2, :2])
    april = first_of("2020-04") - found.rows.start
    np.testing.assert_array_equal(found.nav[:april], without.nav[:april])
    with pytest.raises(StrategyInputError, match=r"no price up to row .* leave it out"):
        walk(close, set_on=ENDS[:1], weights=np.array([[0.5, 0.3, 0.2]]))


def test_without_weights_or_before_them_there_is_no_value() -> None:
    assert len(walk(set_on=ENDS[:0], weights=np.empty((0, 3))).nav) == 0
    assert len(walk(set_on=ENDS[-1:], weights=WEIGHTS[:1]).nav) == 0
    assert len(walk(set_on=ENDS[:1] - 300, weights=WEIGHTS[:1]).nav) == 0


@pytest.mark.parametrize("wrong", [[0.5, 0.5, 0.1], [1.2, -0.2, 0.0], [np.nan, 0.5, 0.5]])
def test_weights_that_are_none_are_refused(wrong: list[float]) -> None:
    with pytest.raises(StrategyInputError, match="weights: negative, or do not sum to 1"):
        walk(set_on=ENDS[:1], weights=np.array([wrong]))
