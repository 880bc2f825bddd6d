"""The most likely loss: against an optimiser, against scipy's laws, and where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import optimize, stats

from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.stress import Positions, replay
from pipeline.risk.measures.stress_reverse import (
    FactorModel,
    NoVarianceError,
    SingularCovarianceError,
    reverse_factor_stress,
    reverse_stress,
    student_t_loss_probability,
)
from tests.unit.risk.series import PROPERTY, drawn_returns, same

SYMBOLS = ("A", "B", "C", "D")
FACTORS = ("market", "value")
EXPOSURES = np.array([[1.1, 0.2], [0.9, -0.3], [1.3, 0.0], [0.7, 0.5]])
FACTOR_COVARIANCE = np.array([[1.0e-4, -2.0e-5], [-2.0e-5, 4.0e-5]])
MODEL = FactorModel(FACTORS, EXPOSURES, FACTOR_COVARIANCE)
WEIGHTS = st.lists(st.floats(-1.0, 1.0), min_size=4, max_size=4)
LOSS = st.floats(0.001, 0.3)


def covariance_of() -> FloatArray:
    common = drawn_returns(400, 1, seed=91)
    return np.cov(0.7 * common + drawn_returns(400, 4, seed=92), rowvar=False)


COVARIANCE = covariance_of()
LONG = Positions(SYMBOLS, np.array([0.4, 0.3, 0.2, 0.1]), 1e6)


@PROPERTY
@given(WEIGHTS, LOSS)
def test_the_move_is_the_closed_form_and_loses_what_was_asked(weights: list[float], loss: float) -> None:
    w = np.array(weights)
    assume(float(w @ w) > 0.01)
    variance = float(w @ COVARIANCE @ w)
    expected = -loss * (COVARIANCE @ w) / variance
    assume(float(expected.min()) > -1.0)
    made = reverse_stress(Positions(SYMBOLS, w), COVARIANCE, loss)
    np.testing.assert_allclose(made.result.shocks, expected, rtol=1e-10)
    assert made.result.kind == "reverse"
    assert made.result.total == pytest.approx(-loss, abs=1e-9)
    assert float(made.result.position_pnl.sum()) == pytest.approx(-loss, abs=1e-9)
    shocks = made.result.shocks
    mahalanobis = math.sqrt(float(shocks @ np.linalg.solve(COVARIANCE, shocks)))
    assert made.mahalanobis_distance == pytest.approx(mahalanobis, rel=1e-8)
    again = replay(shocks, w)
    assert same(again.position, made.result.position_pnl)
    assert again.total == made.result.total


@PROPERTY
@given(st.lists(st.floats(-0.2, 0.2), min_size=4, max_size=4))
def test_every_other_move_that_loses_as_much_is_further_away(direction: list[float]) -> None:
    """The move plus any step along the plane of equal loss."""
    made = reverse_stress(LONG, COVARIANCE, 0.05)
    step = np.array(direction)
    step -= LONG.weights * float(step @ LONG.weights) / float(LONG.weights @ LONG.weights)
    other = made.result.shocks + step
    assert float(other @ LONG.weights) == pytest.approx(-0.05, abs=1e-12)
    assert math.sqrt(float(other @ np.linalg.solve(COVARIANCE, other))) >= made.mahalanobis_distance - 1e-9


def test_an_optimiser_finds_the_same_move() -> None:
    inverse = np.linalg.inv(COVARIANCE)
    found = optimize.minimize(
        lambda r: float(r @ inverse @ r),
        np.full(4, -0.1),
        jac=lambda r: 2.0 * inverse @ r,
        constraints={"type": "eq", "fun": lambda r: float(LONG.weights @ r) + 0.1},
        method="SLSQP",
        options={"ftol": 1e-14},
    )
    made = reverse_stress(LONG, COVARIANCE, 0.1)
    np.testing.assert_allclose(made.result.shocks, found.x, atol=1e-6)
    assert made.mahalanobis_distance == pytest.approx(math.sqrt(found.fun), rel=1e-6)


def test_probabilities_are_those_of_the_laws() -> None:
    deviation = math.sqrt(float(LONG.weights @ COVARIANCE @ LONG.weights))
    loss = 3.0 * deviation
    made = reverse_stress(LONG, COVARIANCE, loss, degrees_of_freedom=4.0, name="three sigma")
    assert made.result.name == "three sigma"
    assert made.loss == loss
    assert made.mahalanobis_distance == pytest.approx(3.0, rel=1e-12)
    assert made.gaussian_probability == pytest.approx(float(stats.norm.sf(3.0)), rel=1e-9)
    scale = deviation * math.sqrt(2.0 / 4.0)
    assert made.student_t_probability == pytest.approx(float(stats.t.sf(loss, 4.0, scale=scale)), rel=1e-9)
    assert made.degrees_of_freedom == 4.0
    assert made.student_t_probability > made.gaussian_probability
    assert reverse_stress(LONG, COVARIANCE, loss).student_t_probability is None


def test_a_student_t_law_with_many_degrees_of_freedom_is_normal() -> None:
    assert student_t_loss_probability(2.0, 1.0, 1e9) == pytest.approx(float(stats.norm.sf(2.0)), rel=1e-6)


def test_probabilities_are_how_often_draws_lose_as_much() -> None:
    """200,000 draws: 4 standard errors of a probability of 2 % are 0.13 %."""
    draw = np.random.default_rng(5)
    normal = draw.multivariate_normal(np.zeros(4), COVARIANCE, 200_000)
    fat = normal * np.sqrt(3.0 / draw.chisquare(5.0, (200_000, 1)))
    loss = 2.0 * math.sqrt(float(LONG.weights @ COVARIANCE @ LONG.weights))
    made = reverse_stress(LONG, COVARIANCE, loss, degrees_of_freedom=5.0)
    assert float(np.mean(normal @ LONG.weights <= -loss)) == pytest.approx(made.gaussian_probability, abs=0.0013)
    assert float(np.mean(fat @ LONG.weights <= -loss)) == pytest.approx(made.student_t_probability, abs=0.0013)


@PROPERTY
@given(WEIGHTS, st.floats(0.001, 0.1))
def test_factors_move_by_the_closed_form_and_carry_the_positions(weights: list[float], loss: float) -> None:
    w = np.array(weights)
    exposure = EXPOSURES.T @ w
    assume(float(exposure @ exposure) > 0.01)
    factors = -loss * (FACTOR_COVARIANCE @ exposure) / float(exposure @ FACTOR_COVARIANCE @ exposure)
    assume(float((EXPOSURES @ factors).min()) > -1.0)
    made = reverse_factor_stress(Positions(SYMBOLS, w), MODEL, loss)
    assert made.factor_shocks is not None
    assert made.factors == FACTORS
    np.testing.assert_allclose(made.factor_shocks, factors, rtol=1e-9)
    np.testing.assert_allclose(made.result.shocks, EXPOSURES @ made.factor_shocks, rtol=1e-12, atol=1e-15)
    assert float(made.result.position_pnl.sum()) == pytest.approx(-loss, abs=1e-9)
    distance = math.sqrt(float(factors @ np.linalg.solve(FACTOR_COVARIANCE, factors)))
    assert made.mahalanobis_distance == pytest.approx(distance, rel=1e-8)


def test_factor_space_with_a_factor_a_position_is_position_space() -> None:
    own = FactorModel(SYMBOLS, np.eye(4), COVARIANCE)
    one = reverse_factor_stress(LONG, own, 0.1, degrees_of_freedom=5.0)
    other = reverse_stress(LONG, COVARIANCE, 0.1, degrees_of_freedom=5.0)
    np.testing.assert_allclose(one.result.shocks, other.result.shocks, rtol=1e-12)
    assert one.gaussian_probability == pytest.approx(other.gaussian_probability, rel=1e-9)
    assert one.student_t_probability == pytest.approx(other.student_t_probability, rel=1e-9)


def test_a_singular_covariance_is_refused_unless_it_sees_the_whole_portfolio() -> None:
    returns = drawn_returns(3, 4, seed=93)
    singular = np.cov(returns, rowvar=False)
    message = r"^covariance: singular \(rank 2 of 4\), and it sees no variance in a part .* Ledoit-Wolf's, or more sess"
    with pytest.raises(SingularCovarianceError, match=message):
        reverse_stress(LONG, singular, 0.05)
    seen = Positions(SYMBOLS, (singular @ LONG.weights) / np.abs(singular @ LONG.weights).max())
    made = reverse_stress(seen, singular, 0.05)
    shocks = made.result.shocks
    assert made.result.total == pytest.approx(-0.05, abs=1e-9)
    mahalanobis = math.sqrt(float(shocks @ np.linalg.pinv(singular, rcond=1e-10, hermitian=True) @ shocks))
    assert made.mahalanobis_distance == pytest.approx(mahalanobis, rel=1e-6)


def test_two_instruments_that_move_as_one_can_be_held_as_one() -> None:
    twins = np.array([[0.04, 0.04], [0.04, 0.04]])
    made = reverse_stress(Positions(("A", "B"), np.array([0.5, 0.5])), twins, 0.1)
    np.testing.assert_allclose(made.result.shocks, [-0.1, -0.1], rtol=1e-12)
    with pytest.raises(SingularCovarianceError, match=r"rank 1 of 2"):
        reverse_stress(Positions(("A", "B"), np.array([0.6, 0.4])), twins, 0.1)


@pytest.mark.parametrize(
    ("weights", "covariance"),
    [
        ([0.0, 0.0], [[0.04, 0.0], [0.0, 0.01]]),
        ([0.5, 0.5], [[0.0, 0.0], [0.0, 0.0]]),
        ([0.5, -0.5], [[0.04, 0.04], [0.04, 0.04]]),
        ([0.0, 1.0], [[0.04, 0.0], [0.0, 0.0]]),
    ],
    ids=["nothing held", "nothing moves", "perfectly hedged", "cash-like"],
)
def test_a_portfolio_without_variance_is_refused(weights: list[float], covariance: list[list[float]]) -> None:
    with pytest.raises(NoVarianceError, match=r"^covariance: the portfolio's variance is 0, so no move is likely"):
        reverse_stress(Positions(("A", "B"), np.array(weights)), np.array(covariance), 0.1)


def test_a_portfolio_without_exposure_has_no_factor_move() -> None:
    neutral = Positions(("A", "B"), np.array([0.5, -0.5]))
    with pytest.raises(NoVarianceError, match=r"^factor covariance: the portfolio's variance is 0"):
        reverse_factor_stress(neutral, FactorModel(("m",), np.ones((2, 1)), np.array([[1e-4]])), 0.1)


def test_a_move_that_takes_a_price_below_nought_is_refused() -> None:
    message = r"^shocks: B would fall by more than 100 % in scenario reverse; ask for smaller shocks$"
    with pytest.raises(MeasureInputError, match=message):
        reverse_stress(Positions(("A", "B"), np.array([0.5, 0.5])), np.diag([0.01, 0.09]), 0.6)


def test_nothing_given_is_modified() -> None:
    covariance, weights, exposures = COVARIANCE.copy(), LONG.weights.copy(), EXPOSURES.copy()
    reverse_stress(LONG, COVARIANCE, 0.1, 5.0)
    reverse_factor_stress(LONG, MODEL, 0.1, 5.0)
    assert same(COVARIANCE, covariance)
    assert same(LONG.weights, weights)
    assert same(MODEL.exposures, exposures)


@pytest.mark.parametrize("loss", [0.0, -0.1, math.nan, math.inf])
def test_a_loss_that_is_none_is_refused(loss: float) -> None:
    with pytest.raises(MeasureInputError, match=r"^loss=.*: give the fraction to lose, above 0, such as 0.2 for 20 %$"):
        reverse_stress(LONG, COVARIANCE, loss)


@pytest.mark.parametrize("degrees", [2.0, 1.0, -3.0, math.nan, math.inf])
def test_degrees_of_freedom_without_a_variance_are_refused(degrees: float) -> None:
    with pytest.raises(MeasureInputError, match=r"^degrees_of_freedom=.*: give a finite number above 2, where"):
        reverse_stress(LONG, COVARIANCE, 0.1, degrees)


def test_a_model_that_does_not_fit_is_refused() -> None:
    with pytest.raises(MeasureInputError, match=r"^exposures: shape \(3, 2\); give \(4, 2\), with at least one factor"):
        reverse_factor_stress(LONG, FactorModel(FACTORS, EXPOSURES[:3], FACTOR_COVARIANCE), 0.1)
    with pytest.raises(MeasureInputError, match=r"^exposures: shape \(4, 0\); give \(4, 0\), with at least one factor"):
        reverse_factor_stress(LONG, FactorModel((), EXPOSURES[:, :0], np.zeros((0, 0))), 0.1)
    with pytest.raises(MeasureInputError, match=r"^exposures: NaN or infinite; estimate them for every position first"):
        reverse_factor_stress(LONG, FactorModel(FACTORS, EXPOSURES * np.nan, FACTOR_COVARIANCE), 0.1)
    with pytest.raises(MeasureInputError, match=r"^factor covariance: shape \(1, 1\); give \(2, 2\)"):
        reverse_factor_stress(LONG, FactorModel(FACTORS, EXPOSURES, FACTOR_COVARIANCE[:1, :1]), 0.1)
    with pytest.raises(MeasureInputError, match=r"^covariance: shape \(2, 2\); give \(4, 4\)"):
        reverse_stress(LONG, FACTOR_COVARIANCE, 0.1)
