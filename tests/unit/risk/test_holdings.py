"""Rebalancing policies against a simulation that trades session by session, and holdings that are refused."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest

from pipeline.base.types import REBALANCING_POLICIES, DateArray, FloatArray, Rebalancing
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import HeldPortfolio, Holdings, hold, opening_weights, period_ids
from tests.unit.risk.series import drawn_close, holdings_under, policy_of, same, weekdays

TARGET_POLICIES: tuple[Rebalancing, ...] = ("daily", "monthly", "quarterly")
PORTFOLIOS = {
    "equal": [0.25, 0.25, 0.25, 0.25],
    "uneven": [0.6, 0.3, 0.1, 0.0],
    "with a short": [0.9, 0.4, 0.1, -0.4],
    "levered long and short": [1.5, 0.3, -0.5, -0.3],
}
EVERY_PORTFOLIO = pytest.mark.parametrize("weights", PORTFOLIOS.values(), ids=PORTFOLIOS)


def sessions_with_gaps(count: int) -> DateArray:
    """Weekdays over years, some missing, so that periods end on any day of the week or month."""
    days = weekdays("2003-10-28", count + count // 8)
    kept = np.random.default_rng(5).permutation(len(days))[:count]
    return days[np.sort(kept)]


SESSIONS = sessions_with_gaps(600)
CLOSE = drawn_close(600, 4, seed=6)


def same_period(one: date, other: date, policy: Rebalancing) -> bool:
    if policy == "daily":
        return one == other
    if policy == "monthly":
        return (one.year, one.month) == (other.year, other.month)
    return (one.year, (one.month - 1) // 3) == (other.year, (other.month - 1) // 3)


def traded(
    close: FloatArray, sessions: DateArray, weights: list[float], policy: Rebalancing
) -> tuple[list[float], list[list[float]]]:
    """Returns and closing weights of someone who trades units at the last close of each period, or out of the band."""
    prices, days = close.tolist(), sessions.tolist()
    value = 1_000.0
    units = [value * weight / price for weight, price in zip(weights, prices[0], strict=True)]
    returns, closing_weights = [], []
    calendar, band = policy in TARGET_POLICIES, policy_of(policy).drift_band or math.inf
    for t in range(1, len(days)):
        if calendar and not same_period(days[t - 1], days[t], policy):
            units = [value * weight / price for weight, price in zip(weights, prices[t - 1], strict=True)]
        worth = [unit * price for unit, price in zip(units, prices[t], strict=True)]
        returns.append(math.fsum(worth) / value - 1.0)
        value = math.fsum(worth)
        drifted = [part / value for part in worth]
        is_outside = any(abs(one - target) > band for one, target in zip(drifted, weights, strict=True))
        if is_outside:
            units = [value * weight / price for weight, price in zip(weights, prices[t], strict=True)]
        closing_weights.append(weights if is_outside or policy == "daily" else drifted)
    return returns, closing_weights


def holdings_of(weights: list[float], policy: Rebalancing, close: FloatArray) -> Holdings:
    """The same portfolio at the first close, whatever the policy: units are what those weights buy."""
    amounts = np.array(weights)
    return holdings_under(amounts / close[0] if policy == "buy_and_hold" else amounts, policy)


@EVERY_PORTFOLIO
@pytest.mark.parametrize("policy", REBALANCING_POLICIES)
def test_a_policy_equals_trading_session_by_session(policy: Rebalancing, weights: list[float]) -> None:
    held = hold(CLOSE, SESSIONS, holdings_of(weights, policy, CLOSE))
    returns, closing_weights = traded(CLOSE, SESSIONS, weights, policy)
    np.testing.assert_allclose(held.returns, returns, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(held.weights, closing_weights, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(held.asset_returns, CLOSE[1:] / CLOSE[:-1] - 1.0, rtol=1e-12, atol=1e-15)


def test_policies_earn_different_returns() -> None:
    """The guard of the test above: on these prices no policy can be taken for another."""
    ends = [
        float(np.prod(1.0 + hold(CLOSE, SESSIONS, holdings_of(PORTFOLIOS["equal"], policy, CLOSE)).returns))
        for policy in REBALANCING_POLICIES
    ]
    assert np.diff(sorted(ends)).min() > 1e-4


def test_a_month_begins_from_the_targets_at_the_last_close_of_the_month_before() -> None:
    """Worked out by hand: half each; one doubles in January, both are restored, and it doubles again in February."""
    sessions = np.array(["2021-01-28", "2021-01-29", "2021-02-01"], dtype="datetime64[D]")
    close = np.array([[10.0, 5.0], [20.0, 5.0], [40.0, 5.0]])
    monthly = hold(close, sessions, Holdings(np.array([0.5, 0.5]), "monthly"))
    np.testing.assert_allclose(monthly.returns, [0.5, 0.5], rtol=1e-12)
    np.testing.assert_allclose(monthly.weights, [[2 / 3, 1 / 3], [2 / 3, 1 / 3]], rtol=1e-12)
    quarterly = hold(close, sessions, Holdings(np.array([0.5, 0.5]), "quarterly"))
    np.testing.assert_allclose(quarterly.returns, [0.5, 2 / 3], rtol=1e-12)
    np.testing.assert_allclose(quarterly.weights, [[2 / 3, 1 / 3], [0.8, 0.2]], rtol=1e-12)


@pytest.mark.parametrize(
    ("policy", "starts"),
    [
        ("daily", ["12-29", "12-31", "01-04", "01-29", "02-01", "03-31", "04-01", "06-30", "07-01"]),
        ("monthly", ["12-29", "01-04", "02-01", "03-31", "04-01", "06-30", "07-01"]),
        ("quarterly", ["12-29", "01-04", "04-01", "07-01"]),
    ],
)
def test_periods_begin_with_the_first_session_of_a_calendar_period(policy: Rebalancing, starts: list[str]) -> None:
    days = "2020-12-29 2020-12-31 2021-01-04 2021-01-29 2021-02-01 2021-03-31 2021-04-01 2021-06-30 2021-07-01"
    sessions = np.array(days.split(), dtype="datetime64[D]")
    periods = period_ids(sessions, policy)
    is_start = np.r_[True, periods[1:] != periods[:-1]]
    assert [str(day)[5:] for day in sessions[is_start]] == starts


def test_the_same_month_of_another_year_is_another_period() -> None:
    sessions = np.array(["2020-03-31", "2021-03-01"], dtype="datetime64[D]")
    for policy in ("monthly", "quarterly"):
        assert len(set(period_ids(sessions, policy).tolist())) == 2


@pytest.mark.parametrize("policy", REBALANCING_POLICIES)
def test_a_row_does_not_change_when_later_sessions_are_added(policy: Rebalancing) -> None:
    """Above all not the last row of a month: that the month has ended, only the next session tells."""
    holdings = holdings_of(PORTFOLIOS["with a short"], policy, CLOSE)
    whole = hold(CLOSE, SESSIONS, holdings)
    for stop in range(2, 130):
        part = hold(CLOSE[:stop], SESSIONS[:stop], holdings)
        assert same(part.returns, whole.returns[: stop - 1]), SESSIONS[stop - 1]
        assert same(part.weights, whole.weights[: stop - 1]), SESSIONS[stop - 1]


@pytest.mark.parametrize("policy", [*TARGET_POLICIES, "buy_and_hold"])
def test_a_row_does_not_depend_on_earlier_periods(policy: Rebalancing) -> None:
    holdings = holdings_of(PORTFOLIOS["uneven"], policy, CLOSE)
    whole = hold(CLOSE, SESSIONS, holdings)
    quarters = period_ids(SESSIONS, "quarterly")
    for last_close in np.flatnonzero(quarters[1:] != quarters[:-1]):
        part = hold(CLOSE[last_close:], SESSIONS[last_close:], holdings)
        assert same(part.returns, whole.returns[last_close:])
        assert same(part.weights, whole.weights[last_close:])


@pytest.mark.parametrize("policy", [*TARGET_POLICIES, "drift_band"])
def test_what_the_targets_miss_of_one_is_neither_gain_nor_loss(policy: Rebalancing) -> None:
    """0.3333331 three times is 7e-7 short of 1, which must not be lost again at each rebalancing."""
    still = np.ones((600, 3)) * [7.0, 11.0, 13.0]
    held = hold(still, SESSIONS, holdings_under(np.full(3, 0.3333331), policy))
    assert (held.returns == 0.0).all()
    np.testing.assert_allclose(held.weights, 1 / 3, rtol=1e-12)


@pytest.mark.parametrize("policy", REBALANCING_POLICIES)
def test_closing_weights_sum_to_one(policy: Rebalancing) -> None:
    held = hold(CLOSE, SESSIONS, holdings_of(PORTFOLIOS["levered long and short"], policy, CLOSE))
    np.testing.assert_allclose(held.weights.sum(axis=1), 1.0, rtol=1e-12)


@EVERY_PORTFOLIO
@pytest.mark.parametrize("policy", REBALANCING_POLICIES)
def test_returns_are_earned_with_the_opening_weights(policy: Rebalancing, weights: list[float]) -> None:
    # Targets miss 1 by less than the tolerance.
    shares = np.array(weights)
    amounts = shares / CLOSE.mean(axis=0) if policy == "buy_and_hold" else shares * (1 + 5e-7)
    holdings = holdings_under(amounts, policy)
    held, opening = hold(CLOSE, SESSIONS, holdings), opening_weights(CLOSE, SESSIONS, holdings)
    assert opening.shape == held.asset_returns.shape
    np.testing.assert_allclose(opening.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose((opening * held.asset_returns).sum(axis=1), held.returns, rtol=0, atol=1e-13)


@pytest.mark.parametrize("policy", REBALANCING_POLICIES)
def test_one_session_is_held_without_a_return(policy: Rebalancing) -> None:
    held = hold(CLOSE[:1], SESSIONS[:1], holdings_of(PORTFOLIOS["equal"], policy, CLOSE))
    assert held.returns.shape == (0,)
    assert held.weights.shape == held.asset_returns.shape == (0, 4)


def test_units_are_scaled_without_effect() -> None:
    one = hold(CLOSE, SESSIONS, Holdings(np.array([3.0, 0.0, 2.0, 1.0]), "buy_and_hold"))
    thousand = hold(CLOSE, SESSIONS, Holdings(np.array([3.0, 0.0, 2.0, 1.0]) * 1_000.0, "buy_and_hold"))
    np.testing.assert_allclose(one.returns, thousand.returns, rtol=1e-9, atol=1e-15)


def test_a_part_is_the_same_portfolio_on_fewer_returns() -> None:
    held = hold(CLOSE, SESSIONS, Holdings(np.array(PORTFOLIOS["equal"]), "monthly"))
    part: HeldPortfolio = held.part(slice(10, 50))
    assert same(part.returns, held.returns[10:50])
    assert same(part.weights, held.weights[10:50])
    assert same(part.asset_returns, held.asset_returns[10:50])


@pytest.mark.parametrize(
    ("amounts", "policy", "message"),
    [
        ([], "daily", r"^positions: none given; a portfolio needs at least one$"),
        ([[0.5, 0.5]], "daily", r"^positions: none given; a portfolio needs at least one$"),
        ([0.5, math.nan], "monthly", r"^positions: NaN or infinite amount; give finite numbers$"),
        ([math.inf], "buy_and_hold", r"^positions: NaN or infinite amount; give finite numbers$"),
        ([0.5, 0.4], "daily", r"^target weights sum to 0.9; they must sum to 1$"),
        ([0.5, 0.50001], "monthly", r"^target weights sum to 1.00001; they must sum to 1$"),
        ([50.0, 50.0], "quarterly", r"^target weights sum to 100; they must sum to 1$"),
    ],
)
def test_holdings_that_are_no_portfolio_are_refused(amounts: list[float], policy: Rebalancing, message: str) -> None:
    with pytest.raises(MeasureInputError, match=message):
        Holdings(np.array(amounts), policy)


def test_units_need_not_sum_to_one_and_weights_may_miss_it_by_rounding() -> None:
    assert Holdings(np.array([120.0, 80.0]), "buy_and_hold").amounts.sum() == 200.0
    assert Holdings(np.full(3, 0.3333333), "daily").amounts.sum() < 1.0


@pytest.mark.parametrize("policy", REBALANCING_POLICIES)
@pytest.mark.parametrize("last_price", [3.0, 4.0], ids=["nothing", "less than nothing"])
def test_a_portfolio_that_loses_everything_is_refused(policy: Rebalancing, last_price: float) -> None:
    """Half of what is invested is sold short at 1 and must be bought back at 3 or more."""
    close = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, last_price]])
    with pytest.raises(MeasureInputError, match=r"^portfolio value: .* at its lowest; hold less short, .* above 0"):
        hold(close, SESSIONS[:3], holdings_under(np.array([1.5, -0.5]), policy))


@pytest.mark.parametrize("policy", REBALANCING_POLICIES)
@pytest.mark.parametrize("price", [math.nan, 0.0, -2.0])
def test_prices_that_are_missing_or_not_positive_are_refused(policy: Rebalancing, price: float) -> None:
    close = CLOSE.copy()
    close[300, 2] = price
    with pytest.raises(MeasureInputError, match=r"^close: prices must be finite and above 0; remove or repair"):
        hold(close, SESSIONS, holdings_of(PORTFOLIOS["equal"], policy, CLOSE))
