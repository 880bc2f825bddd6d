"""A portfolio cut by position, group and factor: parts sum to the total, and totals agree."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.risk.measures.covariance import COVARIANCES, ledoit_wolf_covariance
from pipeline.risk.measures.decomposition import volatility_parts
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.factors import ols_exposures
from pipeline.risk.measures.pairs import known_correlation
from pipeline.risk.measures.position_parts import largest_miss, position_parts
from pipeline.risk.measures.splits import (
    SPECIFIC,
    Split,
    SplitSpec,
    decomposed,
    split_by_factor,
    split_by_group,
    split_by_position,
)
from pipeline.risk.measures.tail import historical_es, historical_var
from tests.unit.risk.market import FACTOR_FUNDS, fund_returns, stock_returns, stock_symbols

WEIGHTS = np.linspace(-0.06, 0.16, 20) / np.linspace(-0.06, 0.16, 20).sum()
LABELS = ["a", "b", "c", "d"] * 5
SPECS = [
    *(SplitSpec("volatility", covariance=name) for name in COVARIANCES),
    SplitSpec("var", 0.95),
    SplitSpec("var", 0.99, method="kernel"),
    SplitSpec("es", 0.975),
]
EVERY_SPEC = pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.measure}-{s.covariance}-{s.method}")


def returns() -> FloatArray:
    return stock_returns()[-252:]


def by_position() -> Split:
    return split_by_position(stock_symbols(), WEIGHTS, returns())


def by_group() -> Split:
    return split_by_group(LABELS, WEIGHTS, returns())


def by_factor() -> Split:
    return split_by_factor(stock_symbols(), WEIGHTS, returns(), FACTOR_FUNDS, fund_returns()[-252:])


@EVERY_SPEC
@pytest.mark.parametrize("split", [by_position, by_group, by_factor])
def test_components_sum_to_the_total(split, spec: SplitSpec) -> None:
    parts = decomposed(split(), spec)
    assert abs(parts.component.sum() - parts.total) < 1e-12
    assert parts.total > 0.0


@EVERY_SPEC
def test_the_total_is_the_same_however_it_is_cut(spec: SplitSpec) -> None:
    totals = [decomposed(split(), spec).total for split in (by_position, by_group, by_factor)]
    assert totals[1] == pytest.approx(totals[0], rel=1e-12)
    # Shrinkage looks at every instrument that enters, and the funds enter by factor.
    shrunk = spec.measure == "volatility" and spec.covariance in ("ledoit_wolf", "oas")
    assert totals[2] == pytest.approx(totals[0], rel=0.02 if shrunk else 1e-10)


def test_totals_are_those_of_the_portfolio_s_scenarios() -> None:
    scenarios = returns() @ WEIGHTS
    assert decomposed(by_factor(), SplitSpec("var", 0.95)).total == pytest.approx(
        float(historical_var(scenarios, 0.95))
    )
    assert decomposed(by_group(), SplitSpec("es", 0.975)).total == pytest.approx(float(historical_es(scenarios, 0.975)))
    sample = SplitSpec("volatility", covariance="sample")
    assert decomposed(by_factor(), sample).total == pytest.approx(np.std(scenarios, ddof=1), rel=1e-10)


def test_a_group_is_the_sum_of_its_positions() -> None:
    for spec in SPECS:
        positions, groups = decomposed(by_position(), spec), decomposed(by_group(), spec)
        sums = [positions.component[place::4].sum() for place in range(4)]
        np.testing.assert_allclose(groups.component, sums, atol=1e-12)
    assert by_group().names == ("a", "b", "c", "d")
    assert by_group().sizes.sum() == pytest.approx(1.0)


def test_factor_parts_of_a_sample_covariance_are_those_of_the_regression() -> None:
    """The rest is uncorrelated with the factors in the sample, so its component is its own variance."""
    split = by_factor()
    parts = decomposed(split, SplitSpec("volatility", covariance="sample"))
    fitted = ols_exposures((returns() @ WEIGHTS)[:, None], fund_returns()[-252:])
    np.testing.assert_allclose(split.sizes[:-1], fitted.betas[0], rtol=1e-9)
    assert split.names[-1] == SPECIFIC
    assert np.isnan(split.sizes[-1])
    residuals = split.returns[:, -1]
    assert parts.component[-1] == pytest.approx(np.var(residuals, ddof=1) / parts.total, rel=1e-8)
    assert parts.component[-1] / parts.total == pytest.approx(1.0 - fitted.r_squared[0], rel=1e-8)


def test_a_fund_that_is_held_and_a_factor_is_one_instrument() -> None:
    held = np.column_stack([returns()[:, :2], fund_returns()[-252:, :1]])
    names = [*stock_symbols()[:2], FACTOR_FUNDS[0]]
    split = split_by_factor(names, np.array([0.3, 0.3, 0.4]), held, FACTOR_FUNDS, fund_returns()[-252:])
    assert split.panel.shape[1] == 7
    np.testing.assert_allclose(split.panel @ split.makeup, split.returns, atol=1e-15)


@EVERY_SPEC
def test_parts_are_made_up_of_instruments(spec: SplitSpec) -> None:
    for split in (by_position(), by_group(), by_factor()):
        np.testing.assert_allclose(split.panel @ split.makeup, split.returns, atol=1e-15)


@pytest.mark.parametrize("estimator", ["sample", "ewma"])
def test_a_covariance_that_few_returns_do_not_determine_is_refused_with_its_remedy(estimator: str) -> None:
    split = split_by_position(stock_symbols(), WEIGHTS, returns()[-10:])
    with pytest.raises(
        MeasureInputError, match=rf"covariance={estimator}: singular, for 10 returns of 20 instruments.*ledoit_wolf"
    ):
        decomposed(split, SplitSpec("volatility", covariance=estimator))
    assert decomposed(split, SplitSpec("volatility")).total > 0.0


def test_other_bad_input_is_refused_by_name() -> None:
    with pytest.raises(MeasureInputError, match="method=kernel: it smooths value at risk alone"):
        decomposed(by_position(), SplitSpec("es", 0.975, method="kernel"))
    with pytest.raises(MeasureInputError, match=r"confidence=1\.5"):
        decomposed(by_position(), SplitSpec("var", 1.5))
    with pytest.raises(MeasureInputError, match="covariance='other': no such estimator"):
        decomposed(by_position(), SplitSpec("volatility", covariance="other"))
    funds = fund_returns()[-252:].copy()
    with pytest.raises(MeasureInputError, match="window_sessions: 6 returns for 5 factors; give at least 7"):
        split_by_factor(stock_symbols(), WEIGHTS, returns()[-6:], FACTOR_FUNDS, funds[-6:])
    funds[:, 3] = funds[:, 1]
    with pytest.raises(MeasureInputError, match=r"by: the factors MTUM.*repeat each other.*longer window_sessions"):
        split_by_factor(stock_symbols(), WEIGHTS, returns(), FACTOR_FUNDS, funds)
    with pytest.raises(MeasureInputError, match="weights: shape"):
        split_by_position(stock_symbols(), WEIGHTS[:3], returns())


def test_the_stored_parts_are_those_of_their_definitions() -> None:
    parts = position_parts(WEIGHTS, returns())
    scenarios = returns() @ WEIGHTS
    assert list(parts) == ["volatility", "var_99_1d", "es_975_1d"]
    assert parts["var_99_1d"].total == pytest.approx(float(historical_var(scenarios, 0.99)), rel=1e-12)
    assert parts["es_975_1d"].total == pytest.approx(float(historical_es(scenarios, 0.975)), rel=1e-12)
    expected = volatility_parts(WEIGHTS, ledoit_wolf_covariance(returns()))
    np.testing.assert_array_equal(parts["volatility"].component, expected.component)
    assert largest_miss(parts) < 1e-15


def test_a_component_that_misses_is_seen() -> None:
    parts = position_parts(WEIGHTS, returns())
    parts["volatility"].component[0] += 1e-8
    assert largest_miss(parts) == pytest.approx(1e-8, rel=1e-6)
    parts["es_975_1d"].component[0] = np.nan
    assert largest_miss(parts) == np.inf


def test_what_does_not_vary_has_no_correlation() -> None:
    correlation = known_correlation(np.array([[4.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]))
    np.testing.assert_array_equal(correlation, [[1.0, np.nan, 0.5], [np.nan] * 3, [0.5, np.nan, 1.0]])
    assert np.isnan(known_correlation(np.zeros((2, 2)))).all()
