"""The four axioms of a coherent measure of risk (Artzner et al. 1999), which expected shortfall satisfies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.types import FloatArray
from pipeline.risk.measures.tail import historical_es, historical_var
from tests.unit.risk.series import BASIS_POINTS, PROPERTY, drawn_returns, return_lists

CONFIDENCE = st.sampled_from([0.5, 0.9, 0.95, 0.975, 0.99])
ROUNDING = 1e-12


@st.composite
def return_pairs(draw: st.DrawFn) -> tuple[FloatArray, FloatArray]:
    """Two positions on the same sessions."""
    one = draw(return_lists(minimum_sessions=2, maximum_sessions=80))
    other = draw(st.lists(BASIS_POINTS, min_size=len(one), max_size=len(one)))
    return np.array(one), np.array(other) / 10_000


@PROPERTY
@given(return_pairs(), CONFIDENCE)
def test_es_is_subadditive(pair: tuple[FloatArray, FloatArray], confidence: float) -> None:
    one, other = pair
    apart = historical_es(one, confidence) + historical_es(other, confidence)
    assert historical_es(one + other, confidence) <= apart + ROUNDING


def test_es_is_subadditive_in_the_tail_of_long_series() -> None:
    one, other = drawn_returns(300, 252, seed=21), drawn_returns(300, 252, seed=22)
    for confidence in (0.95, 0.975, 0.99):
        apart = historical_es(one, confidence) + historical_es(other, confidence)
        assert (historical_es(one + other, confidence) <= apart + ROUNDING).all()


@PROPERTY
@given(return_lists(), st.integers(-500, 500), CONFIDENCE)
def test_a_sure_gain_lowers_es_and_var_by_itself(returns: list[float], gain_points: int, confidence: float) -> None:
    series, gain = np.array(returns), gain_points / 10_000
    for measure in (historical_es, historical_var):
        expected = float(measure(series, confidence)) - gain
        assert float(measure(series + gain, confidence)) == pytest.approx(expected, rel=1e-11, abs=ROUNDING)


@PROPERTY
@given(return_pairs(), CONFIDENCE)
def test_a_position_that_never_earns_less_is_not_riskier(
    pair: tuple[FloatArray, FloatArray], confidence: float
) -> None:
    worse, surplus = pair[0], np.abs(pair[1])
    for measure in (historical_es, historical_var):
        assert measure(worse + surplus, confidence) <= measure(worse, confidence) + ROUNDING


@PROPERTY
@given(return_lists(), st.integers(1, 400), CONFIDENCE)
def test_es_and_var_grow_with_the_size_of_the_position(returns: list[float], percent: int, confidence: float) -> None:
    series, size = np.array(returns), percent / 100
    for measure in (historical_es, historical_var):
        expected = size * float(measure(series, confidence))
        assert float(measure(size * series, confidence)) == pytest.approx(expected, rel=1e-11, abs=ROUNDING)


def test_value_at_risk_is_not_subadditive() -> None:
    """Why both are published: two bonds that each default in 4 of 100 scenarios, never together.

    Neither has a loss at 95 %, but their sum does. The guard of the tests above, too: they would see it.
    """
    one, other = np.zeros((2, 100))
    one[:4] = other[4:8] = -1.0
    assert historical_var(one, 0.95) == historical_var(other, 0.95) == 0.0
    assert historical_var(one + other, 0.95) == 1.0
    assert historical_es(one + other, 0.95) <= historical_es(one, 0.95) + historical_es(other, 0.95)


@PROPERTY
@given(return_lists(minimum_sessions=3))
def test_a_higher_confidence_never_names_a_smaller_loss(returns: list[float]) -> None:
    series = np.array(returns)
    for measure in (historical_es, historical_var):
        values = [float(measure(series, confidence)) for confidence in (0.5, 0.9, 0.95, 0.975, 0.99)]
        assert (np.diff(values) >= -ROUNDING).all()
