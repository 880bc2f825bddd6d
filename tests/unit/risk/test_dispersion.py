"""Volatility, Sharpe and Sortino ratio against their definitions, by the exact arithmetic of `statistics`."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.risk.measures import MEASURES, RiskSpec, Windows
from pipeline.risk.measures.dispersion import sharpe_ratio, sortino_ratio, standard_deviation, volatility
from tests.unit.risk.series import PROPERTY, drawn_returns, return_lists

RATES = st.sampled_from([0.0, 0.03, 0.12, -0.005])


def compounding_rate_daily(rate_annual: float) -> float:
    """The daily rate that, compounded 252 times, gives the annual one; by logarithms instead of a root."""
    return math.expm1(math.log1p(rate_annual) / 252)


def sharpe_twin(returns: list[float], rate_annual: float) -> float:
    excess = [earned - compounding_rate_daily(rate_annual) for earned in returns]
    spread = stdev(excess)
    return math.sqrt(252) * fmean(excess) / spread if len(set(returns)) > 1 else math.nan


def sortino_twin(returns: list[float], rate_annual: float) -> float:
    """The lower partial moment counts every session; those above the target with a shortfall of 0."""
    target = compounding_rate_daily(rate_annual)
    shortfalls = [max(target - earned, 0.0) for earned in returns]
    if not any(shortfalls):
        return math.nan
    lpm2 = sum(shortfall**2 for shortfall in shortfalls) / len(returns)
    return math.sqrt(252) * (fmean(returns) - target) / math.sqrt(lpm2)


def test_the_daily_risk_free_rate_compounds_to_the_annual_one() -> None:
    for rate in (0.0, 0.03, 0.25, -0.01):
        daily = RiskSpec(risk_free_rate_annual=rate).risk_free_rate_daily
        assert daily == pytest.approx(compounding_rate_daily(rate), rel=1e-11, abs=1e-17)
        assert (1.0 + daily) ** 252 == pytest.approx(1.0 + rate, rel=1e-12)
    assert RiskSpec(periods_per_year=12, risk_free_rate_annual=0.12).risk_free_rate_daily == pytest.approx(
        0.00948879293
    )


@PROPERTY
@given(return_lists(minimum_sessions=2))
def test_volatility_is_the_sample_standard_deviation_by_the_root_of_time(returns: list[float]) -> None:
    assert float(volatility(np.array(returns), 252)) == pytest.approx(math.sqrt(252) * stdev(returns), rel=1e-9)


def test_volatility_divides_by_one_less_than_the_sessions() -> None:
    assert float(volatility(np.array([0.01, -0.01]), 1)) == pytest.approx(0.01 * math.sqrt(2.0), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, -0.1, 1e-5, 1.0 / 3.0])
def test_a_constant_series_has_no_dispersion_at_all(value: float) -> None:
    """The mean of 252 × 0.1 is not 0.1 in floating point; the deviation is 0 nevertheless."""
    assert standard_deviation(np.full(252, value)) == 0.0
    assert volatility(np.full(252, value), 252) == 0.0
    assert np.isnan(sharpe_ratio(np.full(252, value), 0.0001, 252))


@PROPERTY
@given(return_lists(minimum_sessions=2), RATES)
def test_sharpe_equals_its_definition(returns: list[float], rate: float) -> None:
    daily = RiskSpec(risk_free_rate_annual=rate).risk_free_rate_daily
    made = float(sharpe_ratio(np.array(returns), daily, 252))
    assert made == pytest.approx(sharpe_twin(returns, rate), rel=1e-9, abs=1e-9, nan_ok=True)


@PROPERTY
@given(return_lists(minimum_sessions=2), RATES)
def test_sortino_equals_its_definition(returns: list[float], rate: float) -> None:
    daily = RiskSpec(risk_free_rate_annual=rate).risk_free_rate_daily
    made = float(sortino_ratio(np.array(returns), daily, 252))
    assert made == pytest.approx(sortino_twin(returns, rate), rel=1e-9, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(("name", "twin"), [("sharpe_ratio", sharpe_twin), ("sortino_ratio", sortino_twin)])
def test_the_registry_passes_the_risk_free_rate_on(name: str, twin: Callable[[list[float], float], float]) -> None:
    returns = drawn_returns(252, seed=8)
    (measure,) = (m for m in MEASURES if m.name == name)
    made = {
        rate: float(measure.compute(Windows(returns, returns), RiskSpec(risk_free_rate_annual=rate)))
        for rate in (0.0, 0.05)
    }
    assert made == {rate: pytest.approx(twin(returns.tolist(), rate), rel=1e-9) for rate in (0.0, 0.05)}
    assert made[0.05] < made[0.0] - 0.1


def test_sortino_counts_the_sessions_above_the_target() -> None:
    """One loss of 4 % in four sessions: √(0.04² / 4) = 2 %, whereas over the losses alone it would be 4 %."""
    assert float(sortino_ratio(np.array([0.03, 0.03, 0.02, -0.04]), 0.0, 1)) == pytest.approx(0.01 / 0.02, rel=1e-12)


def test_sortino_counts_even_the_smallest_shortfall() -> None:
    """One tick: a fall of a thousandth of a per cent, once a year."""
    returns = np.r_[-1e-5, np.full(251, 0.001)]
    expected = sortino_twin(returns.tolist(), 0.0)
    assert float(sortino_ratio(returns, 0.0, 252)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("returns", [[0.0, 0.0, 0.0], [0.01, 0.02, 0.0], [0.0001, 0.0001]])
def test_sortino_has_no_value_without_a_return_below_the_target(returns: list[float]) -> None:
    assert np.isnan(sortino_ratio(np.array(returns), 0.0, 252))
    assert np.isfinite(sortino_ratio(np.array(returns), 0.001, 252))
