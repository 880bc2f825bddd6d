"""Risk measured again under wilder scenarios and higher correlations, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.stress import Positions
from pipeline.risk.measures.stress_shifts import (
    correlation_shift,
    scaled_deviations,
    shifted_covariance,
    volatility_shift,
)
from pipeline.risk.measures.tail import historical_es, historical_var
from tests.unit.risk.series import PROPERTY, drawn_returns, same

SCENARIOS = drawn_returns(500, seed=71)
SCALE = st.floats(0.0, 5.0)
SHIFT = st.floats(0.0, 1.0)
WEIGHTS = st.lists(st.floats(-1.0, 1.0), min_size=5, max_size=5)
Z99 = 2.3263478740408408  # scipy.stats.norm.ppf(0.99)


def covariance_of(instruments: int = 5, seed: int = 81) -> FloatArray:
    common = drawn_returns(300, 1, seed=seed)
    return np.cov(0.7 * common + drawn_returns(300, instruments, seed=seed + 1), rowvar=False)


def positions_of(weights: list[float]) -> Positions:
    return Positions(tuple("ABCDE"[: len(weights)]), np.array(weights))


def correlations(covariance: FloatArray) -> FloatArray:
    deviations = np.sqrt(np.diag(covariance))
    return covariance / np.outer(deviations, deviations)


@PROPERTY
@given(SCALE, st.sampled_from([0.9, 0.95, 0.975, 0.99]))
def test_both_measures_follow_the_shift_and_the_scale(scale: float, confidence: float) -> None:
    made, mean = volatility_shift(SCENARIOS, scale, confidence), float(SCENARIOS.mean())
    assert made.var_before == float(historical_var(SCENARIOS, confidence))
    assert made.es_before == float(historical_es(SCENARIOS, confidence))
    assert made.var_after == pytest.approx(scale * (made.var_before + mean) - mean, abs=1e-14)
    assert made.es_after == pytest.approx(scale * (made.es_before + mean) - mean, abs=1e-14)


@PROPERTY
@given(SCALE)
def test_scaled_scenarios_keep_their_mean_and_multiply_their_deviation(scale: float) -> None:
    scaled = scaled_deviations(SCENARIOS, scale)
    assert float(scaled.mean()) == pytest.approx(float(SCENARIOS.mean()), abs=1e-15)
    assert float(scaled.std(ddof=1)) == pytest.approx(scale * float(SCENARIOS.std(ddof=1)), rel=1e-10, abs=1e-15)


def test_scale_one_changes_no_bit_and_scale_nought_leaves_the_mean() -> None:
    assert same(scaled_deviations(SCENARIOS, 1.0), SCENARIOS)
    made = volatility_shift(SCENARIOS, 1.0, 0.99, horizon_sessions=10)
    assert (made.var_after, made.es_after) == (made.var_before, made.es_before)
    assert (made.scale, made.confidence, made.horizon_sessions) == (1.0, 0.99, 10)
    assert volatility_shift(SCENARIOS, 0.0, 0.99).var_after == pytest.approx(-float(SCENARIOS.mean()), abs=1e-16)


def test_scenarios_are_not_modified() -> None:
    mine = SCENARIOS.copy()
    volatility_shift(mine, 3.0, 0.99)
    assert same(mine, SCENARIOS)


@pytest.mark.parametrize("scenarios", [[], [0.1], [0.1, math.nan], [0.1, math.inf], [[0.1, 0.2]]])
def test_scenarios_that_are_none_are_refused(scenarios: list[float]) -> None:
    with pytest.raises(MeasureInputError, match=r"^scenarios: give one row of at least 2 finite returns; leave out"):
        volatility_shift(np.array(scenarios), 1.0, 0.99)


def test_a_scale_or_confidence_that_is_none_is_refused() -> None:
    for scale in (-0.1, math.nan, math.inf):
        with pytest.raises(MeasureInputError, match=r"^volatility_scale=.*: give a multiple of today's, such as 1.5"):
            volatility_shift(SCENARIOS, scale, 0.99)
    with pytest.raises(MeasureInputError, match=r"^confidence=99: give a fraction between 0 and 1"):
        volatility_shift(SCENARIOS, 1.0, 99)


@PROPERTY
@given(SHIFT)
def test_every_correlation_goes_its_fraction_of_the_way_to_one(shift: float) -> None:
    covariance = covariance_of()
    shifted, before = shifted_covariance(covariance, shift), correlations(covariance)
    np.testing.assert_allclose(correlations(shifted), before + shift * (1.0 - before), rtol=1e-12)
    assert same(np.diag(shifted).copy(), np.diag(covariance).copy())


@PROPERTY
@given(SHIFT, st.integers(0, 200))
def test_the_shifted_matrix_stays_positive_semidefinite(shift: float, seed: int) -> None:
    """Also that of fewer sessions than instruments, which is singular."""
    singular = np.cov(drawn_returns(4, 9, seed=seed), rowvar=False)
    shifted = shifted_covariance(singular, shift)
    assert float(np.linalg.eigvalsh(shifted)[0]) >= -1e-14 * float(np.abs(shifted).max())
    assert same(shifted, shifted.T.copy())


def test_an_instrument_that_never_moves_stays_still() -> None:
    covariance = np.diag([0.04, 0.0])
    np.testing.assert_array_equal(shifted_covariance(covariance, 0.5), covariance)


def test_two_assets_by_hand() -> None:
    """Volatilities 20 % and 10 %, uncorrelated, half each; half way to 1 the correlation is a half."""
    made = correlation_shift(positions_of([0.5, 0.5]), np.diag([0.04, 0.01]), 0.5, 0.99, horizon_sessions=252)
    assert made.volatility_before == pytest.approx(math.sqrt(0.01 + 0.0025), rel=1e-14)
    assert made.volatility_after == pytest.approx(math.sqrt(0.01 + 0.0025 + 0.005 * 0.5 * 2), rel=1e-14)
    assert made.gaussian_var_before == pytest.approx(Z99 * made.volatility_before, rel=1e-12)
    assert made.gaussian_var_after == pytest.approx(Z99 * made.volatility_after, rel=1e-12)
    assert (made.shift, made.confidence, made.horizon_sessions) == (0.5, 0.99, 252)


@PROPERTY
@given(WEIGHTS)
def test_no_shift_changes_nothing_and_a_whole_one_adds_up_volatilities(weights: list[float]) -> None:
    covariance, positions = covariance_of(), positions_of(weights)
    none = correlation_shift(positions, covariance, 0.0, 0.95)
    assert none.volatility_after == none.volatility_before
    whole = correlation_shift(positions, covariance, 1.0, 0.95)
    added = abs(float(positions.weights @ np.sqrt(np.diag(covariance))))
    # Compared as variances: where hedges cancel, the root magnifies rounding.
    assert whole.volatility_after**2 == pytest.approx(added**2, abs=1e-15)


@PROPERTY
@given(st.lists(st.floats(0.0, 1.0), min_size=5, max_size=5), SHIFT, SHIFT)
def test_a_long_portfolio_gets_riskier_the_further_it_goes(weights: list[float], one: float, other: float) -> None:
    near, far = sorted((one, other))
    risks = [
        correlation_shift(positions_of(weights), covariance_of(), shift, 0.95).volatility_after for shift in (near, far)
    ]
    assert risks[0] <= risks[1] + 1e-12


def test_a_hedge_gets_better() -> None:
    made = correlation_shift(positions_of([0.5, -0.5]), np.diag([0.04, 0.04]), 0.5, 0.99)
    assert made.volatility_after < made.volatility_before


def test_the_covariance_is_not_modified() -> None:
    covariance = covariance_of()
    correlation_shift(positions_of([0.2] * 5), covariance, 0.7, 0.99)
    assert same(covariance, covariance_of())


def test_what_cannot_be_used_is_refused() -> None:
    positions, covariance = positions_of([0.5, 0.5]), np.diag([0.04, 0.01])
    for shift in (-0.01, 1.01, math.nan):
        with pytest.raises(MeasureInputError, match=r"^correlation_shift=.*: give the fraction of the way from each"):
            correlation_shift(positions, covariance, shift, 0.99)
    for confidence in (0.5, 1.0, 99.0, math.nan):
        with pytest.raises(MeasureInputError, match=r"^confidence=.*: give a fraction between 0.5 and 1, such as 0.99"):
            correlation_shift(positions, covariance, 0.5, confidence)
    with pytest.raises(MeasureInputError, match=r"^covariance: not positive semidefinite"):
        correlation_shift(positions, np.array([[1.0, 2.0], [2.0, 1.0]]), 0.5, 0.99)
