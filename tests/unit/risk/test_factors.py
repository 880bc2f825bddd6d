"""Exposures against scipy, scikit-learn and the hat matrix written out; principal factors against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, Ridge

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.covariance import sample_covariance
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.factors import (
    PENALTY_GRID,
    FactorExposures,
    SingularFactorsError,
    ols_exposures,
    principal_factors,
    ridge_exposures,
    rolling_exposures,
)
from pipeline.risk.measures.relative import beta, jensen_alpha, r_squared
from tests.unit.risk.market import fund_returns, index_returns, stock_returns
from tests.unit.risk.series import PROPERTY, same

SESSIONS = 504


def stocks() -> FloatArray:
    return stock_returns()[-SESSIONS:]


def funds() -> FloatArray:
    return fund_returns()[-SESSIONS:]


def index() -> FloatArray:
    return index_returns()[-SESSIONS:, None]


def parts(exposures: FactorExposures) -> list[FloatArray]:
    return [getattr(exposures, name) for name in FactorExposures.__slots__]


def standardised(factors: FloatArray) -> FloatArray:
    return (factors - factors.mean(axis=0)) / factors.std(axis=0)


def test_ols_equals_sklearn_on_five_factor_funds() -> None:
    made = ols_exposures(stocks(), funds())
    reference = LinearRegression().fit(funds(), stocks())
    np.testing.assert_allclose(made.betas, reference.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(made.alpha_daily, reference.intercept_, rtol=1e-8, atol=1e-13)
    predicted = reference.predict(funds())
    squares = ((stocks() - predicted) ** 2).sum(axis=0)
    np.testing.assert_allclose(made.r_squared, 1.0 - squares / (SESSIONS * stocks().var(axis=0)), rtol=1e-9)
    np.testing.assert_allclose(made.residual_volatility_daily, np.sqrt(squares / (SESSIONS - 6)), rtol=1e-9)
    assert (made.penalty == 0.0).all()


def test_standard_errors_are_those_of_the_normal_equations() -> None:
    made = ols_exposures(stocks(), funds())
    design = np.column_stack([np.ones(SESSIONS), funds()])
    spread = np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
    expected = made.residual_volatility_daily[:, None] * spread
    np.testing.assert_allclose(made.alpha_standard_error, expected[:, 0], rtol=1e-8)
    np.testing.assert_allclose(made.beta_standard_errors, expected[:, 1:], rtol=1e-8)
    np.testing.assert_allclose(made.beta_t, made.betas / expected[:, 1:], rtol=1e-8)
    np.testing.assert_allclose(made.alpha_t, made.alpha_daily / expected[:, 0], rtol=1e-8)


def test_one_factor_equals_scipy_and_the_measures_against_a_benchmark() -> None:
    made = ols_exposures(stocks(), index())
    for column in range(20):
        line = stats.linregress(index()[:, 0], stocks()[:, column])
        got = [made.betas[column, 0], made.alpha_daily[column], made.r_squared[column]]
        assert got == pytest.approx([line.slope, line.intercept, line.rvalue**2], rel=1e-9, abs=1e-14)
        assert made.beta_standard_errors[column, 0] == pytest.approx(line.stderr, rel=1e-9)
        assert made.alpha_standard_error[column] == pytest.approx(line.intercept_stderr, rel=1e-9)
    columns, benchmark = np.ascontiguousarray(stocks().T), index()[:, 0]
    np.testing.assert_allclose(made.betas[:, 0], beta(columns, benchmark), rtol=1e-10)
    np.testing.assert_allclose(made.r_squared, r_squared(columns, benchmark), rtol=1e-10)
    np.testing.assert_allclose(made.alpha_daily * 252, jensen_alpha(columns, benchmark, 0.0, 252), rtol=1e-8)


@pytest.mark.parametrize("penalty", [1e-4, 0.1, 1.0, 50.0])
def test_ridge_equals_sklearn_on_standardised_factors(penalty: float) -> None:
    made = ridge_exposures(stocks(), funds(), penalty)
    reference = Ridge(alpha=penalty * SESSIONS).fit(standardised(funds()), stocks())
    np.testing.assert_allclose(made.betas * funds().std(axis=0), reference.coef_, rtol=1e-8, atol=1e-12)
    expected = stocks() - reference.predict(standardised(funds()))
    fitted = made.alpha_daily + funds() @ made.betas.T
    np.testing.assert_allclose(stocks() - fitted, expected, atol=1e-12)
    assert (made.penalty == penalty).all()


@pytest.mark.parametrize("penalty", [1e-3, 0.3])
def test_ridge_errors_are_those_of_its_hat_matrix(penalty: float) -> None:
    made = ridge_exposures(stocks(), funds(), penalty)
    z = standardised(funds())
    solver = np.linalg.inv(z.T @ z + SESSIONS * penalty * np.eye(5)) @ z.T
    freedom = SESSIONS - 1.0 - np.trace(z @ solver)
    residuals = stocks() - made.alpha_daily - funds() @ made.betas.T
    volatility = np.sqrt((residuals**2).sum(axis=0) / freedom)
    np.testing.assert_allclose(made.residual_volatility_daily, volatility, rtol=1e-10)
    spread = np.sqrt(np.diag(solver @ solver.T)) / funds().std(axis=0)
    np.testing.assert_allclose(made.beta_standard_errors, volatility[:, None] * spread, rtol=1e-9)


@pytest.mark.parametrize("sessions", [12, SESSIONS])
def test_the_chosen_penalty_has_the_least_cross_validation_error_of_the_grid(sessions: int) -> None:
    """Over a few sessions the degree of freedom of the intercept decides, too."""
    returns, factors = stocks()[-sessions:], funds()[-sessions:]
    made, z = ridge_exposures(returns, factors), np.column_stack([np.ones(sessions), standardised(factors)])
    for column in range(20):
        scores = []
        for penalty in PENALTY_GRID:
            hat = z @ np.linalg.inv(z.T @ z + sessions * penalty * np.diag([0.0, 1, 1, 1, 1, 1])) @ z.T
            residuals = returns[:, column] - hat @ returns[:, column]
            scores.append(sessions * residuals @ residuals / (sessions - np.trace(hat)) ** 2)
        assert made.penalty[column] == PENALTY_GRID[int(np.argmin(scores))]
    again = ridge_exposures(returns, factors)
    assert all(same(one, other) for one, other in zip(parts(made), parts(again), strict=True))


def test_a_vanishing_penalty_is_ordinary_least_squares_and_a_large_one_leaves_no_exposure() -> None:
    ols = ols_exposures(stocks(), funds())
    for one, other in zip(parts(ridge_exposures(stocks(), funds(), 1e-14))[:-1], parts(ols)[:-1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)
    assert np.abs(ridge_exposures(stocks(), funds(), 1e12).betas).max() < 1e-10


def test_ridge_shares_an_exposure_between_twins_that_least_squares_cannot_tell_apart() -> None:
    twins = np.column_stack([index(), index()])
    with pytest.raises(SingularFactorsError, match=r"column 1 is a combination of those before it; .*ridge_exposures"):
        ols_exposures(stocks(), twins)
    made = ridge_exposures(stocks(), twins, 1e-6)
    np.testing.assert_allclose(made.betas[:, 0], made.betas[:, 1], rtol=1e-9)
    np.testing.assert_allclose(made.betas.sum(axis=1), ols_exposures(stocks(), index()).betas[:, 0], rtol=1e-5)
    assert np.isfinite(np.concatenate([part.ravel() for part in parts(made)])).all()


def test_singular_factors_are_named() -> None:
    combined = np.column_stack([funds(), funds()[:, 0] - 2.0 * funds()[:, 3]])
    with pytest.raises(SingularFactorsError, match="factors: column 5 is a combination"):
        ols_exposures(stocks(), combined)
    still = np.column_stack([index(), np.full(SESSIONS, 0.1)])
    for fit in (ols_exposures, ridge_exposures):
        with pytest.raises(SingularFactorsError, match="factors: column 1 does not vary; leave it out"):
            fit(stocks(), still)


@pytest.mark.parametrize(
    ("returns", "factors", "message"),
    [
        (np.zeros((9, 2)), np.zeros((8, 1)), "factors: 8 sessions against 9 of the returns; align them"),
        (np.zeros((3, 1)), np.zeros((3, 2)), "3 sessions for 2 factors and an intercept, at least 4"),
        (np.full((9, 1), np.nan), np.zeros((9, 1)), "returns: NaN or infinite in column 0"),
        (np.zeros((9, 1)), np.full((9, 1), np.nan), "factors: NaN or infinite in column 0"),
        (np.zeros((9, 0)), np.zeros((9, 1)), "returns: shape"),
        (np.zeros(9), np.zeros((9, 1)), "returns: shape"),
        (np.zeros((0, 1)), np.zeros((0, 1)), "returns: 0 sessions"),
    ],
)
def test_input_that_cannot_be_used_is_refused(returns: FloatArray, factors: FloatArray, message: str) -> None:
    for fit in (ols_exposures, ridge_exposures):
        with pytest.raises(MeasureInputError, match=message):
            fit(returns, factors)


@pytest.mark.parametrize("penalty", [0.0, -1.0, float("nan"), float("inf")])
def test_a_penalty_that_is_none_is_refused(penalty: float) -> None:
    with pytest.raises(MeasureInputError, match=r"penalty=.*use ols_exposures"):
        ridge_exposures(stocks(), funds(), penalty)


def test_exposures_scale_with_the_returns_and_inversely_with_the_factors() -> None:
    for fit in (ols_exposures, ridge_exposures):
        plain = fit(stocks(), funds())
        larger, smaller = fit(stocks() * 3.0, funds()), fit(stocks(), funds() * 100.0)
        np.testing.assert_allclose(larger.betas, plain.betas * 3.0, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(smaller.betas, plain.betas / 100.0, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(smaller.beta_t, plain.beta_t, rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(smaller.r_squared, plain.r_squared, rtol=1e-9)


def test_a_sure_gain_moves_the_intercept_alone_and_the_order_of_factors_does_not_matter() -> None:
    plain, richer = ols_exposures(stocks(), funds()), ols_exposures(stocks() + 0.001, funds())
    np.testing.assert_allclose(richer.betas, plain.betas, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(richer.alpha_daily, plain.alpha_daily + 0.001, rtol=1e-9)
    order = [3, 0, 4, 2, 1]
    np.testing.assert_allclose(ols_exposures(stocks(), funds()[:, order]).betas, plain.betas[:, order], rtol=1e-8)


def test_a_portfolio_has_the_exposures_of_its_positions() -> None:
    weights = np.linspace(-0.1, 0.2, 20)
    plain, held = ols_exposures(stocks(), funds()), ols_exposures((stocks() @ weights)[:, None], funds())
    np.testing.assert_allclose(held.betas[0], weights @ plain.betas, rtol=1e-8)
    assert held.alpha_daily[0] == pytest.approx(weights @ plain.alpha_daily, rel=1e-8)


def test_a_series_that_does_not_vary_has_no_exposure_and_no_r_squared() -> None:
    made = ols_exposures(np.full((SESSIONS, 1), 0.1), funds())
    assert (made.betas == 0.0).all()
    assert made.alpha_daily[0] == pytest.approx(0.1, rel=1e-12)
    assert made.residual_volatility_daily[0] == 0.0
    assert np.isnan(made.r_squared[0])
    assert np.isnan(made.beta_t).all()


def test_inputs_are_left_as_they_were() -> None:
    returns, factors = stocks().copy(), funds().copy()
    ols_exposures(returns, factors)
    ridge_exposures(returns, factors)
    rolling_exposures(returns[:, 0].copy(), factors, np.array([300, 301]), 252)
    principal_factors(returns, 3)
    assert same(returns, stocks().copy())
    assert same(factors, funds().copy())


def test_rolling_exposures_are_those_of_each_window() -> None:
    rows = np.array([251, 252, 400, SESSIONS - 1])
    made = rolling_exposures(stocks()[:, 0], funds(), rows, 252)
    for number, row in enumerate(rows):
        window = slice(row - 251, row + 1)
        alone = ols_exposures(stocks()[window, :1], funds()[window])
        np.testing.assert_allclose(made.betas[number], alone.betas[0], rtol=1e-8, atol=1e-10)
        got = [made.alpha_daily[number], made.r_squared[number], made.residual_volatility_daily[number]]
        expected = [alone.alpha_daily[0], alone.r_squared[0], alone.residual_volatility_daily[0]]
        assert got == pytest.approx(expected, rel=1e-8, abs=1e-13)


@pytest.mark.parametrize("window_sessions", [7, 8, 63, 252])
def test_a_row_does_not_depend_on_the_history_before_or_on_the_other_rows(window_sessions: int) -> None:
    series, factors = stock_returns()[-2_000:, 3], fund_returns()[-2_000:]
    every = np.arange(window_sessions - 1, 2_000)
    together = rolling_exposures(series, factors, every, window_sessions)

    def compare(rows: IntArray, dropped: int) -> None:
        part = rolling_exposures(series[dropped:], factors[dropped:], rows - dropped, window_sessions)
        for name in ("alpha_daily", "betas", "r_squared", "residual_volatility_daily"):
            assert same(getattr(part, name), getattr(together, name)[rows - window_sessions + 1]), name

    compare(every[-1:], 2_000 - window_sessions)
    compare(np.array([1_000]), 1_001 - window_sessions)
    compare(every[::-1][:700], 0)
    compare(every[600:], 600)


def test_a_window_with_singular_factors_has_no_exposures_and_leaves_the_others() -> None:
    factors = np.column_stack([index()[:, 0], np.where(np.arange(SESSIONS) < 200, 0.0, funds()[:, 0])])
    made = rolling_exposures(stocks()[:, 0], factors, np.arange(62, SESSIONS), 63)
    regular = np.arange(62, SESSIONS) >= 200
    for values in (
        made.alpha_daily,
        made.betas[:, 0],
        made.betas[:, 1],
        made.r_squared,
        made.residual_volatility_daily,
    ):
        assert (np.isfinite(values) == regular).all()


def test_a_window_in_which_one_factor_repeats_another_has_no_exposures() -> None:
    """For the first 200 sessions the second factor is the first at another size, later another fund."""
    repeated = np.where(np.arange(SESSIONS) < 200, 0.001 - 0.5 * index()[:, 0], funds()[:, 0])
    made = rolling_exposures(stocks()[:, 0], np.column_stack([index()[:, 0], repeated]), np.arange(62, SESSIONS), 63)
    np.testing.assert_array_equal(np.isfinite(made.betas[:, 0]), np.arange(62, SESSIONS) >= 200)


def test_no_rows_give_no_exposures() -> None:
    made = rolling_exposures(stocks()[:, 0], funds(), np.array([], dtype=np.int64), 63)
    assert made.betas.shape == (0, 5)
    assert made.alpha_daily.shape == made.r_squared.shape == made.residual_volatility_daily.shape == (0,)


@pytest.mark.parametrize(
    ("row", "window_sessions", "message"),
    [
        (61, 63, "rows: 61 has no window of 63 sessions among 504; give rows from 62 to 503"),
        (504, 63, "rows: 504 has no window"),
        (-1, 63, "rows: -1 has no window"),
        (100, 6, "6 sessions for 5 factors and an intercept, at least 7"),
    ],
)
def test_a_row_without_a_window_is_refused(row: int, window_sessions: int, message: str) -> None:
    with pytest.raises(MeasureInputError, match=message):
        rolling_exposures(stocks()[:, 0], funds(), np.array([row]), window_sessions)


def test_principal_factors_equal_sklearn_but_for_the_sign() -> None:
    made, reference = principal_factors(stocks(), 5), PCA(5, svd_solver="full").fit(stocks())
    np.testing.assert_allclose(made.variances, reference.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(made.explained, reference.explained_variance_ratio_, rtol=1e-10)
    np.testing.assert_allclose(np.abs(made.loadings), np.abs(reference.components_.T), atol=1e-9)
    np.testing.assert_allclose(made.returns, stocks() @ made.loadings, atol=1e-15)
    np.testing.assert_allclose(np.diag(sample_covariance(made.returns)), made.variances, rtol=1e-9)


def test_all_principal_factors_explain_everything_and_give_the_covariance_back() -> None:
    made = principal_factors(stocks(), 20)
    assert made.explained.sum() == pytest.approx(1.0, rel=1e-12)
    assert (np.diff(made.variances) <= 0.0).all()
    back = (made.loadings * made.variances) @ made.loadings.T
    np.testing.assert_allclose(back, sample_covariance(stocks()), atol=1e-14)
    np.testing.assert_allclose(made.loadings.T @ made.loadings, np.eye(20), atol=1e-12)


def test_the_sign_of_a_principal_factor_is_that_of_its_largest_loading() -> None:
    """So the first is the market, which rises when stocks do, and mirrored returns have the same loadings."""
    made = principal_factors(stocks(), 5)
    assert (made.loadings[np.abs(made.loadings).argmax(axis=0), np.arange(5)] > 0.0).all()
    assert (made.loadings[:, 0] > 0.0).all()
    np.testing.assert_allclose(principal_factors(-stocks(), 5).loadings, made.loadings, atol=1e-9)
    np.testing.assert_allclose(principal_factors(stocks()[::-1], 5).loadings, made.loadings, atol=1e-9)


def test_of_equal_loadings_the_first_is_positive_however_they_round() -> None:
    """Three columns that are each other but for sign and rounding."""
    draw = np.random.default_rng(2)
    for _ in range(50):
        column = draw.normal(0.0, 0.01, 40)
        opposed = np.column_stack([column / 3.0 * 3.0, -column / 7.0 * 7.0, -column])
        loadings = principal_factors(opposed, 1).loadings[:, 0]
        np.testing.assert_allclose(loadings, np.array([1.0, -1.0, -1.0]) / np.sqrt(3.0), atol=1e-9)


@pytest.mark.parametrize("count", [0, 21, -1])
def test_a_count_of_factors_that_there_are_not_is_refused(count: int) -> None:
    with pytest.raises(MeasureInputError, match=f"count={count}: give 1 to 20"):
        principal_factors(stocks(), count)


def test_returns_that_never_move_have_no_principal_factors() -> None:
    with pytest.raises(MeasureInputError, match="no column varies"):
        principal_factors(np.full((9, 3), 0.1), 1)


@PROPERTY
@given(st.integers(1, 4), st.integers(0, 10_000))
def test_residuals_are_orthogonal_to_the_factors_and_known_exposures_are_found(count: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    factors, betas = draw.normal(0.0, 0.01, (60, count)), draw.normal(0.0, 2.0, (3, count))
    noise = draw.normal(0.0, 0.01, (60, 3))
    made = ols_exposures(0.001 + factors @ betas.T + noise, factors)
    residuals = 0.001 + factors @ betas.T + noise - made.alpha_daily - factors @ made.betas.T
    np.testing.assert_allclose(residuals.sum(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(factors.T @ residuals, 0.0, atol=1e-13)
    exact = ols_exposures(0.001 + factors @ betas.T, factors)
    np.testing.assert_allclose(exact.betas, betas, atol=1e-9)
    np.testing.assert_allclose(exact.r_squared, 1.0, atol=1e-9)
