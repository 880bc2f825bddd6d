"""Parts of risk: they sum to the total, equal derivatives, and single positions have closed forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.types import FloatArray
from pipeline.risk.measures.covariance import ledoit_wolf_covariance, sample_covariance
from pipeline.risk.measures.decomposition import (
    RiskParts,
    factor_scenarios,
    factor_volatility,
    group_covariance,
    group_scenarios,
    historical_es_parts,
    historical_var_parts,
    kernel_var_parts,
    volatility_parts,
)
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.factors import ols_exposures
from pipeline.risk.measures.tail import historical_es, historical_var
from tests.unit.risk.market import fund_returns, stock_returns
from tests.unit.risk.series import PROPERTY, drawn_returns, same

Decompose = Callable[[FloatArray, FloatArray, float], RiskParts]
CONFIDENCE = st.sampled_from([0.5, 0.9, 0.95, 0.975, 0.99, 0.28])
HISTORICAL: tuple[Decompose, ...] = (historical_var_parts, kernel_var_parts, historical_es_parts)
EVERY_TAIL = pytest.mark.parametrize("decompose", HISTORICAL, ids=lambda function: function.__name__)
TIGHT = 1e-9
"""What components may miss of the total: the contract of the numbers."""


def real() -> FloatArray:
    return stock_returns()[-504:]


def mixed_weights() -> FloatArray:
    """Twenty positions, some short, some none, that sum to 1."""
    weights = np.linspace(-0.06, 0.16, 20)
    weights[5] = 0.0
    return weights / weights.sum()


@st.composite
def portfolios(draw: st.DrawFn) -> tuple[FloatArray, FloatArray]:
    """Weights in per cent, and scenarios in basis points: ties, zeros and flat stretches are drawn often."""
    positions, sessions = draw(st.integers(1, 5)), draw(st.integers(2, 40))
    weights = draw(st.lists(st.integers(-200, 200), min_size=positions, max_size=positions))
    points = st.one_of(st.integers(-3, 3).map(lambda step: 100 * step), st.integers(-9_000, 12_000))
    cells = draw(st.lists(points, min_size=positions * sessions, max_size=positions * sessions))
    return np.array(weights) / 100.0, np.reshape(np.array(cells) / 10_000.0, (sessions, positions))


@PROPERTY
@given(portfolios(), CONFIDENCE)
def test_components_of_the_tail_sum_to_the_total(portfolio: tuple[FloatArray, FloatArray], confidence: float) -> None:
    weights, returns = portfolio
    scenarios = returns @ weights
    totals = (historical_var, historical_var, historical_es)
    for decompose, measure in zip(HISTORICAL, totals, strict=True):
        parts = decompose(weights, returns, confidence)
        assert parts.component.sum() == pytest.approx(parts.total, rel=TIGHT, abs=TIGHT)
        assert parts.total == pytest.approx(float(measure(scenarios, confidence)), rel=1e-12, abs=1e-12)
        np.testing.assert_allclose(parts.component, weights * parts.marginal, rtol=1e-12, atol=1e-15)


@PROPERTY
@given(portfolios())
def test_components_of_volatility_sum_to_the_total(portfolio: tuple[FloatArray, FloatArray]) -> None:
    weights, returns = portfolio
    for estimate in (sample_covariance, ledoit_wolf_covariance):
        parts = volatility_parts(weights, estimate(returns))
        assert parts.component.sum() == pytest.approx(parts.total, rel=TIGHT, abs=TIGHT)
        assert parts.total == pytest.approx(np.sqrt(max(weights @ estimate(returns) @ weights, 0.0)), abs=1e-8)


@PROPERTY
@given(portfolios(), CONFIDENCE)
def test_what_a_position_adds_is_the_total_less_that_without_it(
    portfolio: tuple[FloatArray, FloatArray], confidence: float
) -> None:
    weights, returns = portfolio
    covariance = sample_covariance(returns)
    parts = [decompose(weights, returns, confidence) for decompose in HISTORICAL]
    volatility = volatility_parts(weights, covariance)
    for position in range(len(weights)):
        without = weights * (np.arange(len(weights)) != position)
        for made, decompose in zip(parts, HISTORICAL, strict=True):
            expected = made.total - decompose(without, returns, confidence).total
            assert made.incremental[position] == pytest.approx(expected, rel=1e-9, abs=1e-12)
        expected = volatility.total - volatility_parts(without, covariance).total
        # The root of a variance that is 0 but for rounding is 1e-9 or so.
        assert volatility.incremental[position] == pytest.approx(expected, abs=1e-7)


def test_real_components_sum_to_the_total_within_the_contract() -> None:
    weights, returns = mixed_weights(), real()
    made = [volatility_parts(weights, ledoit_wolf_covariance(returns))]
    made += [decompose(weights, returns, level) for decompose in HISTORICAL for level in (0.95, 0.975, 0.99)]
    for parts in made:
        assert abs(parts.component.sum() - parts.total) < 1e-14
        assert parts.component[5] == parts.incremental[5] == 0.0
        assert (parts.component < 0.0).any()


def test_volatility_components_are_litterman_s() -> None:
    weights, covariance = mixed_weights(), ledoit_wolf_covariance(real())
    parts = volatility_parts(weights, covariance)
    portfolio = real() @ weights
    sample = volatility_parts(weights, sample_covariance(real()))
    betas = [np.cov(column, portfolio)[0, 1] / np.var(portfolio, ddof=1) for column in real().T]
    np.testing.assert_allclose(sample.component, weights * betas * sample.total, rtol=1e-9, atol=1e-15)
    assert sample.total == pytest.approx(np.std(portfolio, ddof=1), rel=1e-10)
    step = 1e-6
    for position in range(20):
        up, down = (weights + sign * step * np.eye(20)[position] for sign in (1, -1))
        slope = (volatility_parts(up, covariance).total - volatility_parts(down, covariance).total) / (2 * step)
        assert parts.marginal[position] == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize(("decompose", "rtol"), [(historical_var_parts, 1e-7), (historical_es_parts, 1e-7)])
def test_marginal_tail_risk_is_the_derivative(decompose: Decompose, rtol: float) -> None:
    """Between the weights at which scenarios change places the tail is linear in them."""
    weights, returns, step = mixed_weights(), real(), 1e-9
    parts = decompose(weights, returns, 0.975)
    for position in range(20):
        up, down = (weights + sign * step * np.eye(20)[position] for sign in (1, -1))
        slope = (decompose(up, returns, 0.975).total - decompose(down, returns, 0.975).total) / (2 * step)
        assert parts.marginal[position] == pytest.approx(slope, rel=rtol, abs=1e-7)


def test_two_uncorrelated_positions_share_the_variance() -> None:
    """σ = √(0.36 × 0.04 + 0.16 × 0.09) with shares of a half each."""
    parts = volatility_parts(np.array([0.6, 0.4]), np.diag([0.04, 0.09]))
    assert parts.total == pytest.approx(np.sqrt(0.0288), rel=1e-12)
    np.testing.assert_allclose(parts.component, np.sqrt(0.0288) / 2.0, rtol=1e-12)
    np.testing.assert_allclose(parts.incremental, np.sqrt(0.0288) - np.array([0.12, 0.12]), rtol=1e-12)


@EVERY_TAIL
def test_a_single_position_is_all_of_the_risk(decompose: Decompose) -> None:
    parts = decompose(np.array([1.5]), real()[:, :1], 0.99)
    assert parts.component[0] == pytest.approx(parts.total, rel=1e-12)
    assert parts.incremental[0] == pytest.approx(parts.total, rel=1e-12)


def test_var_components_are_the_losses_in_its_scenario() -> None:
    returns = np.array([[-0.10, 0.05], [-0.02, -0.06], [0.01, 0.01], [0.03, -0.01]])
    parts = historical_var_parts(np.array([0.5, 0.5]), returns, 0.75)
    assert parts.total == pytest.approx(0.025, rel=1e-12)
    np.testing.assert_allclose(parts.component, [0.05, -0.025], rtol=1e-12)
    np.testing.assert_allclose(parts.marginal, [0.10, -0.05], rtol=1e-12)
    # Alone, either loses at 75 % its second worst: 1 % and .5 %.
    np.testing.assert_allclose(parts.incremental, [0.025 - 0.005, 0.025 - 0.01], rtol=1e-12)


def test_es_components_count_a_fraction_of_the_scenario_at_var() -> None:
    """Four scenarios at 60 %: the tail of 40 % is the worst (25 %) and 15 % of the second worst."""
    returns = np.array([[-0.20, 0.00], [0.00, -0.08], [0.02, 0.02], [0.05, 0.01]])
    parts = historical_es_parts(np.array([0.5, 0.5]), returns, 0.6)
    np.testing.assert_allclose(parts.component, [0.25 * 0.10 / 0.4, 0.15 * 0.04 / 0.4], rtol=1e-12)
    assert parts.total == pytest.approx((0.25 * 0.10 + 0.15 * 0.04) / 0.4, rel=1e-12)


def test_scenarios_that_tie_count_equally_whatever_their_order() -> None:
    """Two scenarios lose 10 %, by different positions; the third worst does not enter."""
    returns = np.array([[-0.2, 0.0], [0.0, -0.2], [0.0, 0.0], [0.1, 0.1]])
    weights = np.array([0.5, 0.5])
    for decompose in (historical_var_parts, historical_es_parts):
        for order in ([0, 1, 2, 3], [3, 1, 2, 0]):
            parts = decompose(weights, returns[order], 0.75)
            np.testing.assert_allclose(parts.component, [0.05, 0.05], rtol=1e-12)


@EVERY_TAIL
def test_the_order_of_positions_and_scenarios_does_not_matter(decompose: Decompose) -> None:
    weights, returns = mixed_weights(), real()
    draw = np.random.default_rng(6)
    rows, columns = draw.permutation(504), draw.permutation(20)
    plain = decompose(weights, returns, 0.975)
    moved = decompose(weights[columns], returns[np.ix_(rows, columns)], 0.975)
    for name in ("component", "marginal", "incremental"):
        np.testing.assert_allclose(getattr(moved, name), getattr(plain, name)[columns], rtol=1e-9, atol=1e-14)


@EVERY_TAIL
@pytest.mark.parametrize("size", [1e-6, 0.5, 1e6])
def test_parts_grow_with_the_size_of_the_portfolio(decompose: Decompose, size: float) -> None:
    plain, sized = (decompose(factor * mixed_weights(), real(), 0.975) for factor in (1.0, size))
    assert sized.total == pytest.approx(plain.total * size, rel=1e-9)
    np.testing.assert_allclose(sized.component, plain.component * size, rtol=1e-8, atol=1e-12 * size)
    np.testing.assert_allclose(sized.incremental, plain.incremental * size, rtol=1e-8, atol=1e-12 * size)
    np.testing.assert_allclose(sized.marginal, plain.marginal, rtol=1e-8, atol=1e-12)


def test_smoothed_components_lie_near_the_truth_where_one_scenario_does_not() -> None:
    """Of independent normal positions each has w²/Σw² of the value at risk, as of the volatility."""
    draw = np.random.default_rng(8)
    weights = np.array([0.5, 0.3, 0.2])
    shares = weights**2 / np.sum(weights**2)
    errors = []
    for _ in range(30):
        returns = draw.normal(0.0, 0.01, (1_000, 3))
        smooth, single = (make(weights, returns, 0.95) for make in (kernel_var_parts, historical_var_parts))
        errors.append([np.abs(parts.component / parts.total - shares).mean() for parts in (smooth, single)])
    smooth_error, single_error = np.mean(errors, axis=0)
    assert smooth_error < 0.06
    assert single_error > 3.0 * smooth_error


def test_a_narrow_kernel_sees_the_scenario_at_var_alone_and_a_wide_one_the_regression() -> None:
    weights, returns = mixed_weights(), real()
    single = historical_var_parts(weights, returns, 0.975)
    for bandwidth in (0.0, 1e-12):
        narrow = kernel_var_parts(weights, returns, 0.975, bandwidth)
        np.testing.assert_allclose(narrow.component, single.component, rtol=1e-9, atol=1e-15)
    wide = kernel_var_parts(weights, returns, 0.975, 1e6)
    losses = -(returns @ weights)
    lines = [np.polyval(np.polyfit(losses, -column, 1), single.total) for column in returns.T]
    np.testing.assert_allclose(wide.component, weights * lines, rtol=1e-6, atol=1e-9)
    assert wide.component.sum() == pytest.approx(single.total, rel=TIGHT)


@pytest.mark.parametrize("bandwidth", [-0.1, float("nan"), float("inf")])
def test_a_bandwidth_that_is_none_is_refused(bandwidth: float) -> None:
    with pytest.raises(MeasureInputError, match=r"bandwidth=.*give a fraction of value"):
        kernel_var_parts(mixed_weights(), real(), 0.95, bandwidth)


def test_a_portfolio_without_risk_has_parts_of_zero_and_no_derivative() -> None:
    flat = np.zeros((10, 2))
    for weights in (np.array([0.5, 0.5]), np.zeros(2)):
        parts = volatility_parts(weights, sample_covariance(flat))
        assert parts.total == 0.0
        assert (parts.component == 0.0).all()
        assert (parts.incremental == 0.0).all()
        assert np.isnan(parts.marginal).all()
        for decompose in HISTORICAL:
            tail = decompose(weights, flat, 0.99)
            assert tail.total == 0.0
            assert (tail.component == 0.0).all()


def test_a_perfect_hedge_has_no_volatility_but_parts_that_are_known() -> None:
    column = real()[:, 0]
    hedged = np.column_stack([column, column])
    parts = volatility_parts(np.array([1.0, -1.0]), sample_covariance(hedged))
    assert parts.total == 0.0
    np.testing.assert_allclose(parts.incremental, -np.std(column, ddof=1), rtol=1e-10)


def test_a_matrix_that_is_not_positive_semidefinite_is_refused_with_its_repair() -> None:
    with pytest.raises(MeasureInputError, match="negative variance; repair it with nearest_psd"):
        volatility_parts(np.array([1.0, -1.0]), np.array([[1.0, 2.0], [2.0, 1.0]]))


@EVERY_TAIL
@pytest.mark.parametrize(
    ("weights", "returns", "message"),
    [
        (np.ones(2), np.zeros((5, 3)), "weights: shape .2,., expected .3,."),
        (np.array([1.0, np.nan]), np.zeros((5, 2)), "weights: NaN or infinite"),
        (np.ones(2), np.array([[0.1, np.nan]]), "returns: NaN or infinite in column 1"),
        (np.ones(2), np.zeros((0, 2)), "returns: 0 sessions"),
        (np.ones(0), np.zeros((5, 0)), "returns: shape"),
    ],
)
def test_input_that_cannot_be_used_is_refused(
    decompose: Decompose, weights: FloatArray, returns: FloatArray, message: str
) -> None:
    with pytest.raises(MeasureInputError, match=message):
        decompose(weights, returns, 0.95)


@EVERY_TAIL
@pytest.mark.parametrize("confidence", [0.0, 1.0, 99.0])
def test_a_confidence_outside_zero_and_one_is_refused(decompose: Decompose, confidence: float) -> None:
    with pytest.raises(MeasureInputError, match="confidence"):
        decompose(mixed_weights(), real(), confidence)


def test_inputs_are_left_as_they_were() -> None:
    weights, returns = mixed_weights(), real().copy()
    covariance = sample_covariance(returns)
    untouched = covariance.copy()
    for decompose in HISTORICAL:
        decompose(weights, returns, 0.95)
    volatility_parts(weights, covariance)
    group_scenarios(weights, returns, ["a", "b"] * 10)
    assert same(weights, mixed_weights())
    assert same(returns, real().copy())
    assert same(covariance, untouched)


def test_a_group_has_the_parts_of_its_positions() -> None:
    weights, returns = mixed_weights(), real()
    labels = [("energy", "banks", "health")[position % 3] for position in range(20)]
    names, scenarios = group_scenarios(weights, returns, labels)
    assert names == ("banks", "energy", "health")
    membership = np.array([[label == name for label in labels] for name in names])
    for decompose in HISTORICAL:
        positions, groups = decompose(weights, returns, 0.975), decompose(np.ones(3), scenarios, 0.975)
        assert groups.total == pytest.approx(positions.total, rel=1e-12)
        np.testing.assert_allclose(groups.component, membership @ positions.component, rtol=1e-8, atol=1e-12)
        without = decompose(weights * ~membership[1], returns, 0.975).total
        assert groups.incremental[1] == pytest.approx(positions.total - without, rel=1e-9)
    covariance = ledoit_wolf_covariance(returns)
    names, grouped = group_covariance(weights, covariance, labels)
    positions, groups = volatility_parts(weights, covariance), volatility_parts(np.ones(3), grouped)
    assert groups.total == pytest.approx(positions.total, rel=1e-12)
    np.testing.assert_allclose(groups.component, membership @ positions.component, rtol=1e-9)


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MeasureInputError, match="labels: 2 for 20 positions; give one a position"):
        group_scenarios(mixed_weights(), real(), ["a", "b"])


def test_factor_and_specific_volatility_sum_to_that_of_the_model() -> None:
    returns, factors, weights = real(), fund_returns()[-504:], mixed_weights()
    model = ols_exposures(returns, factors)
    specific = model.residual_volatility_daily**2
    of_factors = sample_covariance(factors)
    made = factor_volatility(weights, model.betas, of_factors, specific)
    covariance = model.betas @ of_factors @ model.betas.T + np.diag(specific)
    assert made.total == pytest.approx(volatility_parts(weights, covariance).total, rel=1e-11)
    assert abs(made.factor.sum() + made.specific.sum() - made.total) < TIGHT
    np.testing.assert_allclose(made.exposures, weights @ model.betas, rtol=1e-12)
    assert (made.specific >= 0.0).all()


@PROPERTY
@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 10_000))
def test_factor_parts_always_sum_to_the_total(positions: int, factors: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    weights, betas = draw.normal(size=positions), draw.normal(size=(positions, factors))
    of_factors = sample_covariance(drawn_returns(30, factors, seed=seed))
    made = factor_volatility(weights, betas, of_factors, draw.uniform(0.0, 1e-3, positions))
    assert abs(made.factor.sum() + made.specific.sum() - made.total) < TIGHT


def test_without_factor_risk_all_is_specific_and_without_any_all_is_zero() -> None:
    weights, betas = np.array([0.5, 0.5]), np.ones((2, 1))
    only_specific = factor_volatility(weights, betas, np.zeros((1, 1)), np.array([0.04, 0.0]))
    assert only_specific.total == pytest.approx(0.1, rel=1e-12)
    np.testing.assert_allclose(only_specific.specific, [0.1, 0.0], rtol=1e-12)
    assert (only_specific.factor == 0.0).all()
    nothing = factor_volatility(weights, betas, np.zeros((1, 1)), np.zeros(2))
    assert nothing.total == 0.0
    assert (nothing.factor == 0.0).all()
    assert (nothing.specific == 0.0).all()


def test_a_negative_specific_variance_is_refused() -> None:
    with pytest.raises(MeasureInputError, match="specific_variance: below 0"):
        factor_volatility(np.ones(1), np.ones((1, 1)), np.eye(1), np.array([-0.1]))


def test_the_tail_by_factor_sums_to_that_of_the_portfolio() -> None:
    returns, factors, weights = real(), fund_returns()[-504:], mixed_weights()
    portfolio = returns @ weights
    exposures = ols_exposures(portfolio[:, None], factors).betas[0]
    scenarios = factor_scenarios(portfolio, exposures, factors)
    np.testing.assert_allclose(scenarios.sum(axis=1), portfolio, atol=1e-16)
    for decompose, measure in zip(HISTORICAL, (historical_var, historical_var, historical_es), strict=True):
        parts = decompose(np.ones(6), scenarios, 0.975)
        assert parts.component.sum() == pytest.approx(float(measure(portfolio, 0.975)), rel=TIGHT)
    volatility = volatility_parts(np.ones(6), sample_covariance(scenarios))
    assert volatility.component.sum() == pytest.approx(np.std(portfolio, ddof=1), rel=TIGHT)
    # Residuals of a regression are uncorrelated with its factors: their component is their share of the variance.
    residual_variance = np.var(scenarios[:, -1], ddof=1)
    assert volatility.component[-1] == pytest.approx(residual_variance / volatility.total, rel=1e-7)
