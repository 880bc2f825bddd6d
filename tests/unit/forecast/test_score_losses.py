"""Losses, the test of equal accuracy and the tests of hits against closed forms and other programs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import chdtrc, stdtr

from pipeline.base.types import FloatArray
from pipeline.forecast.models.baselines import Constant, Historical, baseline_of
from pipeline.forecast.models.comparison import diebold_mariano, newey_west_lags
from pipeline.forecast.models.coverage import coverage_tests, dynamic_quantile_test
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.scores import (
    fissler_ziegel_losses,
    pinball_error,
    pinball_losses,
    qlike_error,
    qlike_losses,
    squared_errors,
)


def draws(count: int, seed: int = 3) -> FloatArray:
    return np.random.default_rng(seed).standard_normal(count)


# Losses -------------------------------------------------------------------------------------------------


def test_the_errors_are_the_means_of_the_losses() -> None:
    realised, forecast = draws(50) ** 2 + 0.1, draws(50, 4) ** 2 + 0.1
    assert qlike_error(realised, forecast) == qlike_losses(realised, forecast).mean()
    assert pinball_error(draws(50), draws(50, 4), 0.1) == pinball_losses(draws(50), draws(50, 4), 0.1).mean()
    assert squared_errors(np.array([3.0, 1.0]), np.array([1.0, 4.0])).tolist() == [4.0, 9.0]


def test_fissler_ziegel_by_hand() -> None:
    """With Q -0.02, s 0.03 and q 0.05: (Q - r)⁺ / (q s) - Q / s + ln s - 1."""
    made = fissler_ziegel_losses(np.array([0.01, -0.02, -0.05]), np.full(3, -0.02), np.full(3, 0.03), 0.05)
    calm = 0.02 / 0.03 + math.log(0.03) - 1.0
    assert made == pytest.approx([calm, calm, calm + 0.03 / (0.05 * 0.03)], rel=1e-14)


def test_fissler_ziegel_is_least_at_the_truth() -> None:
    """Of a standard normal at 2.5 %: quantile -1.959964, shortfall 2.337803 (φ(1.959964) / 0.025)."""
    realised = draws(400_000)
    truth, level = (-1.959964, 2.337803), 0.025

    def loss(quantile: float, shortfall: float) -> float:
        size = realised.shape
        return float(fissler_ziegel_losses(realised, np.full(size, quantile), np.full(size, shortfall), level).mean())

    for quantile, shortfall in ((-1.8, 2.337803), (-2.2, 2.337803), (-1.959964, 2.1), (-1.959964, 2.6)):
        assert loss(quantile, shortfall) > loss(*truth)


def test_differences_of_fissler_ziegel_have_no_unit() -> None:
    realised, other = draws(100), draws(100, 9)
    one = fissler_ziegel_losses(realised, -1.0 - other**2, 2.0 + other**2, 0.05)
    two = fissler_ziegel_losses(realised, np.full(100, -1.6), np.full(100, 2.1), 0.05)
    large = fissler_ziegel_losses(100 * realised, 100 * (-1.0 - other**2), 100 * (2.0 + other**2), 0.05)
    large_two = fissler_ziegel_losses(100 * realised, np.full(100, -160.0), np.full(100, 210.0), 0.05)
    assert large - large_two == pytest.approx(one - two, rel=1e-12)


def test_a_shortfall_of_nothing_is_refused() -> None:
    with pytest.raises(ForecastInputError, match="shortfall must be above 0"):
        fissler_ziegel_losses(np.zeros(1), np.zeros(1), np.zeros(1), 0.01)


# Equal accuracy -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lags", [0, 1, 4, 20])
def test_diebold_mariano_is_a_regression_on_a_constant_with_hac_errors(lags: int) -> None:
    differences = 0.1 + np.convolve(draws(250), np.ones(5), mode="valid")
    fit = sm.OLS(differences, np.ones(len(differences))).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": False}
    )
    made = diebold_mariano(differences, lags=lags)
    assert made.value == pytest.approx(float(fit.tvalues[0]), rel=1e-10)
    assert made.p_value == pytest.approx(2.0 * stdtr(len(differences) - 1, -abs(fit.tvalues[0])), rel=1e-10)


def test_blocks_of_equal_size_are_their_means() -> None:
    differences = draws(60)
    sums, counts = differences * 21.0, np.full(60, 21)
    assert diebold_mariano(sums, counts).value == pytest.approx(diebold_mariano(differences).value, rel=1e-12)


def test_blocks_of_unequal_size_are_a_ratio() -> None:
    """By hand for lag 0: Σ(D - n ΣD/Σn)² is the variance of ΣD."""
    sums, counts = draws(20) + 1.0, np.arange(1, 21)
    mean = sums.sum() / counts.sum()
    error = math.sqrt(float(((sums - counts * mean) ** 2).sum()))
    assert diebold_mariano(sums, counts, lags=0).value == pytest.approx(sums.sum() / error, rel=1e-12)


def test_equal_forecasts_are_rejected_as_often_as_the_level_says() -> None:
    """400 series of 300 with a moving average of five; 5 % plus what HAC errors are known to reject too often."""
    rejected = [
        (diebold_mariano(np.convolve(draws(304, seed), np.ones(5), mode="valid"), lags=12).p_value or 1.0) < 0.05
        for seed in range(400)
    ]
    assert 0.03 < np.mean(rejected) < 0.12


@pytest.mark.parametrize(
    ("differences", "reason"),
    [
        (np.ones(11), "fewer_than_12_blocks"),
        (np.zeros(50), "no_variation_of_the_differences"),
        (np.full(50, 0.1), "no_variation_of_the_differences"),
    ],
)
def test_what_cannot_be_compared_says_why(differences: FloatArray, reason: str) -> None:
    assert diebold_mariano(differences).undefined_because == reason


def test_lags_by_the_rule_of_newey_and_west() -> None:
    assert [newey_west_lags(n) for n in (12, 100, 396)] == [2, 4, 5]


@pytest.mark.parametrize(
    ("differences", "forecasts", "lags", "message"),
    [
        (np.array([[1.0]]), None, None, "differences: shape"),
        (np.ones(3), np.ones(2, int), None, "differences: shape"),
        (np.array([1.0, np.nan]), None, None, "differences: NaN"),
        (np.ones(2), np.array([1, 0]), None, "forecasts: a block without any"),
        (np.ones(2), None, -1, "lags=-1"),
    ],
)
def test_wrong_blocks_are_refused(differences, forecasts, lags, message: str) -> None:
    with pytest.raises(ForecastInputError, match=message):
        diebold_mariano(differences, forecasts, lags)


# Hits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_quantile", [False, True])
def test_dynamic_quantile_is_the_wald_statistic_of_a_regression(with_quantile: bool) -> None:
    level, hits = 0.05, draws(1_000) < -1.6
    known = draws(1_000, 8)[:, None] if with_quantile else None
    centred = hits - level
    columns = [np.ones(996), *(centred[4 - lag : 1_000 - lag] for lag in (1, 2, 3, 4))]
    design = np.column_stack(columns if known is None else [*columns, known[4:]])
    fit = sm.OLS(centred[4:], design).fit()
    expected = float(fit.params @ design.T @ design @ fit.params) / (level * (1.0 - level))
    made = dynamic_quantile_test(hits, level, regressors=known)
    assert made.value == pytest.approx(expected, rel=1e-9)
    assert made.p_value == pytest.approx(chdtrc(design.shape[1], expected), rel=1e-9)


def test_clustered_hits_are_found_where_their_number_is_right() -> None:
    hits = np.zeros(1_000, dtype=bool)
    hits[100:110] = True
    made = coverage_tests(hits, 0.01)
    assert (made.hits, made.observations, made.coverage) == (10, 1_000, 0.01)
    assert made.kupiec.p_value == pytest.approx(1.0, abs=1e-6)
    assert (made.independence.p_value or 1.0) < 1e-6
    assert (made.dynamic_quantile.p_value or 1.0) < 1e-6
    spread = np.arange(1_000) % 100 == 50
    assert (coverage_tests(spread, 0.01).dynamic_quantile.p_value or 0.0) > 0.5


def test_independent_hits_are_rejected_as_often_as_the_level_says() -> None:
    """At 5 % of 1,000 the asymptotic law holds well enough: 5 % of 500 series, within three standard errors."""
    rejected = [
        (dynamic_quantile_test(np.random.default_rng(seed).random(1_000) < 0.05, 0.05).p_value or 0.0) < 0.05
        for seed in range(500)
    ]
    assert 0.02 < np.mean(rejected) < 0.09


def test_no_hit_tells_nothing_of_a_pattern() -> None:
    assert dynamic_quantile_test(np.zeros(500, bool), 0.01).undefined_because == "regressors_depend_on_each_other"
    assert dynamic_quantile_test(np.ones(6, bool), 0.01).undefined_because == "fewer_sessions_than_regressors"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dynamic_quantile_test(np.ones(1, bool), 0.01), "hits: shape"),
        (lambda: dynamic_quantile_test(np.ones(9), 0.01), "hits: float64"),
        (lambda: dynamic_quantile_test(np.ones(9, bool), 1.0), "level=1.0"),
        (lambda: dynamic_quantile_test(np.ones(9, bool), 0.1, lags=-1), "lags=-1"),
        (lambda: dynamic_quantile_test(np.ones(9, bool), 0.1, regressors=np.ones((8, 1))), "regressors: shape"),
    ],
)
def test_wrong_hits_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ForecastInputError, match=message):
        call()


# Baselines ----------------------------------------------------------------------------------------------


def test_the_constant_is_the_root_mean_square_of_the_newest_returns() -> None:
    returns = draws(300) / 100
    made = Constant(window_returns=100, minimum=20).forecast(returns, (1, 5), range(301))
    assert np.isnan(made.values[:20]).all()
    for row in (20, 99, 100, 300):
        expected = math.sqrt(float(np.mean(returns[max(row - 100, 0) : row] ** 2)))
        assert made.values[row] == pytest.approx([expected, expected], rel=1e-9)


def test_the_historical_quantile_is_an_order_statistic_of_the_year() -> None:
    returns = draws(2_600) / 100
    made = Historical().forecast(returns, (0.01, 0.5), (0.01,), range(2_601))
    assert np.isnan(made.quantiles[:252]).all()
    for row in (252, 1_000, 2_299, 2_300, 2_301, 2_600):
        ordered = np.sort(returns[row - 252 : row])
        assert made.quantiles[row].tolist() == [ordered[2], ordered[125]]
        expected = -(ordered[0] + ordered[1] + 0.52 * ordered[2]) / 2.52
        assert made.shortfalls[row, 0] == pytest.approx(expected, rel=1e-12)


def test_a_baseline_sees_nothing_of_what_follows() -> None:
    returns = draws(700) / 100
    changed = np.append(returns[:500], np.full(200, 0.5))
    for model, of in ((Constant(), (1, 21)), (Historical(), (0.01, 0.99))):
        both = []
        for series in (returns, changed):
            made = (
                model.forecast(series, of, range(501)).values
                if isinstance(model, Constant)
                else model.forecast(series, of, (0.01,), range(501)).quantiles
            )
            both.append(made)
        assert np.array_equal(both[0], both[1], equal_nan=True)


def test_ewma_is_compared_with_the_constant_and_all_else_with_ewma() -> None:
    assert [baseline_of(model) for model in ("har", "ewma")] == ["ewma", "constant"]


@pytest.mark.parametrize("make", [lambda: Constant(10, 20), lambda: Constant(10, 0), lambda: Historical(0)])
def test_windows_that_cannot_be_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ForecastInputError, match="window_returns"):
        make()
