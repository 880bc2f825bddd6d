"""Covariance estimators against scikit-learn, and repairs against the conditions that the nearest matrix satisfies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf, oas

from pipeline.base.types import FloatArray
from pipeline.risk.measures.covariance import (
    COVARIANCES,
    DEFAULT_COVARIANCE,
    CovarianceEstimator,
    CovarianceRepairError,
    correlation_of,
    estimate_covariance,
    ewma_covariance,
    is_psd,
    ledoit_wolf_covariance,
    ledoit_wolf_shrinkage,
    nearest_correlation,
    nearest_psd,
    oas_covariance,
    oas_shrinkage,
    sample_covariance,
)
from pipeline.risk.measures.dispersion import ewma_volatility, volatility
from pipeline.risk.measures.errors import MeasureInputError
from tests.unit.risk.market import CRISIS_YEARS, stock_returns
from tests.unit.risk.series import PROPERTY, drawn_returns, same

EVERY_ESTIMATOR = pytest.mark.parametrize("estimate", COVARIANCES.values(), ids=COVARIANCES)
PANELS = pytest.mark.parametrize(
    "returns",
    [
        stock_returns(),
        stock_returns()[CRISIS_YEARS],
        stock_returns()[-15:],  # fewer sessions than instruments
        stock_returns()[-252:, :2],
        stock_returns()[-252:, :1],
        stock_returns()[-2:, :3],
    ],
    ids=lambda returns: "x".join(map(str, returns.shape)),
)


@PANELS
def test_ledoit_wolf_equals_sklearn(returns: FloatArray) -> None:
    expected, shrinkage = ledoit_wolf(returns)
    np.testing.assert_allclose(ledoit_wolf_covariance(returns), expected, rtol=1e-12, atol=1e-12 * expected.max())
    assert ledoit_wolf_shrinkage(returns) == pytest.approx(shrinkage, rel=1e-10, abs=1e-12)


@PANELS
def test_oas_equals_sklearn(returns: FloatArray) -> None:
    expected, shrinkage = oas(returns)
    np.testing.assert_allclose(oas_covariance(returns), expected, rtol=1e-12, atol=1e-12 * expected.max())
    assert oas_shrinkage(returns) == pytest.approx(shrinkage, rel=1e-10, abs=1e-12)


@PANELS
def test_sample_equals_numpy(returns: FloatArray) -> None:
    np.testing.assert_allclose(sample_covariance(returns), np.atleast_2d(np.cov(returns.T)), rtol=1e-10)


def test_ewma_equals_the_recursion_with_its_weights_made_to_sum_to_one() -> None:
    returns = stock_returns()[-300:, :4]
    covariance = np.zeros((4, 4))
    for row in returns:
        covariance = 0.94 * covariance + 0.06 * np.outer(row, row)
    np.testing.assert_allclose(ewma_covariance(returns), covariance / (1.0 - 0.94**300), rtol=1e-11)


def test_ewma_of_a_few_sessions_is_not_biased_towards_zero() -> None:
    flat = np.full((3, 1), 0.01)
    assert ewma_covariance(flat)[0, 0] == pytest.approx(1e-4, rel=1e-12)


def test_variances_are_the_squares_of_the_volatilities_of_the_same_name() -> None:
    returns = stock_returns()[CRISIS_YEARS]
    columns = np.ascontiguousarray(returns.T)
    np.testing.assert_allclose(np.sqrt(252 * np.diag(sample_covariance(returns))), volatility(columns, 252), rtol=1e-11)
    expected = ewma_volatility(columns, 252)
    np.testing.assert_allclose(np.sqrt(252 * np.diag(ewma_covariance(returns))), expected, rtol=1e-11)


def test_ledoit_wolf_is_the_default() -> None:
    assert DEFAULT_COVARIANCE == "ledoit_wolf"
    returns = stock_returns()[-252:]
    assert same(estimate_covariance(returns), ledoit_wolf_covariance(returns))
    assert not np.allclose(estimate_covariance(returns, "sample"), estimate_covariance(returns), rtol=1e-3)


@EVERY_ESTIMATOR
def test_estimates_are_symmetric_positive_semidefinite_and_leave_the_input(estimate: CovarianceEstimator) -> None:
    for returns in (stock_returns()[-252:].copy(), stock_returns()[-15:].copy()):
        untouched = returns.copy()
        covariance = estimate(returns)
        assert same(returns, untouched)
        assert (covariance == covariance.T).all()
        assert is_psd(covariance)


@EVERY_ESTIMATOR
@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_scaling_returns_scales_by_the_square(estimate: CovarianceEstimator, factor: float) -> None:
    returns = stock_returns()[-252:]
    np.testing.assert_allclose(estimate(returns * factor), estimate(returns) * factor**2, rtol=1e-9)


@EVERY_ESTIMATOR
def test_the_order_of_instruments_is_that_of_the_columns(estimate: CovarianceEstimator) -> None:
    returns = stock_returns()[-252:]
    order = np.random.default_rng(3).permutation(20)
    np.testing.assert_allclose(estimate(returns[:, order]), estimate(returns)[np.ix_(order, order)], rtol=1e-11)


@pytest.mark.parametrize("name", [name for name in COVARIANCES if name != "ewma"])
def test_a_sure_gain_changes_nothing_unless_the_mean_is_taken_for_zero(name: str) -> None:
    returns = stock_returns()[-252:]
    np.testing.assert_allclose(
        estimate_covariance(returns + 0.01, name), estimate_covariance(returns, name), rtol=1e-9, atol=1e-15
    )
    assert not np.allclose(ewma_covariance(returns + 0.01), ewma_covariance(returns), rtol=0.1)


def test_shrunk_estimates_can_be_inverted_where_the_sample_cannot() -> None:
    few = stock_returns()[-15:]
    assert np.linalg.matrix_rank(sample_covariance(few)) == 14
    for estimate in (ledoit_wolf_covariance, oas_covariance):
        assert np.linalg.eigvalsh(estimate(few))[0] > 1e-6


@EVERY_ESTIMATOR
def test_returns_that_never_move_have_no_covariance(estimate: CovarianceEstimator) -> None:
    assert (estimate(np.zeros((30, 3))) == 0.0).all()


def test_a_constant_is_no_variance_however_its_mean_rounds() -> None:
    flat = np.full((252, 3), 0.1)
    for name in ("ledoit_wolf", "sample", "oas"):
        assert (estimate_covariance(flat, name) == 0.0).all()


@EVERY_ESTIMATOR
@pytest.mark.parametrize(
    ("returns", "message"),
    [
        (np.zeros((1, 2)), "returns: 1 sessions given, at least 2 are needed; give a longer history"),
        (np.zeros((0, 2)), "returns: 0 sessions given"),
        (np.zeros((5, 0)), "returns: shape .5, 0.; give"),
        (np.zeros(5), "returns: shape .5,.; give"),
        (np.array([[0.1, 0.2], [0.1, np.nan]]), "returns: NaN or infinite in column 1; drop"),
        (np.array([[0.1, 0.2], [np.inf, 0.1]]), "returns: NaN or infinite in column 0; drop"),
    ],
)
def test_input_without_a_covariance_is_refused(
    estimate: CovarianceEstimator, returns: FloatArray, message: str
) -> None:
    with pytest.raises(MeasureInputError, match=message):
        estimate(returns)


def test_an_unknown_estimator_is_refused_by_name() -> None:
    with pytest.raises(MeasureInputError, match="covariance='shrunk': no such estimator; give one of ledoit_wolf"):
        estimate_covariance(stock_returns()[:10], "shrunk")


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, float("nan")])
def test_a_decay_outside_zero_and_one_is_refused(decay: float) -> None:
    with pytest.raises(MeasureInputError, match="decay"):
        ewma_covariance(stock_returns()[:10], decay)


def test_correlations_are_those_of_numpy_and_do_not_see_the_scale() -> None:
    returns = stock_returns()[CRISIS_YEARS]
    correlation = correlation_of(sample_covariance(returns))
    np.testing.assert_allclose(correlation, np.corrcoef(returns.T), rtol=1e-10)
    assert (np.diag(correlation) == 1.0).all()
    scaled = returns * np.linspace(1e-3, 1e3, 20)
    np.testing.assert_allclose(correlation_of(sample_covariance(scaled)), correlation, rtol=1e-9)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.diag([1.0, 0.0]), "column 1 does not vary; leave it out"),
        (np.diag([1.0, -1.0]), "column 1 does not vary"),
        (np.array([[1.0, 0.2], [0.3, 1.0]]), "covariance: not symmetric"),
        (np.ones((2, 3)), "covariance: shape .2, 3.; give a square matrix"),
        (np.zeros((0, 0)), "covariance: shape"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "covariance: NaN or infinite"),
    ],
)
def test_a_matrix_without_correlations_is_refused(matrix: FloatArray, message: str) -> None:
    with pytest.raises(MeasureInputError, match=message):
        correlation_of(matrix)


def assert_nearest(made: FloatArray, matrix: FloatArray) -> None:
    """Karush-Kuhn-Tucker conditions of the nearest correlation matrix.

    X - A = Z + Diag(θ) with Z positive semidefinite and Z X = 0; the problem is convex, so they suffice.
    """
    difference = made - matrix
    theta = np.diag(difference @ made)
    dual = difference - np.diag(theta)
    assert np.linalg.eigvalsh(dual)[0] > -1e-7
    assert np.abs(dual @ made).max() < 1e-7
    assert is_psd(made)
    assert (np.diag(made) == 1.0).all()


def test_nearest_correlation_of_highams_example() -> None:
    """Higham (2002): off-diagonals .7607 and .1573, at a distance of .5278."""
    matrix = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    made = nearest_correlation(matrix)
    expected = np.array([[1.0, 0.7607, 0.1573], [0.7607, 1.0, 0.7607], [0.1573, 0.7607, 1.0]])
    np.testing.assert_allclose(made, expected, atol=5e-5)
    assert np.linalg.norm(made - matrix) == pytest.approx(0.5278, abs=5e-5)
    assert_nearest(made, matrix)


@PROPERTY
@given(st.integers(2, 7), st.integers(0, 10_000))
def test_nearest_correlation_satisfies_the_conditions_of_the_minimum(size: int, seed: int) -> None:
    drawn = np.random.default_rng(seed).uniform(-1.0, 1.0, (size, size))
    matrix = np.triu(drawn, 1) + np.triu(drawn, 1).T + np.eye(size)
    assert_nearest(nearest_correlation(matrix, tolerance=1e-11), matrix)


def test_projections_without_the_correction_would_end_elsewhere() -> None:
    """The guard of the tests above: plain alternating projections fail the conditions."""
    matrix = np.array([[1.0, 0.9, -0.8], [0.9, 1.0, 0.7], [-0.8, 0.7, 1.0]])
    plain = matrix.copy()
    for _ in range(1_000):
        values, vectors = np.linalg.eigh(plain)
        plain = (vectors * np.maximum(values, 0.0)) @ vectors.T
        np.fill_diagonal(plain, 1.0)
    assert np.linalg.norm(nearest_correlation(matrix) - matrix) < np.linalg.norm(plain - matrix) - 1e-6


def test_a_repair_that_does_not_converge_says_so() -> None:
    matrix = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    with pytest.raises(CovarianceRepairError, match=r"no nearest matrix within 3 iterations.*raise max_iterations"):
        nearest_correlation(matrix, max_iterations=3)
    with pytest.raises(CovarianceRepairError):
        nearest_psd(matrix, max_iterations=3)


def pairwise_covariance() -> FloatArray:
    """What pairs estimated over different years make of five stocks: not positive semidefinite."""
    correlation = np.full((5, 5), -0.6)
    np.fill_diagonal(correlation, 1.0)
    deviations = np.std(stock_returns()[:, :5], axis=0)
    return correlation * deviations * deviations[:, None]


def test_a_repaired_covariance_keeps_its_variances_and_can_be_used() -> None:
    covariance = pairwise_covariance()
    untouched = covariance.copy()
    assert not is_psd(covariance)
    repaired = nearest_psd(covariance)
    assert same(covariance, untouched)
    assert is_psd(repaired)
    assert (np.diag(repaired) == np.diag(covariance)).all()
    # The nearest correlation of equal negative ones is the lowest that five can have, -1/4.
    np.testing.assert_allclose(correlation_of(repaired)[np.triu_indices(5, 1)], -0.25, atol=1e-6)


def test_a_covariance_that_needs_no_repair_is_returned_as_it_is() -> None:
    for covariance in (ledoit_wolf_covariance(stock_returns()[-252:]), sample_covariance(stock_returns()[-15:])):
        made = nearest_psd(covariance)
        assert same(made, covariance)
        assert made is not covariance
        assert not np.shares_memory(made, covariance)


def test_a_repair_does_not_depend_on_the_scale() -> None:
    np.testing.assert_allclose(nearest_psd(pairwise_covariance() * 1e6), nearest_psd(pairwise_covariance()) * 1e6)


def test_an_instrument_without_variance_loses_its_covariances() -> None:
    covariance = np.zeros((6, 6))
    covariance[:5, :5] = pairwise_covariance()
    covariance[0, 5] = covariance[5, 0] = 1e-4
    repaired = nearest_psd(covariance)
    assert is_psd(repaired)
    assert (repaired[5] == 0.0).all()
    np.testing.assert_array_equal(repaired[:5, :5], nearest_psd(pairwise_covariance()))


def test_a_negative_variance_cannot_be_repaired() -> None:
    with pytest.raises(MeasureInputError, match="negative variance in column 1; estimate it from returns"):
        nearest_psd(np.diag([1.0, -1.0]))


def test_estimates_of_drawn_returns_come_near_the_truth() -> None:
    """Independent columns of equal variance: the identity is the truth, and shrinking to it errs least."""
    returns = drawn_returns(60, 30, seed=4)
    truth = np.eye(30) * np.var(drawn_returns(20_000, seed=5))
    errors = {name: np.linalg.norm(estimate(returns) - truth) for name, estimate in COVARIANCES.items()}
    assert max(errors["ledoit_wolf"], errors["oas"]) < errors["sample"] < errors["ewma"]
