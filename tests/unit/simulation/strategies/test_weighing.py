"""Weights: closed forms, what each strategy is optimal in, and what is taken where there is no solution."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from pipeline.base.types import FloatArray
from pipeline.risk.measures.tail import historical_es
from pipeline.simulation.strategies.catalogue import STRATEGIES
from pipeline.simulation.strategies.errors import StrategyInputError
from pipeline.simulation.strategies.spec import StrategySpec
from pipeline.simulation.strategies.weighing import in_millionths, weigh

SPEC = StrategySpec()


def made_up(stocks: int, sessions: int = 300, seed: int = 5) -> FloatArray:
    """Returns with a factor in common, of different volatilities and means."""
    rng = np.random.default_rng(seed)
    market = rng.standard_t(5, size=(sessions, 1)) * 0.006
    own = rng.standard_t(5, size=(sessions, stocks)) * np.linspace(0.005, 0.02, stocks)
    return market + own + np.linspace(0.0002, 0.0015, stocks)


RETURNS = made_up(6)
COVARIANCE = ledoit_wolf(RETURNS)[0]


def variance(weights: FloatArray) -> float:
    return float(weights @ COVARIANCE @ weights)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("stocks", [1, 2, 6, 20])
def test_weights_are_long_and_sum_to_one_and_are_the_same_again(name: str, stocks: int) -> None:
    returns = made_up(stocks)
    found = weigh(name, returns, SPEC)
    assert (found.method, found.reason) == (name, "")
    assert found.weights.shape == (stocks,)
    assert found.weights.min() >= 0.0
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_array_equal(weigh(name, returns.copy(), SPEC).weights, found.weights)


@pytest.mark.parametrize("stocks", [2, 3, 7])
def test_equal_weight_by_its_closed_form(stocks: int) -> None:
    np.testing.assert_allclose(weigh("equal_weight", made_up(stocks), SPEC).weights, 1.0 / stocks, rtol=1e-15)


def test_inverse_volatility_by_its_closed_form() -> None:
    inverse = 1.0 / RETURNS.std(axis=0, ddof=1)
    np.testing.assert_allclose(weigh("inverse_volatility", RETURNS, SPEC).weights, inverse / inverse.sum(), rtol=1e-12)


def test_min_variance_of_two_stocks_by_its_closed_form() -> None:
    returns = made_up(2)
    solved = np.linalg.solve(ledoit_wolf(returns)[0], np.ones(2))
    assert (solved > 0.0).all()
    np.testing.assert_allclose(weigh("min_variance", returns, SPEC).weights, solved / solved.sum(), atol=5e-6)


def test_hrp_of_two_stocks_is_inverse_variance() -> None:
    returns = made_up(2)
    inverse = 1.0 / np.diag(ledoit_wolf(returns)[0])
    np.testing.assert_allclose(weigh("hrp", returns, SPEC).weights, inverse / inverse.sum(), atol=2e-6)


def test_each_is_best_in_its_own_measure() -> None:
    weights = {name: weigh(name, RETURNS, SPEC).weights for name in STRATEGIES}
    shortfalls = {name: float(historical_es(np.sort(RETURNS @ w), 0.95)) for name, w in weights.items()}
    ratios = {name: float(RETURNS.mean(axis=0) @ w) / variance(w) ** 0.5 for name, w in weights.items()}
    variances = {name: variance(w) for name, w in weights.items()}
    assert min(variances, key=variances.__getitem__) == "min_variance"
    assert min(shortfalls, key=shortfalls.__getitem__) == "min_cvar"
    assert max(ratios, key=ratios.__getitem__) == "max_sharpe"


def test_risk_parity_gives_every_stock_the_same_part_of_the_variance() -> None:
    weights = weigh("risk_parity", RETURNS, SPEC).weights
    parts = weights * (COVARIANCE @ weights) / variance(weights)
    np.testing.assert_allclose(parts, 1.0 / 6.0, rtol=1e-4)


@pytest.mark.parametrize("name", STRATEGIES)
def test_stocks_that_move_alike_are_no_obstacle(name: str) -> None:
    returns = np.column_stack([RETURNS, RETURNS[:, 2]])
    assert np.linalg.matrix_rank(returns) < 7
    found = weigh(name, returns, SPEC)
    assert found.method == name
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-12)


def test_without_a_positive_mean_there_is_no_highest_ratio() -> None:
    falling = RETURNS - RETURNS.mean(axis=0) - 1e-4
    found = weigh("max_sharpe", falling, SPEC)
    assert (found.method, found.reason) == ("inverse_volatility", "no_positive_mean")
    np.testing.assert_array_equal(found.weights, weigh("inverse_volatility", falling, SPEC).weights)


@pytest.mark.parametrize("name", STRATEGIES)
def test_where_nothing_moves_all_weights_are_equal_and_it_is_said(name: str) -> None:
    found = weigh(name, np.zeros((300, 4)), SPEC)
    assert found.method == "equal_weight"
    assert bool(found.reason) == (name != "equal_weight")
    np.testing.assert_array_equal(found.weights, 0.25)


def test_rounded_weights_sum_to_one_and_hold_nothing_tiny() -> None:
    rounded = in_millionths(np.array([0.33333333, 3e-7, -2e-8, 0.66666637]))
    assert rounded.tolist() == [0.333333, 0.0, 0.0, 0.666667]


@pytest.mark.parametrize(
    ("name", "returns", "message"),
    [
        ("best", RETURNS, "strategy='best' is unknown; use one of equal_weight"),
        ("hrp", RETURNS[:, 0], "shape .*; give a row a session"),
        ("hrp", RETURNS[:, :0], "one of each or more"),
        ("hrp", np.where(RETURNS > 0.02, np.nan, RETURNS), "NaN or infinite; drop those sessions"),
    ],
)
def test_what_cannot_be_weighed_is_refused(name: str, returns: FloatArray, message: str) -> None:
    with pytest.raises(StrategyInputError, match=message):
        weigh(name, returns, SPEC)


@pytest.mark.parametrize(
    "changed",
    [{"window_sessions": 20}, {"cvar_confidence": 1.0}, {"cost_basis_points": -1.0}],
    ids=lambda c: next(iter(c)),
)
def test_a_spec_out_of_bounds_is_refused(changed: dict[str, float]) -> None:
    with pytest.raises(StrategyInputError, match=f"{next(iter(changed))}=.*: give a"):
        StrategySpec(**changed)  # type: ignore[arg-type]
