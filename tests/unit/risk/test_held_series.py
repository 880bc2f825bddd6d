"""A portfolio on the sessions on which everything it holds has a price, beside its benchmark."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.base.types import REBALANCING_POLICIES, FloatArray, Rebalancing
from pipeline.risk.measures import RiskSpec
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import Holdings, hold
from pipeline.risk.report import benchmark_returns, held_series, latest_report, rolling_report
from tests.unit.risk.series import drawn_close, holdings_under, same, weekdays

SESSIONS = weekdays("2020-01-02", 120)
CLOSE = drawn_close(120, 3, seed=51)
INDEX = drawn_close(120, 1, seed=52)[:, 0]
THIRDS = Holdings(np.full(3, 1 / 3), "monthly")


def without(missing: dict[int, list[int]]) -> FloatArray:
    """Prices with gaps: instrument → sessions."""
    close = CLOSE.copy()
    for instrument, sessions in missing.items():
        close[sessions, instrument] = np.nan
    return close


@pytest.mark.parametrize("policy", REBALANCING_POLICIES)
def test_sessions_on_which_a_price_is_missing_are_left_out(policy: Rebalancing) -> None:
    gaps = {0: [0, 1, 2, 50], 1: [50, 51], 2: [119]}
    complete = np.setdiff1d(np.arange(120), [0, 1, 2, 50, 51, 119])
    holdings = holdings_under(np.full(3, 1 / 3), policy)
    series = held_series(without(gaps), SESSIONS, INDEX, holdings)
    expected = hold(CLOSE[complete], SESSIONS[complete], holdings)
    assert (series.sessions == SESSIONS[complete]).all()
    assert same(series.held.returns, expected.returns)
    assert same(series.held.weights, expected.weights)
    assert series.benchmark is not None
    assert same(series.benchmark, INDEX[complete][1:] / INDEX[complete][:-1] - 1.0)


def test_with_every_price_nothing_is_left_out() -> None:
    series = held_series(CLOSE, SESSIONS, None, THIRDS)
    assert same(series.sessions, SESSIONS)
    assert len(series.held.returns) == 119
    assert series.benchmark is None


def test_the_prices_given_are_not_modified() -> None:
    close, index = without({1: [4]}), INDEX.copy()
    held_series(close, SESSIONS, index, THIRDS)
    assert same(close, without({1: [4]}))
    assert same(index, INDEX)


def test_a_benchmark_that_misses_a_session_of_the_portfolio_is_not_used() -> None:
    index = INDEX.copy()
    index[60] = np.nan
    series = held_series(CLOSE, SESSIONS, index, THIRDS)
    assert series.benchmark is None
    report = rolling_report(series.held.returns, series.benchmark, slice(119, 120), RiskSpec(), series.held)
    assert report.reasons.tolist() == [b"short_window: 119 of 252 sessions"]
    latest = latest_report(series.held.returns, series.benchmark, RiskSpec(window_sessions=63), series.held)
    assert [name for name, value in latest.items() if np.isnan(value)] == [
        "beta",
        "alpha",
        "r_squared",
        "tracking_error",
        "information_ratio",
        "up_capture",
        "down_capture",
    ]


def test_a_benchmark_that_misses_only_sessions_left_out_is_used() -> None:
    index = INDEX.copy()
    index[60] = np.nan
    series = held_series(without({2: [60]}), SESSIONS, index, THIRDS)
    assert series.benchmark is not None
    assert np.isfinite(series.benchmark).all()
    assert len(series.benchmark) == len(series.held.returns) == 118


def test_returns_of_a_benchmark_need_all_its_prices() -> None:
    made = benchmark_returns(np.array([100.0, 101.0, 99.99]))
    assert made is not None
    np.testing.assert_allclose(made, [0.01, -0.01], rtol=1e-9)
    assert benchmark_returns(np.array([100.0, np.nan, 99.99])) is None


@pytest.mark.parametrize("policy", REBALANCING_POLICIES)
def test_a_portfolio_with_one_complete_session_has_a_row_without_numbers(policy: Rebalancing) -> None:
    """A portfolio whose newest instrument was listed today."""
    series = held_series(without({1: list(range(119))}), SESSIONS, INDEX, holdings_under(np.full(3, 1 / 3), policy))
    assert same(series.sessions, SESSIONS[-1:])
    report = rolling_report(series.held.returns, series.benchmark, slice(0, 1), RiskSpec(), series.held)
    assert report.sessions_in_window.tolist() == [0]
    assert report.reasons.tolist() == [b"short_window: 0 of 252 sessions"]


def test_a_portfolio_that_never_has_all_prices_is_refused() -> None:
    never_together = without({0: list(range(60)), 1: list(range(60, 120))})
    message = r"^positions: no session has a price for every instrument; choose others$"
    with pytest.raises(MeasureInputError, match=message):
        held_series(never_together, SESSIONS, INDEX, THIRDS)


def test_a_portfolio_worth_nothing_on_a_session_is_refused() -> None:
    short = Holdings(np.array([1.0, 0.0, -10.0]), "buy_and_hold")
    with pytest.raises(MeasureInputError, match=r"^portfolio value: .* at its lowest"):
        held_series(CLOSE, SESSIONS, None, short)
