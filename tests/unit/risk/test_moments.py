"""Skewness and kurtosis against scipy, and beta, the ratio of two co-moments, against numpy's regression."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.base.types import FloatArray
from pipeline.risk.measures.moments import excess_kurtosis, skewness
from pipeline.risk.measures.relative import beta
from tests.unit.risk.series import drawn_returns, drawn_windows


@pytest.fixture(params=[3, 63, 252, 1_000])
def panel(request: pytest.FixtureRequest) -> FloatArray:
    return drawn_returns(30, request.param, seed=request.param)


def test_skewness_equals_scipy_without_bias_correction(panel: FloatArray) -> None:
    np.testing.assert_allclose(skewness(panel), stats.skew(panel, axis=-1, bias=True), rtol=1e-9, atol=1e-12)


def test_excess_kurtosis_equals_scipy_without_bias_correction(panel: FloatArray) -> None:
    expected = stats.kurtosis(panel, axis=-1, fisher=True, bias=True)
    np.testing.assert_allclose(excess_kurtosis(panel), expected, rtol=1e-9, atol=1e-12)


def test_the_bias_correction_would_be_seen() -> None:
    """The guard of the two tests above: at 63 sessions the corrected moments are others."""
    panel = drawn_returns(30, 63)
    assert not np.isclose(skewness(panel), stats.skew(panel, axis=-1, bias=False), rtol=1e-3).any()
    assert not np.isclose(excess_kurtosis(panel), stats.kurtosis(panel, axis=-1, bias=False), rtol=1e-3).any()


def test_moments_of_two_equally_frequent_values() -> None:
    """Symmetric, and the flattest of all distributions: kurtosis 1."""
    returns = np.tile([0.01, -0.01], 50)
    assert float(skewness(returns)) == pytest.approx(0.0, abs=1e-12)
    assert float(excess_kurtosis(returns)) == pytest.approx(-2.0, rel=1e-12)


def test_one_loss_among_gains_skews_to_the_left() -> None:
    """A Bernoulli variable of probability p: (1 - 2p) / √(pq) and (1 - 6pq) / pq, mirrored."""
    returns = np.r_[-0.05, np.full(99, 0.001)]
    p, q = 0.01, 0.99
    assert float(skewness(returns)) == pytest.approx(-(q - p) / np.sqrt(p * q), rel=1e-9)
    assert float(excess_kurtosis(returns)) == pytest.approx((1.0 - 6.0 * p * q) / (p * q), rel=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, -0.1])
def test_a_constant_series_has_no_higher_moments(value: float) -> None:
    assert np.isnan(skewness(np.full(252, value)))
    assert np.isnan(excess_kurtosis(np.full(252, value)))


@pytest.mark.parametrize("sessions", [2, 63, 252])
def test_beta_equals_the_slope_of_polyfit(sessions: int) -> None:
    windows = drawn_windows(30, sessions, seed=9)
    assert windows.benchmark is not None
    expected = [np.polyfit(index, own, 1)[0] for own, index in zip(windows.returns, windows.benchmark, strict=True)]
    np.testing.assert_allclose(beta(windows.returns, windows.benchmark), expected, rtol=1e-9, atol=1e-12)


def test_beta_of_known_lines() -> None:
    index = drawn_returns(252)
    assert float(beta(index, index)) == pytest.approx(1.0, rel=1e-12)
    assert float(beta(0.02 - 1.5 * index, index)) == pytest.approx(-1.5, rel=1e-12)
    assert float(beta(np.full(252, 0.01), index)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_beta_has_no_value_where_the_benchmark_stands_still(value: float) -> None:
    assert np.isnan(beta(drawn_returns(252), np.full(252, value)))
