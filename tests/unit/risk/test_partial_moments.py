"""Partial moments, deviations, corrected moments and counts of gains against skfolio, scipy and definitions."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from skfolio import measures as skfolio_measures

from pipeline.base.types import FloatArray
from pipeline.risk.measures.dispersion import (
    downside_deviation,
    ewma_volatility,
    lower_partial_moment,
    mean_absolute_deviation,
    omega_ratio,
    semi_deviation,
    sortino_ratio,
    volatility,
)
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.growth import cagr, gain_loss_ratio, hit_rate, total_return
from pipeline.risk.measures.moments import excess_kurtosis, skewness
from tests.unit.risk.market import CRISIS_YEARS, stock_returns
from tests.unit.risk.series import PROPERTY, drawn_returns, return_lists, same

TARGETS = st.sampled_from([0.0, 0.0004, -0.01, 0.02])


def columns() -> FloatArray:
    return np.ascontiguousarray(stock_returns()[CRISIS_YEARS].T)


@PROPERTY
@given(return_lists(), TARGETS, st.integers(0, 4))
def test_lower_partial_moments_equal_their_definition(returns: list[float], target: float, order: int) -> None:
    shortfalls = [target - earned for earned in returns if earned < target]
    expected = math.fsum(shortfall**order for shortfall in shortfalls) / len(returns)
    made = float(lower_partial_moment(np.array(returns), target, order))
    assert made == pytest.approx(expected, rel=1e-11, abs=1e-18)


def test_deviations_of_real_stocks_equal_skfolio() -> None:
    panel, wide = columns(), columns().T
    np.testing.assert_allclose(semi_deviation(panel, 1), skfolio_measures.semi_deviation(wide, biased=True), rtol=1e-10)
    np.testing.assert_allclose(
        mean_absolute_deviation(panel), skfolio_measures.mean_absolute_deviation(wide), rtol=1e-10
    )
    for target in (0.0, 0.0005):
        expected = skfolio_measures.semi_deviation(wide, min_acceptable_return=target, biased=True)
        np.testing.assert_allclose(downside_deviation(panel, target, 1), expected, rtol=1e-10)
        expected = skfolio_measures.first_lower_partial_moment(wide, min_acceptable_return=target)
        np.testing.assert_allclose(lower_partial_moment(panel, target, 1), expected, rtol=1e-10)


def test_sortino_divides_by_the_downside_deviation() -> None:
    panel = columns()
    expected = 252 * np.mean(panel - 0.0001, axis=-1) / downside_deviation(panel, 0.0001, 252)
    np.testing.assert_allclose(sortino_ratio(panel, 0.0001, 252), expected, rtol=1e-12)


def test_a_symmetric_series_has_half_of_its_variance_below_the_mean() -> None:
    half = drawn_returns(400)
    symmetric = np.concatenate([half, -half]) + 0.002
    assert float(semi_deviation(symmetric, 252)) == pytest.approx(math.sqrt(252 * np.var(symmetric) / 2.0), rel=1e-10)


def test_known_deviations() -> None:
    returns = np.array([0.03, 0.03, 0.02, -0.04])
    assert float(downside_deviation(returns, 0.0, 1)) == pytest.approx(0.02, rel=1e-12)
    assert float(semi_deviation(returns, 1)) == pytest.approx(0.025, rel=1e-12)
    assert float(mean_absolute_deviation(returns)) == pytest.approx(0.025, rel=1e-12)
    assert float(omega_ratio(returns, 0.0)) == pytest.approx(2.0, rel=1e-12)
    assert float(gain_loss_ratio(returns)) == pytest.approx((0.08 / 3.0) / 0.04, rel=1e-12)
    assert float(hit_rate(returns)) == 0.75


@pytest.mark.parametrize("value", [0.0, 0.1, -0.1, 1.0 / 3.0])
def test_a_constant_series_does_not_deviate(value: float) -> None:
    flat = np.full(252, value)
    assert semi_deviation(flat, 252) == 0.0
    assert mean_absolute_deviation(flat) == 0.0


@PROPERTY
@given(return_lists(), TARGETS)
def test_omega_is_gains_by_losses_around_the_target(returns: list[float], target: float) -> None:
    gains = math.fsum(earned - target for earned in returns if earned > target)
    losses = math.fsum(target - earned for earned in returns if earned < target)
    expected = gains / losses if losses else math.nan
    assert float(omega_ratio(np.array(returns), target)) == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


@PROPERTY
@given(return_lists(minimum_sessions=2))
def test_omega_around_the_mean_is_one(returns: list[float]) -> None:
    mean = fmean(returns)
    if max(returns) - min(returns) > 1e-3:
        assert float(omega_ratio(np.array(returns), mean)) == pytest.approx(1.0, rel=1e-9)


@PROPERTY
@given(return_lists())
def test_gains_and_losses_are_counted_and_averaged(returns: list[float]) -> None:
    gains, losses = [r for r in returns if r > 0.0], [-r for r in returns if r < 0.0]
    assert float(hit_rate(np.array(returns))) == pytest.approx(len(gains) / len(returns), rel=1e-12)
    expected = fmean(gains) / fmean(losses) if gains and losses else math.nan
    assert float(gain_loss_ratio(np.array(returns))) == pytest.approx(expected, rel=1e-9, nan_ok=True)


@PROPERTY
@given(return_lists())
def test_the_total_return_compounds(returns: list[float]) -> None:
    expected = math.expm1(math.fsum(math.log1p(earned) for earned in returns))
    assert float(total_return(np.array(returns))) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert float(cagr(np.array(returns), len(returns))) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_negative_order_is_refused() -> None:
    with pytest.raises(MeasureInputError, match="order=-1: give 0, 1, 2 or more"):
        lower_partial_moment(drawn_returns(9), 0.0, -1)


@pytest.mark.parametrize("sessions", [5, 63, 252, 1_000])
def test_adjusted_moments_equal_scipy_with_bias_correction(sessions: int) -> None:
    panel = np.ascontiguousarray(stock_returns()[-sessions:].T)
    expected = stats.skew(panel, axis=-1, bias=False)
    np.testing.assert_allclose(skewness(panel, "adjusted"), expected, rtol=1e-9, atol=1e-12)
    expected = stats.kurtosis(panel, axis=-1, bias=False)
    np.testing.assert_allclose(excess_kurtosis(panel, "adjusted"), expected, rtol=1e-9, atol=1e-12)


def test_the_correction_is_never_made_silently() -> None:
    panel = drawn_returns(5, 63)
    assert same(skewness(panel), skewness(panel, "population"))
    assert same(excess_kurtosis(panel), excess_kurtosis(panel, "population"))
    assert not np.isclose(skewness(panel), skewness(panel, "adjusted"), rtol=1e-3).any()


def test_too_few_returns_have_no_adjusted_moments() -> None:
    assert np.isnan(skewness(drawn_returns(4, 2), "adjusted")).all()
    assert np.isnan(excess_kurtosis(drawn_returns(4, 3), "adjusted")).all()
    assert np.isfinite(skewness(drawn_returns(4, 3), "adjusted")).all()
    assert np.isfinite(excess_kurtosis(drawn_returns(4, 4), "adjusted")).all()


@pytest.mark.parametrize("measure", [skewness, excess_kurtosis])
def test_an_unknown_correction_is_refused_and_a_constant_has_no_moment(measure: Callable[..., FloatArray]) -> None:
    with pytest.raises(MeasureInputError, match="method='unbiased': no such correction; give population or adjusted"):
        measure(drawn_returns(9), "unbiased")
    assert np.isnan(measure(np.full(252, 0.1), "adjusted"))


def test_ewma_volatility_weighs_the_last_return_most() -> None:
    """Of two returns the last has a share of 1 / 1.94."""
    made = float(ewma_volatility(np.array([0.03, 0.01]), 1))
    assert made == pytest.approx(math.sqrt((0.94 * 0.0009 + 0.0001) / 1.94), rel=1e-12)
    assert float(ewma_volatility(np.full(252, -0.01), 252)) == pytest.approx(0.01 * math.sqrt(252), rel=1e-12)


def test_a_decay_near_one_is_the_root_mean_square() -> None:
    panel = columns()
    made, expected = ewma_volatility(panel, 252, decay=1.0 - 1e-9), np.sqrt(252 * np.mean(panel**2, axis=-1))
    np.testing.assert_allclose(made, expected, rtol=1e-6)
    np.testing.assert_allclose(made, volatility(panel, 252), rtol=1e-2)
