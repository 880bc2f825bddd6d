"""Losses and coverage against values worked out by hand or by scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import chdtrc, xlogy
from sklearn.metrics import mean_pinball_loss

from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.scores import coverage, kupiec_p_value, pinball_error, qlike_error, realised_variance


def test_qlike_is_zero_only_for_the_realised_variance() -> None:
    realised = np.array([1e-4, 4e-4])
    assert qlike_error(realised, realised) == 0.0
    assert qlike_error(realised, 2.0 * realised) == pytest.approx(0.5 + math.log(2.0) - 1.0)
    assert qlike_error(realised, 0.5 * realised) == pytest.approx(2.0 - math.log(2.0) - 1.0)


def test_qlike_ranks_by_the_expected_variance() -> None:
    """Its expectation over a noisy proxy is least at the true variance (Patton 2011)."""
    shocks = np.random.default_rng(5).standard_normal(20_000) ** 2 + 1e-9
    errors = [qlike_error(shocks, np.full(20_000, variance)) for variance in (0.8, 1.0, 1.25)]
    assert errors[1] == min(errors)


def test_pinball_equals_scikit_learn() -> None:
    draw = np.random.default_rng(6)
    realised, quantile = draw.standard_normal(500), draw.standard_normal(500)
    for level in (0.01, 0.5, 0.975):
        assert pinball_error(realised, quantile, level) == pytest.approx(
            mean_pinball_loss(realised, quantile, alpha=level), rel=1e-12
        )


def test_coverage_counts_returns_strictly_below() -> None:
    assert coverage(np.array([-0.03, -0.02, 0.0, 0.01]), np.full(4, -0.02)) == 0.25


@pytest.mark.parametrize(
    ("breaches", "observations", "level"), [(0, 250, 0.01), (7, 250, 0.01), (40, 40, 0.99), (3, 9, 0.5)]
)
def test_kupiec_equals_the_likelihood_ratio_by_scipy(breaches: int, observations: int, level: float) -> None:
    def log_likelihood(rate: float) -> float:
        return float(xlogy(breaches, rate) + xlogy(observations - breaches, 1.0 - rate))

    ratio = 2.0 * (log_likelihood(breaches / observations) - log_likelihood(level))
    assert kupiec_p_value(breaches, observations, level) == pytest.approx(float(chdtrc(1, ratio)), rel=1e-9)


def test_kupiec_rejects_where_the_published_table_does() -> None:
    """Kupiec (1995), table 3: at 1 % and 255 sessions fewer than 7 breaches are not rejected at 5 %."""
    assert [kupiec_p_value(breaches, 255, 0.01) > 0.05 for breaches in (1, 6, 7)] == [True, True, False]
    assert kupiec_p_value(10, 1000, 0.01) == 1.0


def test_realised_variance_is_the_mean_square_of_the_sessions_after_the_row() -> None:
    returns = np.array([0.01, -0.02, 0.03, 0.04])
    made = realised_variance(returns, 2, np.array([0, 1, 2, 3, 4]))
    assert made[:3] == pytest.approx([2.5e-4, 6.5e-4, 12.5e-4])
    assert np.isnan(made[3:]).all()


@pytest.mark.parametrize(
    ("realised", "forecast", "message"),
    [
        ([], [], "give one of each"),
        ([1.0], [1.0, 2.0], "give one of each"),
        ([math.nan], [1.0], "NaN"),
        ([1.0], [math.inf], "NaN or infinite"),
        ([0.0], [1.0], "above 0"),
        ([1.0], [-1.0], "above 0"),
    ],
)
def test_pairs_that_cannot_be_scored_are_refused(realised: list[float], forecast: list[float], message: str) -> None:
    with pytest.raises(ForecastInputError, match=message):
        qlike_error(np.array(realised), np.array(forecast))


@pytest.mark.parametrize(
    ("breaches", "observations", "level"), [(1, 0, 0.01), (-1, 9, 0.01), (10, 9, 0.01), (1, 9, 1.0)]
)
def test_counts_that_cannot_be_are_refused(breaches: int, observations: int, level: float) -> None:
    with pytest.raises(ForecastInputError, match="kupiec_p_value"):
        kupiec_p_value(breaches, observations, level)
