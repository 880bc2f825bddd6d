"""Scenarios: what the weights of one session would have earned over the window that ends there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.base.types import REBALANCING_POLICIES, Rebalancing
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import HeldPortfolio, Holdings, hold, scenario_returns, scenario_windows
from tests.unit.risk.series import drawn_close, holdings_under, same, weekdays

WINDOW = 21
SESSIONS = weekdays("2019-02-11", 200)
CLOSE = drawn_close(200, 3, seed=12)
EVERY_POLICY = pytest.mark.parametrize("policy", REBALANCING_POLICIES)


def holdings_of(policy: Rebalancing) -> Holdings:
    weights = np.array([0.8, 0.5, -0.3])
    return holdings_under(weights / CLOSE[0] if policy == "buy_and_hold" else weights, policy)


def held_under(policy: Rebalancing) -> HeldPortfolio:
    return hold(CLOSE, SESSIONS, holdings_of(policy))


def replayed(held: HeldPortfolio, row: int) -> list[float]:
    """The weights of a session × the returns of each of the last sessions, one by one."""
    weights = held.weights[row - 1].tolist()
    return [
        math.fsum(weight * earned for weight, earned in zip(weights, held.asset_returns[past].tolist(), strict=True))
        for past in range(row - WINDOW, row)
    ]


@EVERY_POLICY
def test_windows_are_the_weights_of_their_last_session_replayed(policy: Rebalancing) -> None:
    held = held_under(policy)
    windows = scenario_windows(held, WINDOW)
    assert windows.shape == (199 - WINDOW + 1, WINDOW)
    expected = [replayed(held, row) for row in range(WINDOW, 200)]
    np.testing.assert_allclose(windows, expected, rtol=1e-11, atol=1e-15)


@EVERY_POLICY
def test_the_scenarios_of_one_session_are_its_window_bit_by_bit(policy: Rebalancing) -> None:
    held = held_under(policy)
    windows = scenario_windows(held, WINDOW)
    for row in range(WINDOW, 200):
        assert same(scenario_returns(held, row, WINDOW), windows[row - WINDOW]), row


@EVERY_POLICY
def test_windows_do_not_depend_on_how_many_are_made_together(policy: Rebalancing) -> None:
    held = held_under(policy)
    windows = scenario_windows(held, WINDOW)
    for first, last in ((0, WINDOW), (5, 60), (100, 199)):
        part = scenario_windows(held.part(slice(first, last)), WINDOW)
        assert same(part, windows[first : last - WINDOW + 1])


def test_the_newest_scenario_is_what_today_s_weights_earned_today() -> None:
    held = held_under("buy_and_hold")
    today = float(held.weights[-1] @ held.asset_returns[-1])
    assert scenario_returns(held, 199, WINDOW)[-1] == pytest.approx(today, rel=1e-12)


def test_weights_that_never_drift_give_the_returns_themselves() -> None:
    """Daily rebalancing: past and current holdings are the same."""
    held = held_under("daily")
    np.testing.assert_allclose(scenario_returns(held, 199, 150), held.returns[-150:], rtol=1e-9, atol=1e-14)


def test_weights_that_drift_give_other_scenarios_than_returns() -> None:
    held = held_under("buy_and_hold")
    assert not np.isclose(scenario_returns(held, 199, 150), held.returns[-150:], rtol=1e-3).all()


def test_a_single_position_has_its_own_returns_as_scenarios() -> None:
    held = hold(CLOSE[:, :1], SESSIONS, Holdings(np.array([250.0]), "buy_and_hold"))
    assert same(scenario_returns(held, 199, 199), np.ascontiguousarray(held.asset_returns[:, 0]))


def test_scenarios_do_not_change_when_later_sessions_are_added() -> None:
    """Not on the last session of a month either: that the month has ended, only the next session tells."""
    for policy in REBALANCING_POLICIES:
        holdings = holdings_of(policy)
        whole = hold(CLOSE, SESSIONS, holdings)
        for row in range(WINDOW, 120):
            part = hold(CLOSE[: row + 1], SESSIONS[: row + 1], holdings)
            assert same(scenario_returns(part, row, WINDOW), scenario_returns(whole, row, WINDOW)), SESSIONS[row]


@pytest.mark.parametrize("row", [0, 1, WINDOW - 1])
def test_a_session_without_enough_returns_before_it_is_refused(row: int) -> None:
    message = rf"^returns: {row} before that session, and the window needs 21; choose a later session or a shorter"
    with pytest.raises(MeasureInputError, match=message):
        scenario_returns(held_under("daily"), row, WINDOW)
