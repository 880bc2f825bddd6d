"""Paths that look up how they do between two trades are those that are walked."""

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.simulation.models.outcomes import Outcomes, empty_outcomes
from pipeline.simulation.models.plan import Plan, plan_of
from pipeline.simulation.models.stationary_bootstrap import FittedBootstrap
from pipeline.simulation.models.stretches import LONGEST_SESSIONS, longest_stretch
from tests.bundled import stock_returns

HORIZON, PATHS = 252, 300
FAN_STEPS = np.array([1, 7, 21, 30, 100, 251, 252])
LONG, SHORT = np.array([0.5, 0.3, 0.1, 0.1]), np.array([1.2, -0.5, 0.2, 0.1])


def paths_of(history: FloatArray, plan: Plan, mean_block: float, *, is_walked: bool) -> Outcomes:
    """With what positions earn kept, nothing is looked up."""
    outcomes = empty_outcomes(PATHS, len(FAN_STEPS), history.shape[1] if is_walked else 0)
    FittedBootstrap.of(history, mean_block).walk(outcomes, plan, FAN_STEPS, (3, 5), 11)
    return outcomes


@pytest.mark.parametrize("sessions", [9, 60, 1_260])
@pytest.mark.parametrize("mean_block", [1.0, 12.0, 400.0])
@pytest.mark.parametrize("rebalancing", ["monthly", "quarterly"])
def test_stretches_that_are_looked_up_are_those_that_are_walked(
    sessions: int, mean_block: float, rebalancing: str
) -> None:
    plan = plan_of(LONG, HORIZON, rebalancing)  # type: ignore[arg-type]
    history = 2.0 * stock_returns()[-sessions:, :4]
    assert longest_stretch(plan) > 0
    found, walked = (paths_of(history, plan, mean_block, is_walked=is_walked) for is_walked in (False, True))
    np.testing.assert_allclose(found.terminal_wealth, walked.terminal_wealth, rtol=1e-11)
    np.testing.assert_allclose(found.max_drawdown, walked.max_drawdown, atol=1e-12)
    np.testing.assert_allclose(found.fan_wealth, walked.fan_wealth, rtol=1e-11)


def test_a_portfolio_that_can_be_worth_nothing_is_walked() -> None:
    """Session by session: the short position trebles, and comes down again after the portfolio is closed."""
    history = np.zeros((40, 2))
    history[20, 1], history[21, 1] = 2.0, -0.9
    plan = plan_of(np.array([2.0, -1.0]), HORIZON, "monthly")
    found, walked = (paths_of(history, plan, 30.0, is_walked=is_walked) for is_walked in (False, True))
    np.testing.assert_array_equal(found.max_drawdown, walked.max_drawdown)
    np.testing.assert_array_equal(found.terminal_wealth, walked.terminal_wealth)
    assert found.max_drawdown.min() == -1.0


@pytest.mark.parametrize(
    ("options", "longest"),
    [
        ({"rebalancing": "monthly"}, 21),
        ({"rebalancing": "quarterly"}, LONGEST_SESSIONS),
        ({"rebalancing": "buy_and_hold"}, 0),
        ({"rebalancing": "monthly", "cost_bps": 1.0}, 0),
        ({"rebalancing": "monthly", "targets": LONG[::-1]}, 0),
        ({"rebalancing": "drift_band", "drift_band": 0.1}, 0),
    ],
)
def test_only_what_returns_to_its_targets_for_nothing_has_stretches(options: dict[str, object], longest: int) -> None:
    assert longest_stretch(plan_of(LONG, HORIZON, **options)) == longest  # type: ignore[arg-type]


def test_short_positions_have_no_stretches() -> None:
    assert longest_stretch(plan_of(SHORT, HORIZON, "monthly")) == 0
