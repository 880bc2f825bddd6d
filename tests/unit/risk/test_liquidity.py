"""Costs of spreads and times to sell against their formulas, and positions of which too little is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.liquidity import (
    LiquidationHorizons,
    liquidation_factor,
    liquidation_horizons,
    liquidity_adjusted_var,
    spread_cost,
)
from pipeline.risk.measures.tail import historical_var
from tests.unit.risk.market import stock_returns
from tests.unit.risk.series import PROPERTY, same

THREE = ("AAPL", "JPM", "XOM")
WEIGHTS = np.array([0.5, 0.3, 0.2])


def real() -> FloatArray:
    return stock_returns()[-504:, :3]


def test_a_position_pays_half_of_the_stressed_spread() -> None:
    """Half of (.1 % + 3 × .05 %) on 60 % of the value, and of (1 % + 3 × .5 %) on 40 % sold short."""
    made = spread_cost(np.array([0.6, -0.4]), np.array([0.001, 0.01]), np.array([0.0005, 0.005]), ("A", "B"))
    np.testing.assert_allclose(made.cost, [0.6 * 0.00125, 0.4 * 0.0125], rtol=1e-12)
    assert made.total == pytest.approx(0.00575, rel=1e-12)
    assert made.unknown == ()
    calm = spread_cost(np.array([0.6, -0.4]), np.array([0.001, 0.01]), np.zeros(2), ("A", "B"), deviations=0.0)
    assert calm.total == pytest.approx(0.6 * 0.0005 + 0.4 * 0.005, rel=1e-12)


def test_a_spread_that_is_unknown_is_named_and_leaves_no_total() -> None:
    made = spread_cost(WEIGHTS, np.array([0.001, np.nan, 0.001]), np.array([0.0, 0.0, np.nan]), THREE)
    assert made.unknown == ("JPM", "XOM")
    assert np.isnan(made.total)
    assert np.isfinite(made.cost[0])


def test_a_spread_of_what_is_not_held_need_not_be_known() -> None:
    made = spread_cost(np.array([1.0, 0.0, 0.0]), np.array([0.002, np.nan, 0.1]), np.zeros(3), THREE)
    assert made.unknown == ()
    assert made.total == pytest.approx(0.001, rel=1e-12)


def test_days_are_units_over_what_may_be_sold_a_session() -> None:
    made = liquidation_horizons(
        np.array([1_000.0, -4_000.0, 0.0]), np.array([10_000.0, 10_000.0, 10_000.0]), THREE, participation=0.1
    )
    np.testing.assert_allclose(made.days, [1.0, 4.0, 0.0], rtol=1e-12)
    assert made.unknown == ()


def test_a_volume_that_is_unknown_or_none_is_named_not_taken_for_liquid() -> None:
    made = liquidation_horizons(np.array([10.0, 10.0, 10.0]), np.array([np.nan, 0.0, 1e6]), THREE)
    assert made.unknown == ("AAPL", "JPM")
    assert np.isnan(made.days[:2]).all()
    assert np.isfinite(made.days[2])
    nothing_held = liquidation_horizons(np.zeros(3), np.array([np.nan, 0.0, 1e6]), THREE)
    assert nothing_held.unknown == ()
    assert (nothing_held.days == 0.0).all()


@pytest.mark.parametrize("sessions", [1, 2, 3, 10, 250])
def test_the_factor_is_that_of_a_position_sold_in_equal_parts(sessions: int) -> None:
    left = np.arange(1, sessions + 1) / sessions
    assert liquidation_factor(np.array([float(sessions)]))[0] == pytest.approx(np.sqrt(np.sum(left**2)), rel=1e-12)


def test_the_factor_begins_at_one_and_approaches_a_third_of_the_time() -> None:
    np.testing.assert_array_equal(liquidation_factor(np.array([0.0, 0.3, 1.0])), 1.0)
    assert liquidation_factor(np.array([1.01]))[0] == liquidation_factor(np.array([2.0]))[0] == np.sqrt(1.25)
    assert liquidation_factor(np.array([1e6]))[0] == pytest.approx(np.sqrt(1e6 / 3.0), rel=1e-5)
    assert np.isnan(liquidation_factor(np.array([np.nan]))[0])


def test_what_can_be_sold_within_a_session_has_the_ordinary_value_at_risk() -> None:
    made = liquidity_adjusted_var(WEIGHTS, real(), LiquidationHorizons(np.array([0.1, 1.0, 0.5]), ()), 0.99)
    assert made.liquidity_adjusted_var == made.value_at_risk
    assert made.value_at_risk == pytest.approx(float(historical_var(real() @ WEIGHTS, 0.99)), rel=1e-12)


def test_the_same_days_for_all_multiply_the_value_at_risk() -> None:
    made = liquidity_adjusted_var(WEIGHTS, real(), LiquidationHorizons(np.full(3, 10.0), ()), 0.99)
    assert made.liquidity_adjusted_var == pytest.approx(made.value_at_risk * np.sqrt(3.85), rel=1e-12)


def test_different_days_scale_each_position() -> None:
    days = np.array([1.0, 5.0, 20.0])
    made = liquidity_adjusted_var(WEIGHTS, real(), LiquidationHorizons(days, ()), 0.99)
    factors = [np.sqrt(sum((j / n) ** 2 for j in range(1, int(n) + 1))) for n in days]
    np.testing.assert_allclose(made.factors, factors, rtol=1e-12)
    expected = float(historical_var((real() * factors) @ WEIGHTS, 0.99))
    assert made.liquidity_adjusted_var == pytest.approx(expected, rel=1e-12)


def test_unknown_days_leave_no_number_unless_some_are_assumed_and_stay_named() -> None:
    horizons = LiquidationHorizons(np.array([1.0, np.nan, 1.0]), ("JPM",))
    made = liquidity_adjusted_var(WEIGHTS, real(), horizons, 0.99)
    assert np.isnan(made.liquidity_adjusted_var)
    assert np.isfinite(made.value_at_risk)
    assert made.unknown == ("JPM",)
    assumed = liquidity_adjusted_var(WEIGHTS, real(), horizons, 0.99, days_if_unknown=20.0)
    known = liquidity_adjusted_var(WEIGHTS, real(), LiquidationHorizons(np.array([1.0, 20.0, 1.0]), ()), 0.99)
    assert assumed.liquidity_adjusted_var == known.liquidity_adjusted_var
    assert assumed.unknown == ("JPM",)
    without = np.array([0.5, 0.0, 0.5])
    assert np.isfinite(liquidity_adjusted_var(without, real(), horizons, 0.99).liquidity_adjusted_var)


def test_an_empty_value_costs_nothing() -> None:
    nothing = np.zeros(3)
    assert spread_cost(nothing, np.full(3, np.nan), np.full(3, np.nan), THREE).total == 0.0
    made = liquidity_adjusted_var(nothing, real(), LiquidationHorizons(np.full(3, np.nan), ()), 0.99)
    assert made.value_at_risk == made.liquidity_adjusted_var == 0.0


@pytest.mark.parametrize(
    ("volume", "participation", "message"),
    [
        (np.array([1.0, 1.0, -1.0]), 0.2, "average_daily_volume: infinite or negative"),
        (np.array([1.0, 1.0, np.inf]), 0.2, "average_daily_volume: infinite or negative"),
        (np.ones(2), 0.2, "average_daily_volume: shape"),
        (np.ones(3), 0.0, "participation=0.0: give a fraction above 0"),
        (np.ones(3), 1.5, "participation=1.5"),
        (np.ones(3), float("nan"), "participation=nan"),
    ],
)
def test_volumes_that_cannot_be_used_are_refused(volume: FloatArray, participation: float, message: str) -> None:
    with pytest.raises(MeasureInputError, match=message):
        liquidation_horizons(np.ones(3), volume, THREE, participation)


def test_other_input_that_cannot_be_used_is_refused() -> None:
    known = LiquidationHorizons(np.ones(3), ())
    with pytest.raises(MeasureInputError, match="positions: shape"):
        spread_cost(WEIGHTS, np.zeros(3), np.zeros(3), ("AAPL",))
    with pytest.raises(MeasureInputError, match="positions: NaN"):
        liquidation_horizons(np.array([1.0, np.nan, 1.0]), np.ones(3), THREE)
    with pytest.raises(MeasureInputError, match="spread_mean: infinite or negative"):
        spread_cost(WEIGHTS, np.array([0.1, -0.1, 0.1]), np.zeros(3), THREE)
    with pytest.raises(MeasureInputError, match="deviations=-1"):
        spread_cost(WEIGHTS, np.zeros(3), np.zeros(3), THREE, deviations=-1.0)
    with pytest.raises(MeasureInputError, match="returns: NaN"):
        liquidity_adjusted_var(WEIGHTS, np.full((9, 3), np.nan), known, 0.99)
    with pytest.raises(MeasureInputError, match="horizons: shape"):
        liquidity_adjusted_var(WEIGHTS, real(), LiquidationHorizons(np.ones(2), ()), 0.99)
    with pytest.raises(MeasureInputError, match="days_if_unknown=0"):
        liquidity_adjusted_var(WEIGHTS, real(), known, 0.99, days_if_unknown=0.0)


@PROPERTY
@given(st.lists(st.floats(0.0, 500.0), min_size=3, max_size=3), st.lists(st.integers(0, 100), min_size=3, max_size=3))
def test_more_days_never_lower_the_factor_and_units_scale_the_days(days: list[float], percents: list[int]) -> None:
    factors = liquidation_factor(np.sort(np.array(days)))
    assert (np.diff(factors) >= 0.0).all()
    assert (factors >= 1.0).all()
    units, volume = np.array(percents, dtype=np.float64), np.array([100.0, 50.0, 10.0])
    one, double = (liquidation_horizons(units * size, volume, THREE).days for size in (1.0, 2.0))
    np.testing.assert_allclose(double, 2.0 * one, rtol=1e-12)
    np.testing.assert_array_equal(liquidation_horizons(-units, volume, THREE).days, one)
    np.testing.assert_allclose(liquidation_horizons(units, 2.0 * volume, THREE).days, one / 2.0, rtol=1e-12)


def test_inputs_are_left_as_they_were() -> None:
    weights, returns, volume = WEIGHTS.copy(), real().copy(), np.array([1.0, np.nan, 2.0])
    horizons = liquidation_horizons(weights, volume, THREE)
    days = horizons.days.copy()
    liquidity_adjusted_var(weights, returns, horizons, 0.99, days_if_unknown=3.0)
    assert same(weights, WEIGHTS)
    assert same(returns, real().copy())
    assert same(horizons.days, days)
    assert same(volume, np.array([1.0, np.nan, 2.0]))
