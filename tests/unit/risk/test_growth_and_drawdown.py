"""CAGR, maximum drawdown and Calmar ratio against their definitions in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.risk.measures.drawdown import calmar_ratio, max_drawdown
from pipeline.risk.measures.growth import cagr
from tests.unit.risk.series import PROPERTY, drawn_returns, return_lists


def wealth_path(returns: list[float]) -> list[float]:
    """Compounded wealth, beginning with the 1 that was invested."""
    path = [1.0]
    for earned in returns:
        path.append(path[-1] * (1.0 + earned))
    return path


def deepest_fall(returns: list[float]) -> float:
    """The worst that anyone who bought at one close and sold at a later one, or the same, could have done."""
    path = wealth_path(returns)
    return min(path[sold] / path[bought] - 1.0 for bought in range(len(path)) for sold in range(bought, len(path)))


@PROPERTY
@given(return_lists(), st.sampled_from([12, 52, 252]))
def test_cagr_compounds_to_the_final_wealth(returns: list[float], periods_per_year: int) -> None:
    """By logarithms: the mean growth of a period, exponentiated over a year."""
    mean_log_growth = sum(math.log1p(earned) for earned in returns) / len(returns)
    expected = math.expm1(periods_per_year * mean_log_growth)
    assert float(cagr(np.array(returns), periods_per_year)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_cagr_of_known_growth() -> None:
    assert float(cagr(np.full(252, 0.01), 252)) == pytest.approx(1.01**252 - 1.0, rel=1e-12)
    assert float(cagr(np.array([0.21]), 1)) == pytest.approx(0.21, rel=1e-12)
    assert float(cagr(np.array([0.10, 0.10]), 1)) == pytest.approx(0.10, rel=1e-12)
    assert float(cagr(np.array([0.5, -0.5]), 2)) == pytest.approx(-0.25, rel=1e-12)


def test_cagr_of_a_total_loss_is_minus_one() -> None:
    assert float(cagr(np.array([0.3, -1.0, 0.4]), 252)) == -1.0


@PROPERTY
@given(return_lists())
def test_max_drawdown_is_the_worst_of_all_pairs_of_closes(returns: list[float]) -> None:
    assert float(max_drawdown(np.array(returns))) == pytest.approx(deepest_fall(returns), rel=1e-9, abs=1e-12)


def test_max_drawdown_of_drawn_years_equals_its_definition() -> None:
    panel = drawn_returns(20, 252, seed=3)
    expected = [deepest_fall(returns.tolist()) for returns in panel]
    np.testing.assert_allclose(max_drawdown(panel), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        ([-0.1, 0.05, 0.05], -0.1),  # the starting wealth is the first peak
        ([-0.5], -0.5),
        ([0.1, -0.2, 0.1, -0.2], 0.8 * 1.1 * 0.8 - 1.0),  # compounded: -29.6 %, not the sum of -30 %
        ([1.0, -0.5], -0.5),  # from the peak, not from the start
        ([0.01, 0.0, 0.02], 0.0),
        ([0.0, 0.0], 0.0),
        ([0.2, -1.0, 0.5], -1.0),
    ],
)
def test_max_drawdown_of_known_falls(returns: list[float], expected: float) -> None:
    assert float(max_drawdown(np.array(returns))) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_a_loss_on_the_first_session_counts_like_any_other() -> None:
    early, late = np.zeros((2, 252))
    early[0], late[200] = -0.03, -0.03
    assert max_drawdown(early) == max_drawdown(late) == pytest.approx(-0.03, rel=1e-12)


@PROPERTY
@given(return_lists(minimum_sessions=2))
def test_calmar_is_growth_over_the_size_of_the_deepest_fall(returns: list[float]) -> None:
    series = np.array(returns)
    ratio = float(calmar_ratio(cagr(series, 252), max_drawdown(series)))
    fall = deepest_fall(returns)
    if min(returns) >= 0.0:
        assert math.isnan(ratio)
    else:
        growth = wealth_path(returns)[-1] ** (252 / len(returns)) - 1.0
        assert ratio == pytest.approx(growth / -fall, rel=1e-9, abs=1e-9)


def test_calmar_has_a_value_only_where_there_was_a_drawdown() -> None:
    ratios = calmar_ratio(np.array([0.2, 0.2, -0.1]), np.array([-0.4, 0.0, -0.5]))
    np.testing.assert_array_equal(ratios, [0.5, np.nan, -0.2])
