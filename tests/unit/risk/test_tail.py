"""Value at risk and expected shortfall against their definitions in plain Python."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.tail import fitted_historical_tail, historical_es, historical_var
from tests.unit.risk.series import PROPERTY, drawn_returns, return_lists

LEVELS = ("0.5", "0.9", "0.95", "0.975", "0.99", "0.995")
CONFIDENCE = st.sampled_from(LEVELS)
LOSSES = return_lists(maximum_sessions=130)


def smallest_loss_that_is_rarely_exceeded(returns: list[float], confidence: str) -> float:
    """The definition of a quantile: the least x with P(loss ≤ x) ≥ α."""
    losses = [-earned for earned in returns]
    required = Fraction(confidence) * len(losses)
    return min(x for x in losses if sum(loss <= x for loss in losses) >= required)


def mean_of_the_quantiles_beyond(returns: list[float], confidence: str) -> float:
    """∫ VaR(u) du over u from α to 1, divided by 1 - α; loss i is the quantile from (i-1)/n to i/n."""
    alpha, n = Fraction(confidence), len(returns)
    ordered = sorted(-Fraction(earned) for earned in returns)
    area = sum(
        loss * max(Fraction(i, n) - max(alpha, Fraction(i - 1, n)), Fraction(0)) for i, loss in enumerate(ordered, 1)
    )
    return float(area / (1 - alpha))


def least_value_of_the_objective(returns: list[float], confidence: str) -> float:
    """Rockafellar & Uryasev (2000): the minimum over c of c + E[(loss - c)+] / (1 - α), which lies at a loss."""
    losses = [-earned for earned in returns]
    tail = float((1 - Fraction(confidence)) * len(losses))
    return min(c + math.fsum(loss - c for loss in losses if loss > c) / tail for c in losses)


@PROPERTY
@given(LOSSES, CONFIDENCE)
def test_var_is_the_least_loss_with_enough_probability(returns: list[float], confidence: str) -> None:
    made = float(historical_var(np.array(returns), float(confidence)))
    assert made == smallest_loss_that_is_rarely_exceeded(returns, confidence)


@pytest.mark.parametrize("confidence", [*LEVELS, "0.07", "0.28", "0.57"])
def test_var_is_the_order_statistic_of_the_exact_rank(confidence: str) -> None:
    """Losses 1, 2, … n name their own rank."""
    for sessions in range(1, 500):
        losses = np.arange(1.0, sessions + 1.0)
        expected = math.ceil(Fraction(confidence) * sessions)
        assert historical_var(-losses, float(confidence)) == expected, sessions


@pytest.mark.parametrize(("confidence", "sessions", "rank"), [(0.95, 260, 247), (0.28, 25, 7), (0.07, 100, 7)])
def test_rounding_does_not_lift_the_rank_over_the_integer(confidence: float, sessions: int, rank: int) -> None:
    """0.28 × 25 is 7.000000000000001 in floating point."""
    assert historical_var(-np.arange(1.0, sessions + 1.0), confidence) == rank


def test_var_does_not_interpolate_and_names_a_loss_by_a_positive_number() -> None:
    returns = np.array([0.05, -0.03, 0.01, -0.10])
    assert historical_var(returns, 0.75) == 0.03
    assert historical_var(returns, 0.76) == 0.10
    assert historical_var(returns, 0.50) == -0.01


@PROPERTY
@given(LOSSES, CONFIDENCE)
def test_es_is_the_mean_of_the_quantiles_beyond_var(returns: list[float], confidence: str) -> None:
    made = float(historical_es(np.array(returns), float(confidence)))
    assert made == pytest.approx(mean_of_the_quantiles_beyond(returns, confidence), rel=1e-11, abs=1e-13)


@PROPERTY
@given(LOSSES, CONFIDENCE)
def test_es_is_the_minimum_of_the_objective_that_optimisers_minimise(returns: list[float], confidence: str) -> None:
    made = float(historical_es(np.array(returns), float(confidence)))
    assert made == pytest.approx(least_value_of_the_objective(returns, confidence), rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("confidence", ["0.95", "0.975", "0.99"])
def test_es_of_drawn_years_equals_both_definitions(confidence: str) -> None:
    panel = drawn_returns(6, 252, seed=11)
    made = historical_es(panel, float(confidence))
    rows = [returns.tolist() for returns in panel]
    np.testing.assert_allclose(made, [mean_of_the_quantiles_beyond(r, confidence) for r in rows], rtol=1e-12)
    np.testing.assert_allclose(made, [least_value_of_the_objective(r, confidence) for r in rows], rtol=1e-12)


def test_es_counts_a_fraction_of_the_scenario_at_var() -> None:
    """Four scenarios at 60 %: the tail of 40 % is the worst scenario (25 %) and 15 % of the second worst."""
    returns = np.array([-0.10, -0.04, 0.0, 0.02])
    assert float(historical_es(returns, 0.6)) == pytest.approx((0.25 * 0.10 + 0.15 * 0.04) / 0.4, rel=1e-12)
    mean_beyond_var, mean_from_var_on = 0.10, 0.07
    assert mean_from_var_on < float(historical_es(returns, 0.6)) < mean_beyond_var


@PROPERTY
@given(LOSSES, st.floats(0.01, 0.995))
def test_es_is_never_below_var(returns: list[float], confidence: float) -> None:
    series = np.array(returns)
    assert historical_es(series, confidence) >= historical_var(series, confidence)


@pytest.mark.parametrize("loss", [0.1, 0.07, 1.0 / 3.0, 0.0, -0.02])
def test_a_flat_tail_has_the_same_es_as_var(loss: float) -> None:
    """A weighted mean of equal losses rounds to either side of them."""
    for sessions in range(2, 400):
        flat = np.full(sessions, -loss)
        for confidence in (0.9, 0.975, 0.99):
            assert historical_var(flat, confidence) == loss
            assert historical_es(flat, confidence) >= loss
            assert float(historical_es(flat, confidence)) == pytest.approx(loss, rel=1e-13, abs=1e-17)


def test_with_fewer_sessions_than_the_tail_can_resolve_both_are_the_worst_loss() -> None:
    returns = drawn_returns(63, seed=4)
    worst = -returns.min()
    assert historical_var(returns, 0.99) == worst
    assert float(historical_es(returns, 0.99)) == pytest.approx(worst, rel=1e-13)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
def test_the_order_of_the_sessions_does_not_matter_to_the_last_bit(confidence: float) -> None:
    """Tails longer than those that a partial sort happens to order completely."""
    returns = drawn_returns(2_000, seed=13)
    shuffled = np.array([np.random.default_rng(seed).permutation(returns) for seed in range(50)])
    assert len(set(historical_var(shuffled, confidence).tolist())) == 1
    assert len(set(historical_es(shuffled, confidence).tolist())) == 1


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.975, 0.99])
@pytest.mark.parametrize("sessions", [1, 10, 252])
def test_both_are_the_closed_forms_of_geometric_brownian_motion(confidence: float, sessions: int) -> None:
    """A return over h years is exp(μh + σ√h Z) - 1, with μ the drift of the logarithm.

    VaR = 1 - exp(μh + σ√h z) with z = Φ⁻¹(1-α), and ES = 1 - exp(μh + σ²h/2) Φ(z - σ√h) / (1-α), the partial mean of
    the lognormal law (Johnson, Kotz & Balakrishnan 1994, chapter 14). The returns are the law's quantiles in the
    middle of equal steps of probability: the value at risk is one of them, half a step from the law's.
    """
    drift, volatility, years, count = 0.05, 0.3, sessions / 252, 400_000
    steps = (np.arange(count) + 0.5) / count
    mean, deviation = drift * years, volatility * math.sqrt(years)
    returns = np.random.default_rng(5).permutation(np.expm1(mean + deviation * ndtri(steps)))
    z = float(ndtri(1.0 - confidence))
    value_at_risk = 1.0 - math.exp(mean + deviation * z)
    beyond = float(ndtr(z - deviation)) / (1.0 - confidence)
    shortfall = 1.0 - math.exp(mean + deviation * deviation / 2.0) * beyond
    fitted = fitted_historical_tail(returns)(confidence)
    for var, es in (
        (historical_var(returns, confidence), historical_es(returns, confidence)),
        (fitted.var, fitted.es),
    ):
        assert float(var) == pytest.approx(value_at_risk, rel=1e-4)
        assert float(es) == pytest.approx(shortfall, rel=1e-4)


@pytest.mark.parametrize("place", [0, 30, 62])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_a_missing_return_leaves_no_number_in_its_window_alone(confidence: float, place: int) -> None:
    """It sorts behind the largest loss, so that the ranks below it would still have a loss."""
    panel = drawn_returns(3, 63, seed=17)
    whole = historical_var(panel, confidence), historical_es(panel, confidence)
    panel[1, place] = np.nan
    fitted = fitted_historical_tail(panel)(confidence)
    for made, expected in zip(
        (historical_var(panel, confidence), historical_es(panel, confidence)), whole, strict=True
    ):
        assert list(np.isnan(made)) == [False, True, False]
        assert (made[[0, 2]] == expected[[0, 2]]).all()
    assert list(np.isnan(fitted.var)) == list(np.isnan(fitted.es)) == [False, True, False]
    assert np.isnan(historical_var(panel[1], confidence))


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 99.0, math.nan])
def test_a_confidence_that_is_no_fraction_is_refused(confidence: float) -> None:
    for function in (historical_var, historical_es):
        with pytest.raises(MeasureInputError, match=r"^confidence=.*: give a fraction between 0 and 1, such as 0\.99$"):
            function(np.zeros(10), confidence)
