"""Backtests of many series whose forecasts are true, or wrong by a known amount: how often they reject."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.risk.measures.backtests import (
    VarBacktest,
    backtest,
)

TESTS = ("kupiec", "independence", "conditional_coverage", "duration", "shortfall_z1", "shortfall_z2")


@pytest.fixture(scope="module")
def under_the_null() -> list[VarBacktest]:
    """300 series of 1,000 Student-t returns of changing volatility, with their true VaR and ES at 97.5 %."""
    draw = np.random.default_rng(12)
    quantile = stats.t.ppf(0.975, 5.0)
    shortfall = stats.t.pdf(quantile, 5.0) / 0.025 * (5.0 + quantile**2) / 4.0
    volatility = np.exp(draw.normal(0.0, 0.5, (300, 1_000)))
    returns = volatility * draw.standard_t(5.0, (300, 1_000))
    return [
        backtest(r, v * quantile, v * shortfall, 0.975, simulations=500)
        for r, v in zip(returns, volatility, strict=True)
    ]


@pytest.mark.parametrize(("name", "lowest"), [(name, 0.02) for name in TESTS if name != "independence"])
def test_true_forecasts_are_rejected_about_as_often_as_the_level_says(
    under_the_null: list[VarBacktest], name: str, lowest: float
) -> None:
    """300 draws at 5 % have a standard error of 1.3 points; the ratios are asymptotic and discrete."""
    p_values = np.array([getattr(made, name).p_value for made in under_the_null], dtype=np.float64)
    assert lowest <= np.mean(p_values < 0.05) <= 0.09


def test_independence_is_rejected_no_more_often_than_the_level_says(under_the_null: list[VarBacktest]) -> None:
    """With 25 expected exceptions two in a row are rare, so the test is known to be conservative."""
    assert np.mean([made.independence.p_value < 0.05 for made in under_the_null]) <= 0.06  # type: ignore[operator]


def test_a_third_too_low_is_found_by_coverage_and_shortfall() -> None:
    returns = np.random.default_rng(5).standard_t(5.0, 1_000)
    quantile = 0.67 * stats.t.ppf(0.975, 5.0)
    made = backtest(returns, np.full(1_000, quantile), np.full(1_000, 1.4 * quantile), 0.975)
    for statistic in (made.kupiec, made.conditional_coverage, made.shortfall_z2):
        assert statistic.p_value < 0.01  # type: ignore[operator]
