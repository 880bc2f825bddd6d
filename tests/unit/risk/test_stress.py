"""Positions under shocks: sums, currency amounts, and the same bits from what is stored."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.stress import Positions, replay, require_covariance, stress_result
from tests.unit.risk.series import PROPERTY, same

WEIGHT = st.floats(-3.0, 3.0)
SHOCK = st.floats(-1.0, 5.0)
ROWS = st.lists(st.tuples(WEIGHT, SHOCK), min_size=1, max_size=40)


def positions_of(weights: list[float], value: float | None = None) -> Positions:
    return Positions(tuple(f"S{row}" for row in range(len(weights))), np.array(weights), value)


@PROPERTY
@given(ROWS)
def test_the_total_is_the_exact_sum_of_the_positions_rounded_once(rows: list[tuple[float, float]]) -> None:
    values, shocks = np.array(rows).T
    made = replay(shocks, values)
    assert made.position.tolist() == [weight * shock for weight, shock in rows]
    assert made.total == float(sum(Fraction(weight * shock) for weight, shock in rows))


@PROPERTY
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_positions_does_not_matter_to_the_last_bit(
    rows: list[tuple[float, float]], random: object
) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (replay(np.array(r)[:, 1], np.array(r)[:, 0]) for r in (rows, shuffled))
    assert one.total == other.total


@PROPERTY
@given(ROWS, st.floats(0.01, 1e12))
def test_a_result_is_reproduced_from_stored_shocks_to_the_last_bit(
    rows: list[tuple[float, float]], value: float
) -> None:
    weights, shocks = np.array(rows).T.copy()
    result = stress_result("as stored", "hypothetical", positions_of(weights.tolist(), value), shocks)
    stored = json.loads(json.dumps({"shocks": result.shocks.tolist(), "weights": result.positions.weights.tolist()}))
    again = replay(np.array(stored["shocks"]), np.array(stored["weights"]))
    assert same(again.position, result.position_pnl)
    assert again.total == result.total
    amounts = result.amounts
    assert amounts is not None
    again = replay(np.array(stored["shocks"]), np.array(stored["weights"]) * value)
    assert same(again.position, amounts.position)
    assert again.total == amounts.total


def test_amounts_are_fractions_times_the_value() -> None:
    """Worked out by hand: 60 % falls by 50 %, a short of 20 % rises by 10 %, and 60 % is cash."""
    result = stress_result("by hand", "hypothetical", positions_of([0.6, -0.2], 2_000_000.0), np.array([-0.5, 0.1]))
    np.testing.assert_allclose(result.position_pnl, [-0.3, -0.02], rtol=1e-15)
    assert result.total == pytest.approx(-0.32, rel=1e-15)
    assert result.amounts is not None
    np.testing.assert_allclose(result.amounts.position, [-600_000.0, -40_000.0], rtol=1e-15)
    assert result.amounts.total == pytest.approx(-640_000.0, rel=1e-15)
    assert result.worst is None
    assert result.proxied == ()


def test_without_a_value_there_are_no_amounts() -> None:
    assert stress_result("x", "hypothetical", positions_of([1.0]), np.array([-0.1])).amounts is None


def test_a_position_may_lose_everything_and_no_more() -> None:
    assert replay(np.array([-1.0]), np.array([0.4])).total == -0.4
    message = r"^shocks: S1 would fall by more than 100 % in scenario crash; ask for smaller shocks$"
    with pytest.raises(MeasureInputError, match=message):
        stress_result("crash", "hypothetical", positions_of([0.5, 0.5]), np.array([0.0, np.nextafter(-1.0, -2.0)]))


@pytest.mark.parametrize(
    ("shocks", "values", "message"),
    [
        ([0.1, 0.2], [1.0], r"^shocks: shape \(2,\) for values \(1,\); give one a position$"),
        ([[0.1]], [[1.0]], r"^shocks: shape \(1, 1\) for values \(1, 1\); give one a position$"),
        ([math.nan], [1.0], r"^shocks: NaN or infinite; give fractions such as -0.2 for a fall by 20 %$"),
        ([math.inf], [1.0], r"^shocks: NaN or infinite; "),
        ([-1.01], [1.0], r"^shocks: below -1, and no price falls by more than 100 %; give fractions, not percent$"),
        ([0.1], [math.nan], r"^values: NaN or infinite; give what each position is worth$"),
    ],
)
def test_shocks_that_are_none_are_refused(shocks: list[float], values: list[float], message: str) -> None:
    with pytest.raises(MeasureInputError, match=message):
        replay(np.array(shocks), np.array(values))


@pytest.mark.parametrize(
    ("symbols", "weights", "value", "message"),
    [
        ((), [], None, r"^weights: shape \(0,\) for 0 symbols; give one a symbol, at least one$"),
        (("A",), [0.5, 0.5], None, r"^weights: shape \(2,\) for 1 symbols"),
        (("A", "A"), [0.5, 0.5], None, r"^symbols: one is given twice; add up its positions first$"),
        (("A",), [math.nan], None, r"^weights: NaN or infinite; give the fraction of the portfolio in each position$"),
        (("A",), [1.0], 0.0, r"^value=0.0: give what the portfolio is worth, above 0, or leave it out$"),
        (("A",), [1.0], math.nan, r"^value=nan: give what"),
    ],
)
def test_positions_that_are_none_are_refused(
    symbols: tuple[str, ...], weights: list[float], value: float | None, message: str
) -> None:
    with pytest.raises(MeasureInputError, match=message):
        Positions(symbols, np.array(weights), value)


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        ([[1.0]], r"^covariance: shape \(1, 1\); give \(2, 2\), in the order of the rest$"),
        ([[1.0, 0.0]], r"^covariance: shape \(1, 2\); give a square matrix$"),
        ([[1.0, math.nan], [math.nan, 1.0]], r"^covariance: NaN or infinite; estimate it from complete returns$"),
        ([[1.0, 0.5], [0.0, 1.0]], r"^covariance: not symmetric; give one number for each pair$"),
        ([[1.0, 2.0], [2.0, 1.0]], r"^covariance: not positive semidefinite \(smallest eigenvalue -1\); repair it"),
    ],
)
def test_a_matrix_that_is_no_covariance_is_refused(covariance: list[list[float]], message: str) -> None:
    with pytest.raises(MeasureInputError, match=message):
        require_covariance(np.array(covariance), 2)


def test_a_covariance_that_misses_semidefiniteness_by_rounding_passes() -> None:
    returns = np.random.default_rng(3).normal(size=(4, 9))
    eigenvalues = require_covariance(np.cov(returns, rowvar=False), 9)
    assert eigenvalues[0] == pytest.approx(0.0, abs=1e-14)
    assert (np.diff(eigenvalues) >= 0.0).all()
