"""Positions simulated together: what is traded, paid and earned along a path, against a plain walk in Python."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.simulation.models import MODELS, SimulationInputError
from pipeline.simulation.models.lanes import keep_paths, move, new_book, open_book
from pipeline.simulation.models.outcomes import Outcomes, empty_outcomes
from pipeline.simulation.models.philox import LANES
from pipeline.simulation.models.plan import CashFlow, Plan, plan_of
from pipeline.simulation.models.stationary_bootstrap import FittedBootstrap
from pipeline.simulation.run import (
    Probability,
    SimulationSpec,
    begin,
    probability_of_wealth,
    simulate,
)
from tests.bundled import stock_returns

RETURNS = stock_returns()[-1_260:, :5]
WEIGHTS = np.array([0.4, 0.3, 0.2, 0.2, -0.1])
SPEC = SimulationSpec(paths=600, horizon_sessions=70, rebalancing="monthly", contributions=True)
RICH = replace(SPEC, cost_bps=15.0, monthly_flow=-0.01, flows=(CashFlow(5, 0.4), CashFlow(42, -0.2)))
HORIZON = 70


def plain_walk(growth: FloatArray, plan: Plan) -> tuple[float, float, float, float, list[float]]:
    """Wealth, gain, deepest fall of a share, cost and what each position earned; growth is (horizon, n)."""
    value, earned = plan.weights.copy(), np.zeros(len(plan.weights))
    shares, share_price, peak, deepest, paid, cost = 1.0, 1.0, 1.0, 0.0, 0.0, 0.0
    for step, factors in enumerate(growth):
        earned += value * (factors - 1.0)
        value = value * factors
        wealth = value.sum()
        share_price = wealth / shares if shares > 0 else 0.0
        if shares > 0:
            peak = max(peak, share_price)
            deepest = min(deepest, share_price / peak - 1.0)
        flow = max(plan.flows[step], -wealth)
        off = plan.band < np.inf and np.abs(value - plan.targets * wealth).max() > plan.band * wealth
        if not (plan.rebalances[step] or plan.flows[step] != 0.0 or off):
            continue
        after = wealth + flow
        restored = plan.rebalances[step] or (off and plan.flows[step] == 0.0) or wealth <= 0.0
        new = plan.targets * after if restored else value * (after / wealth)
        fee = min(plan.cost * np.abs(new - value).sum(), after)
        shares = shares * after / wealth if wealth > 0.0 else 0.0
        value = new * (1.0 - fee / after) if after > 0.0 else new * 0.0
        paid, cost = paid + flow, cost + fee
    return value.sum(), value.sum() - 1.0 - paid, deepest, cost, earned.tolist()


def walked(growth: FloatArray, plan: Plan) -> Outcomes:
    """The same by lanes; growth is (paths, horizon, n)."""
    outcomes = empty_outcomes(len(growth), 0, growth.shape[2])
    book, moved = new_book(growth.shape[2], growth.shape[2]), np.zeros((growth.shape[2], LANES))
    open_book(book, plan)
    for step in range(growth.shape[1]):
        moved[:, : len(growth)] = growth[:, step].T - 1.0
        move(book, plan, moved, step)
    keep_paths(book, outcomes, 0)
    return outcomes


PLANS = {
    "held": {},
    "monthly": {"rebalancing": "monthly"},
    "daily, at a cost": {"rebalancing": "daily", "cost_bps": 25.0},
    "other targets": {"rebalancing": "monthly", "targets": np.array([0.2, 0.2, 0.2, 0.2, 0.2]), "cost_bps": 10.0},
    "paid in": {"flows": [CashFlow(10, 0.5), CashFlow(11, 0.1), CashFlow(70, 1.0)], "cost_bps": 10.0},
    "taken out": {"rebalancing": "monthly", "flows": [CashFlow(k, -0.08) for k in range(5, 71, 5)], "cost_bps": 10.0},
    "used up and begun again": {"flows": [CashFlow(20, -9.0), CashFlow(40, 0.5)], "cost_bps": 5.0},
    "band": {"rebalancing": "drift_band", "drift_band": 0.02, "cost_bps": 10.0},
    "band and payments": {
        "rebalancing": "drift_band",
        "drift_band": 0.02,
        "flows": [CashFlow(k, 0.1) for k in (9, 30)],
    },
}


@pytest.mark.parametrize("name", PLANS)
def test_lanes_are_the_plain_walk(name: str) -> None:
    plan = plan_of(WEIGHTS, HORIZON, **PLANS[name])
    growth = 1.0 + 1.5 * RETURNS[: 40 * HORIZON // 4].reshape(-1, HORIZON, 5)[:10]
    found = walked(growth, plan)
    for row, path in enumerate(growth):
        wealth, gain, deepest, cost, earned = plain_walk(path, plan)
        assert found.terminal_wealth[row] == pytest.approx(wealth, rel=1e-11, abs=1e-12)
        assert found.gain[row] == pytest.approx(gain, abs=1e-11)
        assert found.max_drawdown[row] == pytest.approx(deepest, abs=1e-11)
        assert found.cost[row] == pytest.approx(cost, abs=1e-12)
        np.testing.assert_allclose(found.position_gain[row], earned, atol=1e-11)


def test_a_portfolio_that_is_worth_nothing_is_closed() -> None:
    plan = plan_of(np.array([2.0, -1.0]), 4, "buy_and_hold")
    growth = np.ones((1, 4, 2))
    growth[0, 1] = 1.0, 3.0  # the short position trebles
    growth[0, 2] = 9.0, 1.0
    found = walked(growth, plan)
    assert (found.terminal_wealth[0], found.gain[0], found.max_drawdown[0]) == (0.0, -1.0, -1.0)


def test_taking_everything_out_is_no_fall() -> None:
    plan = plan_of(np.ones(1), 5, flows=[CashFlow(2, -5.0)])
    growth = np.full((1, 5, 1), 1.1)
    found = walked(growth, plan)
    assert found.terminal_wealth[0] == 0.0
    assert found.max_drawdown[0] == 0.0
    assert found.gain[0] == pytest.approx(0.21)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("spec", [SPEC, RICH], ids=["plain", "rich"])
def test_parts_of_positions_and_costs_are_the_whole(model: str, spec: SimulationSpec) -> None:
    found = simulate(RETURNS, replace(spec, model=model), 3, WEIGHTS)
    assert found.contributions is not None
    parts = [*found.contributions.positions, found.contributions.costs]
    assert sum(part.gain_mean for part in parts) == pytest.approx(found.return_mean, abs=1e-12)
    assert sum(part.es_975 for part in parts) == pytest.approx(found.es_975, abs=1e-12)
    assert all(part.es_975_error > 0.0 for part in found.contributions.positions)
    assert found.cost_mean == pytest.approx(-found.contributions.costs.gain_mean, rel=1e-12)
    paid = sum(flow.amount for flow in spec.all_flows)
    assert found.wealth_mean == pytest.approx(1.0 + found.return_mean + paid, abs=1e-12)
    assert (found.cost_mean > 0.0) == (spec.cost_bps > 0.0)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["threads", "chunks", "parts"])
def test_no_division_of_the_work_changes_a_bit(model: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(RICH, model=model)
    expected = simulate(RETURNS, spec, 3, WEIGHTS)
    if kind == "chunks":
        monkeypatch.setattr("pipeline.simulation.run.begun.CHUNK_PATHS", 41)
    begun = begin(RETURNS, replace(spec, threads=3 if kind == "threads" else 1), 3, WEIGHTS)
    outcomes = begun.empty_outcomes()
    for first, end in ((317, 600), (0, 317)) if kind == "parts" else ((0, 600),):
        begun.walk(outcomes.part(slice(first, end)), first)
    assert begun.describe(outcomes) == expected


@pytest.mark.parametrize("model", MODELS)
def test_contributions_and_costs_of_nothing_change_nothing(model: str) -> None:
    kept = simulate(RETURNS, replace(SPEC, model=model), 3, WEIGHTS)
    bare = simulate(RETURNS, replace(SPEC, model=model, contributions=False), 3, WEIGHTS)
    assert bare.contributions is None
    assert bare.return_mean == pytest.approx(kept.return_mean, rel=1e-11)
    assert bare.es_975 == pytest.approx(kept.es_975, rel=1e-11)


def test_daily_weights_of_the_bootstrap_are_one_series() -> None:
    fitted, horizon = FittedBootstrap.of(RETURNS, 9.0), 60
    plan = plan_of(WEIGHTS, horizon, "daily")
    short, long = empty_outcomes(50, 0), empty_outcomes(50, 0, 5)
    for outcomes in (short, long):
        fitted.walk(outcomes, plan, np.empty(0, dtype=np.int64), (1, 2), 0)
    np.testing.assert_allclose(short.terminal_wealth, long.terminal_wealth, rtol=1e-12)
    np.testing.assert_allclose(short.max_drawdown, long.max_drawdown, atol=1e-12)


def test_errors_of_parts_are_those_of_repeated_runs() -> None:
    spec = replace(SPEC, model="student_t", paths=2_000, horizon_sessions=21)
    runs = [simulate(RETURNS, replace(spec, seed=seed), 3, WEIGHTS).contributions for seed in range(60)]
    for position in (0, 2):
        values = [run.positions[position] for run in runs if run is not None]
        for name in ("gain_mean", "es_975"):
            observed = np.std([getattr(value, name) for value in values], ddof=1)
            stated = np.mean([getattr(value, f"{name}_error") for value in values])
            assert stated == pytest.approx(observed, rel=0.4), name


def test_steady_withdrawals_use_a_portfolio_up() -> None:
    spec = SimulationSpec(model="gbm", paths=2_000, horizon_sessions=252, monthly_flow=-0.09)
    found = simulate(RETURNS[:, 0], spec, 1)
    assert 0.1 < found.depletion.value < 1.0
    assert found.depletion.error == pytest.approx(np.sqrt(found.depletion.value * (1 - found.depletion.value) / 2_000))
    begun = begin(RETURNS[:, 0], spec, 1)
    outcomes = begun.empty_outcomes()
    begun.walk(outcomes, 0)
    assert probability_of_wealth(outcomes, 0.0) == Probability(1.0, 0.0)
    some = probability_of_wealth(outcomes, 0.1)
    assert some.value == (outcomes.terminal_wealth >= 0.1).mean()
    assert (outcomes.terminal_wealth >= 0.0).all()


def test_the_drawdown_distribution_has_errors() -> None:
    found = simulate(RETURNS, replace(SPEC, paths=4_000), 1, WEIGHTS)
    assert list(found.drawdown.values) == sorted(found.drawdown.values)
    assert found.drawdown.values[0] == found.max_drawdown_05
    assert all(0.0 < error < 0.02 for error in found.drawdown.errors)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"paths": 0}, "paths=0"),
        ({"paths": 10**9}, "paths=1000000000"),
        ({"horizon_sessions": -5}, "horizon_sessions=-5"),
        ({"cost_bps": -1.0}, "cost_bps=-1.0"),
        ({"cost_bps": float("nan")}, "cost_bps=nan"),
        ({"monthly_flow": 11.0}, "monthly_flow=11.0"),
        ({"flows": (CashFlow(71, 0.1),)}, r"flows\[0\]: session 71; give one from 1 to 70"),
        ({"flows": (CashFlow(3, 0.1), CashFlow(3, float("inf")))}, r"flows\[1\]: amount inf"),
        ({"rebalancing": "weekly"}, "rebalancing='weekly'"),
        ({"rebalancing": "drift_band"}, "drift_band"),
        ({"rebalancing": "drift_band", "drift_band": 1.0}, "drift_band=1.0"),
        ({"rebalancing": "monthly", "drift_band": 0.1}, "drift_band"),
    ],
)
def test_unusable_plans_are_refused_by_name(change: dict, said: str) -> None:
    with pytest.raises(SimulationInputError, match=said):
        replace(SPEC, **change)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (np.zeros(5), "weights sum to 0"),
        (np.full(5, np.nan), "weights: none, or NaN"),
        (np.full(4, 0.25), "weights: 4 for 5 columns"),
        (None, "weights: none for 5 positions"),
        (np.full(5, 0.3), "weights sum to 1.5"),
    ],
)
def test_unusable_weights_are_refused(weights: FloatArray | None, said: str) -> None:
    with pytest.raises(SimulationInputError, match=said):
        simulate(RETURNS, SPEC, 1, weights)


def test_one_position_is_one_series() -> None:
    spec = replace(SPEC, contributions=False)
    assert simulate(RETURNS[:, :1], spec, 1, np.ones(1)) == simulate(RETURNS[:, 0], spec, 1)


def test_what_cannot_be_kept_is_refused_before_memory_is_taken() -> None:
    many = np.tile(RETURNS, (1, 80))
    with pytest.raises(SimulationInputError, match="contributions: of 400 positions on 1000000 paths"):
        begin(many, replace(SPEC, paths=1_000_000), 1, np.full(400, 1 / 400))
    with pytest.raises(SimulationInputError, match="at most 12 fan_steps"):
        begin(RETURNS, replace(SPEC, paths=1_000_000, contributions=False, fan_steps=tuple(range(1, 22))), 1, WEIGHTS)
