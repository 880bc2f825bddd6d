"""Entropic value at risk against skfolio, the definition minimised on a grid, and closed forms."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skfolio.measures import edar, evar, get_drawdowns

from pipeline.base.types import FloatArray
from pipeline.risk.measures.drawdown import entropic_drawdown_at_risk
from pipeline.risk.measures.entropic import entropic_var
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.tail import historical_es
from tests.unit.risk.market import CRISIS_YEARS, stock_returns
from tests.unit.risk.series import PROPERTY, drawn_returns, return_lists, same

CONFIDENCE = st.sampled_from([0.05, 0.5, 0.9, 0.95, 0.99, 0.999])
LEVELS = pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])


def bound(losses: FloatArray, confidence: float, z: float) -> float:
    """Chernoff's bound at z, in the plain form of the definition."""
    largest = losses.max()
    log_mean = math.log(np.mean(np.exp((losses - largest) / z)))
    return float(largest + z * (log_mean - math.log(1.0 - confidence)))


@LEVELS
def test_evar_of_real_stocks_equals_skfolio(confidence: float) -> None:
    for window in (slice(None), CRISIS_YEARS, slice(-252, None)):
        columns = np.ascontiguousarray(stock_returns()[window, :6].T)
        expected = [evar(column, beta=confidence) for column in columns]
        np.testing.assert_allclose(entropic_var(columns, confidence), expected, rtol=1e-7)


@LEVELS
def test_edar_of_real_stocks_equals_skfolio_on_compounded_drawdowns(confidence: float) -> None:
    columns = np.ascontiguousarray(stock_returns()[CRISIS_YEARS, :6].T)
    expected = [edar(get_drawdowns(column, compounded=True), beta=confidence) for column in columns]
    made = entropic_drawdown_at_risk(columns, confidence)
    np.testing.assert_allclose(made, expected, rtol=1e-7)
    uncompounded = [edar(get_drawdowns(column), beta=confidence) for column in columns]
    assert not np.isclose(made, uncompounded, rtol=1e-4).any()


@PROPERTY
@given(return_lists(minimum_sessions=2), CONFIDENCE)
def test_evar_is_the_least_bound(returns: list[float], confidence: float) -> None:
    losses = -np.array(returns)
    made = float(entropic_var(-losses, confidence))
    spread = float(np.ptp(losses))
    if spread == 0.0:
        assert made == losses[0]
        return
    grid = [bound(losses, confidence, spread * z) for z in np.logspace(-4.0, 4.0, 400)]
    assert made <= min(grid) + 1e-12
    assert made >= min(*grid, float(losses.max())) - 0.01 * spread


@PROPERTY
@given(return_lists(), CONFIDENCE)
def test_evar_lies_between_expected_shortfall_and_the_largest_loss(returns: list[float], confidence: float) -> None:
    series = np.array(returns)
    made = float(entropic_var(series, confidence))
    assert float(historical_es(series, confidence)) - 1e-9 <= made <= float(-series.min())


def test_evar_of_two_equally_likely_values_is_that_of_its_entropy() -> None:
    """The tilted probability q of the loss solves ln 2 + q ln q + (1-q) ln(1-q) = -ln(1-α); EVaR is its mean."""
    q = 0.9
    entropy = math.log(2.0) + q * math.log(q) + (1.0 - q) * math.log(1.0 - q)
    returns = np.tile([0.02, -0.05], 40)
    assert float(entropic_var(returns, 1.0 - math.exp(-entropy))) == pytest.approx(0.9 * 0.05 - 0.1 * 0.02, rel=1e-9)


def test_evar_of_a_normal_sample_is_near_its_closed_form() -> None:
    """μ + σ √(-2 ln(1-α)) (Ahmadi-Javid 2012)."""
    normal = 0.01 * np.random.default_rng(1).standard_normal(400_000)
    assert float(entropic_var(normal, 0.95)) == pytest.approx(0.01 * math.sqrt(-2.0 * math.log(0.05)), rel=0.01)


@pytest.mark.parametrize(("ties", "confidence"), [(1, 0.99), (1, 0.999), (5, 0.95), (6, 0.95), (50, 0.5)])
def test_evar_is_the_largest_loss_where_that_fills_the_tail(ties: int, confidence: float) -> None:
    returns = drawn_returns(100)
    returns[:ties] = -0.5
    assert entropic_var(returns, confidence) == 0.5


def test_evar_is_below_the_largest_loss_where_that_almost_fills_the_tail() -> None:
    returns = drawn_returns(100)
    returns[:5] = -0.5
    for confidence in (0.949, 0.9499, 0.949999999):
        made = float(entropic_var(returns, confidence))
        assert 0.45 < made <= 0.5
    assert float(entropic_var(returns, 0.949)) < 0.5


@pytest.mark.parametrize("second", [-0.5 + 1e-9, -0.5 + 1e-12])
def test_losses_that_almost_tie_are_told_apart_without_trouble(second: float) -> None:
    returns = drawn_returns(100)
    returns[0], returns[1] = -0.5, second
    assert float(entropic_var(returns, 0.985)) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("factor", [1e-12, 1e-3, 1.0, 1e3, 1e12])
def test_evar_scales_and_moves_with_the_losses(factor: float) -> None:
    returns = drawn_returns(5, 252)
    plain = entropic_var(returns, 0.95)
    np.testing.assert_allclose(entropic_var(returns * factor, 0.95), plain * factor, rtol=1e-9)
    np.testing.assert_allclose(entropic_var(returns + 0.3, 0.95), plain - 0.3, rtol=1e-9)


def test_evar_is_subadditive() -> None:
    one, other = drawn_returns(100, 120, seed=31), drawn_returns(100, 120, seed=32)
    for measure in (partial(entropic_var, confidence=level) for level in (0.5, 0.95, 0.99)):
        assert (measure(one + other) <= measure(one) + measure(other) + 1e-12).all()


@PROPERTY
@given(return_lists(minimum_sessions=2))
def test_a_higher_confidence_never_names_a_smaller_loss(returns: list[float]) -> None:
    series = np.array(returns)
    values = [float(entropic_var(series, level)) for level in (0.05, 0.5, 0.9, 0.99)]
    assert (np.diff(values) >= -1e-12).all()


@pytest.mark.parametrize("value", [0.0, 0.1, -1.0 / 3.0])
def test_a_constant_loss_is_its_own_evar(value: float) -> None:
    assert entropic_var(np.full(252, value), 0.95) == -value


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_window_with_a_broken_return_has_no_evar_and_leaves_the_others(broken: float) -> None:
    returns = drawn_returns(3, 60)
    expected = entropic_var(returns, 0.95)
    returns[1, 7] = broken
    made = entropic_var(returns, 0.95)
    assert np.isnan(made[1])
    assert same(made[[0, 2]], expected[[0, 2]])


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, -0.1, float("nan")])
def test_a_confidence_outside_zero_and_one_is_refused(confidence: float) -> None:
    with pytest.raises(MeasureInputError, match=r"confidence=.*fraction between 0 and 1"):
        entropic_var(drawn_returns(9), confidence)
