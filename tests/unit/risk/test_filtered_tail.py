"""Filtered methods against their recursions in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pipeline.base.types import FloatArray
from pipeline.risk.measures.filtered_tail import (
    VOLATILITY_FLOOR,
    WARM_UP_SESSIONS,
    ewma_paths_tail,
    ewma_tail,
    ewma_volatility,
    filtered,
    filtered_historical_tail,
)
from pipeline.risk.measures.tail import historical_es, historical_var
from pipeline.risk.measures.tail_spec import TailSpec
from tests.unit.risk.series import drawn_returns

SPEC = TailSpec(0.99)


def weighted_volatility(returns: list[float], decay: float) -> float:
    """√(Σ λᵏ r²(t-1-k) / Σ λᵏ)."""
    weights = [decay**age for age in range(len(returns))]
    squares = [earned**2 for earned in reversed(returns)]
    return math.sqrt(math.fsum(w * s for w, s in zip(weights, squares, strict=True)) / math.fsum(weights))


@pytest.mark.parametrize("decay", [0.5, 0.94, 0.97, 0.999])
@pytest.mark.parametrize("sessions", [1, 22, 250])
def test_the_volatility_is_the_weighted_mean_of_squares(decay: float, sessions: int) -> None:
    returns = drawn_returns(sessions, seed=sessions)
    assert ewma_volatility(returns, decay) == pytest.approx(weighted_volatility(returns.tolist(), decay), rel=1e-12)


def test_the_volatility_follows_the_riskmetrics_recursion_once_the_start_has_faded() -> None:
    returns = drawn_returns(1_000, seed=2)
    variance = 1e-4
    for earned in returns.tolist():
        variance = 0.94 * variance + 0.06 * earned**2
    assert ewma_volatility(returns, 0.94) == pytest.approx(math.sqrt(variance), rel=1e-12)


@pytest.mark.parametrize("confidence", [0.95, 0.975, 0.99])
def test_ewma_figures_are_those_of_a_normal_law_with_mean_0(confidence: float) -> None:
    returns = drawn_returns(250, seed=3)
    law = stats.norm(0.0, weighted_volatility(returns.tolist(), 0.94))
    made = ewma_tail(returns, TailSpec(confidence))
    assert made.var == pytest.approx(law.ppf(confidence), rel=1e-12)
    assert made.es == pytest.approx(law.expect(lambda x: x, lb=law.ppf(confidence), conditional=True), rel=1e-8)


def residuals_in_plain_python(returns: list[float], decay: float) -> list[float]:
    floor = VOLATILITY_FLOOR * math.sqrt(math.fsum(earned**2 for earned in returns) / len(returns))
    volatilities = [max(weighted_volatility(returns[:t], decay), floor) for t in range(WARM_UP_SESSIONS, len(returns))]
    return [earned / v for earned, v in zip(returns[WARM_UP_SESSIONS:], volatilities, strict=True)]


def test_each_residual_is_a_return_over_the_volatility_before_it() -> None:
    returns = drawn_returns(130, seed=4)
    residuals, volatility = filtered(returns, 0.94)
    np.testing.assert_allclose(residuals, residuals_in_plain_python(returns.tolist(), 0.94), rtol=1e-11)
    assert volatility == pytest.approx(weighted_volatility(returns.tolist(), 0.94), rel=1e-12)


def test_scenarios_are_residuals_at_todays_volatility() -> None:
    returns = drawn_returns(400, seed=5)
    scenarios = np.array(residuals_in_plain_python(returns.tolist(), 0.94))
    scenarios *= weighted_volatility(returns.tolist(), 0.94)
    made = filtered_historical_tail(returns, SPEC)
    assert made.var == pytest.approx(float(historical_var(scenarios, 0.99)), rel=1e-11)
    assert made.es == pytest.approx(float(historical_es(scenarios, 0.99)), rel=1e-11)


def test_a_stretch_without_trades_does_not_make_the_next_move_infinite() -> None:
    returns = drawn_returns(252, seed=6)
    returns[50:200] = 0.0
    residuals, volatility = filtered(returns, 0.5)
    assert np.isfinite(residuals).all()
    assert np.abs(residuals).max() <= np.abs(returns).max() / (VOLATILITY_FLOOR * np.sqrt(np.mean(returns**2))) + 1e-9
    returns[50:] = 0.0
    assert filtered(returns, 0.5)[1] == pytest.approx(VOLATILITY_FLOOR * math.sqrt(np.mean(returns**2)))
    assert volatility > 0.0


def test_figures_follow_volatility_where_the_historical_ones_stay() -> None:
    calm, wild = 0.005 * drawn_returns(200, seed=7) / 0.008, 4.0 * drawn_returns(50, seed=8)
    rising, falling = np.r_[calm, wild], np.r_[wild, calm]
    assert historical_var(rising, 0.99) == historical_var(falling, 0.99)
    for estimate in (ewma_tail, filtered_historical_tail):
        assert estimate(rising, SPEC).var > 3.0 * estimate(falling, SPEC).var


def _steady(sessions: int) -> FloatArray:
    """Returns of ±1 %: their volatility is 1 % with any weights."""
    return 0.01 * (-1.0) ** np.arange(sessions)


def test_one_simulated_session_is_the_closed_form() -> None:
    made = ewma_paths_tail(_steady(250), TailSpec(0.99, paths=400_000))(0.99)
    assert made.var_standard_error is not None
    assert made.es_standard_error is not None
    assert abs(made.var - 0.01 * 2.326348) < 4.0 * made.var_standard_error
    assert abs(made.es - 0.01 * 2.665214) < 4.0 * made.es_standard_error


def test_simulated_variance_clusters_so_long_horizons_have_fat_tails() -> None:
    spec = TailSpec(0.995, horizon_sessions=60, scaling="simulation", paths=100_000, ewma_lambda=0.8)
    made, steadier = (ewma_paths_tail(_steady(250), s)(0.995) for s in (spec, TailSpec(0.995, 60, "simulation", 0.999)))
    assert made.es / made.var > 1.05 * (steadier.es / steadier.var)
