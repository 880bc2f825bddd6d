"""Measures against a benchmark: regressions by scipy, captures by the products written out."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.risk.measures.relative import (
    beta,
    correlation,
    down_capture,
    information_ratio,
    jensen_alpha,
    r_squared,
    tracking_error,
    up_capture,
)
from tests.unit.risk.market import index_returns, stock_returns
from tests.unit.risk.series import BASIS_POINTS, PROPERTY, drawn_returns

Pair = tuple[list[float], list[float]]


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """Returns and those of a benchmark on the same sessions."""
    cells = draw(st.lists(st.tuples(BASIS_POINTS, BASIS_POINTS), min_size=2, max_size=60))
    return [own / 10_000 for own, _ in cells], [index / 10_000 for _, index in cells]


def capture_twin(returns: list[float], benchmark: list[float], direction: int) -> float:
    """Geometric means over the sessions on which the benchmark moved in that direction, by the m-th root."""
    counted = [(own, index) for own, index in zip(returns, benchmark, strict=True) if direction * index > 0.0]
    if not counted:
        return math.nan
    own, index = (
        math.prod(1.0 + value for value in column) ** (1.0 / len(counted)) for column in zip(*counted, strict=True)
    )
    return (own - 1.0) / (index - 1.0)


def test_alpha_beta_correlation_of_real_stocks_equal_scipy() -> None:
    rate = 0.03 / 252
    for column in range(20):
        own, index = np.ascontiguousarray(stock_returns()[-1_000:, column]), index_returns()[-1_000:]
        line = stats.linregress(index - rate, own - rate)
        assert float(jensen_alpha(own, index, rate, 252)) == pytest.approx(252 * line.intercept, rel=1e-8, abs=1e-12)
        assert float(correlation(own, index)) == pytest.approx(line.rvalue, rel=1e-10)
        assert float(r_squared(own, index)) == pytest.approx(line.rvalue**2, rel=1e-10)


def test_alpha_depends_on_the_risk_free_rate_unless_beta_is_one() -> None:
    index = drawn_returns(252)
    assert float(jensen_alpha(index + 0.001, index, 0.0001, 252)) == pytest.approx(0.252, rel=1e-9)
    doubled = 2.0 * index
    assert float(jensen_alpha(doubled, index, 0.0, 252)) == pytest.approx(0.0, abs=1e-12)
    # Twice the index, financed at the rate, would have to pay it once.
    assert float(jensen_alpha(doubled, index, 0.0001, 252)) == pytest.approx(252 * 0.0001, rel=1e-9)


@PROPERTY
@given(pairs())
def test_tracking_error_and_information_ratio_equal_their_definitions(pair: Pair) -> None:
    active = [own - index for own, index in zip(*pair, strict=True)]
    own, index = np.array(pair[0]), np.array(pair[1])
    moves = max(active) - min(active) > 1e-12
    expected = stdev(active) if moves else 0.0
    assert float(tracking_error(own, index, 252)) == pytest.approx(math.sqrt(252) * expected, rel=1e-9, abs=1e-12)
    ratio = math.sqrt(252) * fmean(active) / expected if moves else math.nan
    assert float(information_ratio(own, index, 252)) == pytest.approx(ratio, rel=1e-9, abs=1e-9, nan_ok=True)


def test_a_constant_lead_is_no_tracking_error_however_it_rounds() -> None:
    """The difference of r + 1 bp and r varies by an ulp of r; a ratio of 10¹³ would come of it."""
    index = index_returns()[-252:]
    assert np.ptp((index + 0.0001) - index) > 0.0
    assert tracking_error(index + 0.0001, index, 252) == 0.0
    assert np.isnan(information_ratio(index + 0.0001, index, 252))
    assert np.isnan(information_ratio(index, index, 252))


def test_a_lead_that_varies_by_a_tick_is_tracking_error() -> None:
    index = index_returns()[-252:]
    nudged = index + np.where(np.arange(252) == 7, 1e-9, 0.0)
    assert float(tracking_error(nudged, index, 1)) == pytest.approx(1e-9 / math.sqrt(252), rel=1e-3)


@PROPERTY
@given(pairs())
def test_captures_equal_their_definition(pair: Pair) -> None:
    own, index = np.array(pair[0]), np.array(pair[1])
    for capture, direction in ((up_capture, 1), (down_capture, -1)):
        expected = capture_twin(*pair, direction)
        assert float(capture(own, index)) == pytest.approx(expected, rel=1e-8, abs=1e-9, nan_ok=True)


def test_known_captures() -> None:
    index = np.array([0.10, 0.10, -0.10, -0.10, 0.0])
    own = np.array([0.05, 0.05, -0.20, -0.20, 0.50])  # what happens while the benchmark stands still counts nowhere
    assert float(up_capture(own, index)) == pytest.approx(0.5, rel=1e-12)
    assert float(down_capture(own, index)) == pytest.approx(2.0, rel=1e-12)
    assert float(down_capture(-own, index)) == pytest.approx(-2.0, rel=1e-12)


def test_captures_are_geometric() -> None:
    """+50 % and -10 % compound to +35 %, a mean of √1.35 - 1; the arithmetic one would be 20 %."""
    made = float(up_capture(np.array([0.5, -0.1]), np.array([0.1, 0.1])))
    assert made == pytest.approx((math.sqrt(1.35) - 1.0) / 0.1, rel=1e-12)


def test_the_benchmark_captures_itself() -> None:
    index = index_returns()
    assert up_capture(index, index) == down_capture(index, index) == 1.0
    assert float(correlation(index, index)) == pytest.approx(1.0, rel=1e-14)
    assert float(correlation(-index, index)) == pytest.approx(-1.0, rel=1e-14)


def test_there_is_no_capture_without_sessions_of_that_direction() -> None:
    own, risen = drawn_returns(30), np.full(30, 0.01)
    assert np.isnan(down_capture(own, risen))
    assert np.isnan(up_capture(own, -risen))
    assert np.isnan(up_capture(own, np.zeros(30)))
    assert np.isfinite(up_capture(own, risen))


def test_a_total_loss_is_captured() -> None:
    assert float(up_capture(np.array([-1.0, 0.1]), np.array([0.1, 0.1]))) == pytest.approx(-10.0, rel=1e-12)
    assert float(down_capture(np.array([0.1]), np.array([-1.0]))) == pytest.approx(-0.1, rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_nothing_correlates_with_what_stands_still(value: float) -> None:
    own, still = drawn_returns(252), np.full(252, value)
    for measure in (correlation, r_squared):
        assert np.isnan(measure(own, still))
        assert np.isnan(measure(still, own))
    assert np.isnan(jensen_alpha(own, still, 0.0, 252))


@PROPERTY
@given(pairs(), st.floats(0.1, 3.0), st.floats(-0.05, 0.05))
def test_correlation_sees_neither_size_nor_level_and_never_leaves_its_bounds(
    pair: Pair, factor: float, shift: float
) -> None:
    own, index = np.array(pair[0]), np.array(pair[1])
    made = float(correlation(own, index))
    if min(np.ptp(own), np.ptp(index)) == 0.0:
        assert math.isnan(made)
        return
    assert -1.0 <= made <= 1.0
    assert float(correlation(index, own)) == pytest.approx(made, abs=1e-12)
    assert float(correlation(own * factor + shift, index)) == pytest.approx(made, abs=1e-7)
    assert float(correlation(-own, index)) == pytest.approx(-made, abs=1e-12)


def test_r_squared_is_the_share_of_the_variance_that_beta_explains() -> None:
    own, index = np.ascontiguousarray(stock_returns()[-252:, 3]), index_returns()[-252:]
    explained = float(beta(own, index)) ** 2 * np.var(index) / np.var(own)
    assert float(r_squared(own, index)) == pytest.approx(explained, rel=1e-10)


def test_the_correlation_of_tiny_returns_does_not_underflow() -> None:
    own, index = drawn_returns(2, 60)
    assert float(correlation(own * 1e-100, index * 1e-100)) == pytest.approx(float(correlation(own, index)), rel=1e-12)
