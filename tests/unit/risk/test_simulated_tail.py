"""Simulated tails against closed forms, within their own standard errors."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from pipeline.base.types import FloatArray
from pipeline.risk.measures import MeasureInputError
from pipeline.risk.measures.parametric_tail import gaussian_tail, student_t_tail
from pipeline.risk.measures.simulated_losses import losses_tail
from pipeline.risk.measures.simulated_tail import monte_carlo_tail, portfolio_monte_carlo_tail
from pipeline.risk.measures.tail import historical_es, historical_var
from pipeline.risk.measures.tail_spec import TailEstimate, TailSpec
from tests.unit.risk.series import drawn_returns, same

SPEC = TailSpec(0.99, paths=200_000, seed=7)
WEIGHTS = np.array([0.5, 0.8, -0.3])
MEAN = np.array([0.0004, 0.0002, 0.0])
SPREAD = np.array([0.01, 0.02, 0.015])
COVARIANCE = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, -0.1], [0.2, -0.1, 1.0]]) * np.outer(SPREAD, SPREAD)


def assert_within_errors(made: TailEstimate, var: float, es: float) -> None:
    assert made.var_standard_error is not None
    assert made.es_standard_error is not None
    assert abs(made.var - var) < 4.0 * made.var_standard_error
    assert abs(made.es - es) < 4.0 * made.es_standard_error
    assert 0.0 < made.var_standard_error < 0.02 * var


@pytest.mark.parametrize("confidence", [0.95, 0.975, 0.99])
def test_simulated_figures_are_the_closed_forms_of_the_fitted_laws(confidence: float) -> None:
    returns = drawn_returns(500, seed=1)
    spec = replace(SPEC, confidence=confidence)
    for law, closed in (("student_t", student_t_tail), ("gaussian", gaussian_tail)):
        exact = closed(returns, spec)
        made = monte_carlo_tail(returns, replace(spec, law=law))  # type: ignore[arg-type]
        assert_within_errors(made, float(exact.var), float(exact.es))


def test_the_standard_errors_are_the_spread_over_seeds() -> None:
    returns = drawn_returns(300, seed=2)
    made = [monte_carlo_tail(returns, TailSpec(0.975, paths=4_000, seed=seed)) for seed in range(300)]
    for figure, error in (("var", "var_standard_error"), ("es", "es_standard_error")):
        stated = np.mean([getattr(estimate, error) for estimate in made])
        assert np.std([getattr(estimate, figure) for estimate in made]) == pytest.approx(stated, rel=0.15)


def test_figures_of_simulated_returns_are_the_historical_ones() -> None:
    earned = drawn_returns(3, 5_000, seed=3)
    for confidence in (0.5, 0.9, 0.975, 0.9999):
        made = losses_tail(earned, confidence)
        assert same(made.var, historical_var(earned, confidence))
        np.testing.assert_allclose(made.es, historical_es(earned, confidence), rtol=1e-12)


def test_several_sessions_of_a_normal_law_compound() -> None:
    returns = 0.0005 + 0.01 * stats.norm.ppf((np.arange(500) + 0.5) / 500)
    spec = replace(SPEC, law="gaussian", horizon_sessions=5, scaling="simulation")
    draw = np.random.default_rng(1).normal(returns.mean(), returns.std(ddof=1), (400_000, 5))
    independent = losses_tail(np.prod(1.0 + draw, axis=1) - 1.0, 0.99)
    assert_within_errors(monte_carlo_tail(returns, spec), float(independent.var), float(independent.es))


# Portfolios


def portfolio(spec: TailSpec = SPEC, weights: FloatArray = WEIGHTS, freedom: float = 5.0) -> TailEstimate:
    return portfolio_monte_carlo_tail(weights, MEAN, COVARIANCE, spec, freedom)


def test_a_portfolio_of_normal_positions_has_the_closed_form() -> None:
    law = stats.norm(WEIGHTS @ MEAN, math.sqrt(WEIGHTS @ COVARIANCE @ WEIGHTS))
    es = -law.expect(lambda x: x, ub=law.ppf(0.01), conditional=True)
    assert_within_errors(portfolio(replace(SPEC, law="gaussian")), -law.ppf(0.01), es)


@pytest.mark.parametrize("freedom", [3.5, 5.0, 12.0])
def test_a_portfolio_of_student_t_positions_keeps_law_and_covariance(freedom: float) -> None:
    deviation = math.sqrt(WEIGHTS @ COVARIANCE @ WEIGHTS)
    law = stats.t(freedom, WEIGHTS @ MEAN, deviation * math.sqrt((freedom - 2.0) / freedom))
    es = -law.expect(lambda x: x, ub=law.ppf(0.01), conditional=True)
    assert_within_errors(portfolio(freedom=freedom), -law.ppf(0.01), es)


def test_a_seed_names_its_paths() -> None:
    one, two, other = portfolio(), portfolio(), portfolio(replace(SPEC, seed=8))
    assert (one.var, one.es) == (two.var, two.es)
    assert one.var != other.var


def test_losses_of_a_portfolio_scale_with_its_weights() -> None:
    assert portfolio(weights=2.0 * WEIGHTS).var == pytest.approx(2.0 * float(portfolio().var), rel=1e-12)


@pytest.mark.parametrize(
    ("weights", "mean", "covariance", "message"),
    [
        (np.empty(0), np.empty(0), np.empty((0, 0)), r"weights: shape \(0,\)"),
        (WEIGHTS, MEAN[:2], COVARIANCE, r"mean: shape \(2,\); give \(3,\), one entry a position"),
        (WEIGHTS, MEAN, COVARIANCE[:2], r"covariance: shape \(2, 3\); give \(3, 3\)"),
        (WEIGHTS, MEAN * np.nan, COVARIANCE, r"mean: NaN or infinite; repair or drop"),
        (WEIGHTS, MEAN, COVARIANCE + np.triu(COVARIANCE, 1), r"covariance: not symmetric; give"),
        (WEIGHTS, MEAN, np.ones((3, 3)), r"covariance: not positive definite; shrink it"),
        (WEIGHTS, MEAN, -COVARIANCE, r"covariance: not positive definite; shrink it"),
    ],
)
def test_positions_that_fit_no_law_are_refused(
    weights: FloatArray, mean: FloatArray, covariance: FloatArray, message: str
) -> None:
    with pytest.raises(MeasureInputError, match=f"^{message}"):
        portfolio_monte_carlo_tail(weights, mean, covariance, SPEC)


def test_a_law_without_variance_is_refused() -> None:
    with pytest.raises(MeasureInputError, match=r"^degrees_of_freedom=2\.0: give more than 2"):
        portfolio(freedom=2.0)
