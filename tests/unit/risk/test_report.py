"""Rolling reports: each row is the measure of one window, whatever is computed with it; and why values are missing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.base.types import REBALANCING_POLICIES, FloatArray, Rebalancing
from pipeline.risk.measures import MEASURES, RiskSpec, Windows
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import HeldPortfolio, hold, period_ids, scenario_returns
from pipeline.risk.report import BLOCK_ROWS, RollingReport, latest_report, measure, rolling_report
from tests.unit.risk.series import drawn_close, drawn_returns, drawn_windows, holdings_under, same, weekdays

SPEC = RiskSpec(window_sessions=21)
NAMES = [m.name for m in MEASURES]
RETURNS = drawn_returns(BLOCK_ROWS + 150, seed=31)
BENCHMARK = 0.6 * RETURNS + drawn_returns(BLOCK_ROWS + 150, seed=32)
END = len(RETURNS) + 1
"""Rows: one more than returns."""
NO_BENCHMARK = (
    b"no_benchmark, no_benchmark_gain, no_benchmark_loss, no_benchmark_or_active_risk, no_benchmark_or_variation"
)


def rows_of(report: RollingReport, rows: slice) -> list[FloatArray]:
    return [report.values[name][rows] for name in NAMES]


def assert_same_rows(one: list[FloatArray], other: list[FloatArray]) -> None:
    for name, mine, yours in zip(NAMES, one, other, strict=True):
        assert same(mine, yours), name


def assert_close_rows(one: list[FloatArray], other: list[FloatArray]) -> None:
    """To the rounding of numpy's sums: the report computes by kernels, which are exact up to their last step."""
    for name, mine, yours in zip(NAMES, one, other, strict=True):
        np.testing.assert_allclose(mine, yours, rtol=1e-11, atol=1e-13, err_msg=name)


@pytest.fixture(scope="module")
def whole() -> RollingReport:
    return rolling_report(RETURNS, BENCHMARK, slice(0, END), SPEC)


def test_a_row_is_the_measure_of_its_window_alone(whole: RollingReport) -> None:
    for row in (21, 22, 500, BLOCK_ROWS + 20, BLOCK_ROWS + 21, END - 1):
        window = slice(row - 21, row)
        alone = measure(Windows(RETURNS[window], RETURNS[window], BENCHMARK[window]), SPEC)
        assert_close_rows([np.atleast_1d(alone[name]) for name in NAMES], rows_of(whole, slice(row, row + 1)))


@pytest.mark.parametrize(
    ("first", "last"),
    [(0, 1), (0, 22), (21, 22), (20, 23), (300, 321), (5, BLOCK_ROWS + 25), (BLOCK_ROWS, END), (END - 1, END)],
)
def test_rows_do_not_depend_on_the_range_asked_for(whole: RollingReport, first: int, last: int) -> None:
    part = rolling_report(RETURNS, BENCHMARK, slice(first, last), SPEC)
    assert_same_rows(rows_of(part, slice(None)), rows_of(whole, slice(first, last)))
    assert part.sessions_in_window.tolist() == whole.sessions_in_window[first:last].tolist()
    assert part.reasons.tolist() == whole.reasons[first:last].tolist()


@pytest.mark.parametrize("dropped", [1, 7, 64, 1_001])
def test_rows_do_not_depend_on_where_the_series_begins(whole: RollingReport, dropped: int) -> None:
    rows = slice(21, END - dropped)
    later = rolling_report(RETURNS[dropped:], BENCHMARK[dropped:], rows, SPEC)
    assert_same_rows(rows_of(later, slice(None)), rows_of(whole, slice(21 + dropped, END)))


@pytest.mark.parametrize("kept", [21, 22, 400, BLOCK_ROWS + 30])
def test_rows_do_not_depend_on_where_the_series_ends(whole: RollingReport, kept: int) -> None:
    shorter = rolling_report(RETURNS[:kept], BENCHMARK[:kept], slice(0, kept + 1), SPEC)
    assert_same_rows(rows_of(shorter, slice(None)), rows_of(whole, slice(0, kept + 1)))


def test_a_row_without_a_full_window_has_no_number_and_says_so(whole: RollingReport) -> None:
    assert whole.sessions_in_window[:24].tolist() == [*range(22), 21, 21]
    assert all(np.isnan(column[:21]).all() for column in whole.values.values())
    assert whole.reasons[0] == b"short_window: 0 of 21 sessions"
    assert whole.reasons[20] == b"short_window: 20 of 21 sessions"
    assert all(np.isfinite(column[21]) for column in whole.values.values())
    assert whole.reasons[21] == b""


@pytest.mark.parametrize(
    ("returns", "benchmark", "reason"),
    [
        (np.zeros(21), np.zeros(21), NO_BENCHMARK + b", no_drawdown, no_return_below_target, no_variation"),
        (np.full(21, -0.01), drawn_returns(21), b"no_benchmark_or_variation, no_variation"),
        (np.linspace(0.001, 0.02, 21), drawn_returns(21), b"no_drawdown, no_return_below_target"),
        (drawn_returns(21), None, NO_BENCHMARK),
        (drawn_returns(21), drawn_returns(21), b"no_benchmark_or_active_risk"),
        (drawn_returns(21), np.linspace(0.001, 0.02, 21), b"no_benchmark_loss"),
        (drawn_returns(21), np.linspace(-0.02, -0.001, 21), b"no_benchmark_gain"),
        (drawn_returns(21), drawn_returns(21, seed=2), b""),
    ],
    ids=[
        "stands still",
        "constant loss",
        "only gains",
        "no benchmark",
        "is the benchmark",
        "benchmark only gains",
        "benchmark only loses",
        "nothing missing",
    ],
)
def test_the_reason_names_why_measures_are_missing(
    returns: FloatArray, benchmark: FloatArray | None, reason: bytes
) -> None:
    report = rolling_report(returns, benchmark, slice(21, 22), SPEC)
    assert report.reasons.tolist() == [reason]
    missing = {name for name, column in report.values.items() if np.isnan(column[0])}
    causes = {m.undefined_because for m in MEASURES if m.name in missing}
    assert ", ".join(sorted(str(cause) for cause in causes)).encode() == reason


def test_columns_are_those_of_the_tables(whole: RollingReport) -> None:
    assert list(whole.columns) == ["sessions_in_window", *NAMES, "risk_free", "reason"]
    assert whole.columns["sessions_in_window"].dtype == np.int16
    assert {column.dtype for name, column in whole.columns.items() if name in NAMES} == {np.dtype(np.float64)}
    assert {len(column) for column in whole.columns.values()} == {END}


def test_no_rows_give_an_empty_report() -> None:
    report = rolling_report(RETURNS, None, slice(300, 300), SPEC)
    assert {len(column) for column in report.columns.values()} == {0}
    assert report.reasons.dtype.kind == "S"


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.01])
def test_a_return_that_cannot_be_is_refused_wherever_it_lies(value: float) -> None:
    returns = RETURNS.copy()
    returns[5] = value
    with pytest.raises(MeasureInputError, match=r"^returns: "):
        rolling_report(returns, None, slice(900, 901), SPEC)


def test_measure_gives_every_registered_measure_in_order() -> None:
    values = measure(drawn_windows(3, 21), SPEC)
    assert list(values) == NAMES
    assert {value.shape for value in values.values()} == {(3,)}


def test_the_latest_report_is_the_last_row(whole: RollingReport) -> None:
    latest = latest_report(RETURNS, BENCHMARK, SPEC)
    assert list(latest) == NAMES
    assert_close_rows([np.array([value]) for value in latest.values()], rows_of(whole, slice(-1, None)))


def test_the_latest_report_of_a_short_series_is_refused() -> None:
    assert math.isfinite(latest_report(RETURNS[:21], None, SPEC)["cagr"])
    with pytest.raises(MeasureInputError, match=r"^returns: 20 given, at least 21 are needed; give a longer history"):
        latest_report(RETURNS[:20], None, SPEC)


def held_under(policy: Rebalancing, first: int = 0, last: int = 400) -> HeldPortfolio:
    close, sessions = drawn_close(400, 3, seed=41), weekdays("2018-01-02", 400)
    amounts = np.array([0.5, 0.7, -0.2])
    return hold(close[first:last], sessions[first:last], holdings_under(amounts, policy))


@pytest.mark.parametrize("policy", REBALANCING_POLICIES)
def test_a_portfolio_is_measured_by_its_returns_and_its_tail_by_today_s_weights(policy: Rebalancing) -> None:
    held = held_under(policy)
    report = rolling_report(held.returns, None, slice(0, 400), SPEC, held)
    for row in (21, 22, 250, 399):
        windows = Windows(held.returns[row - 21 : row], scenario_returns(held, row, 21))
        alone = measure(windows, SPEC)
        assert_close_rows([np.atleast_1d(alone[name]) for name in NAMES], rows_of(report, slice(row, row + 1)))


@pytest.mark.parametrize("policy", ["daily", "monthly", "quarterly", "buy_and_hold"])
def test_rows_of_a_portfolio_do_not_depend_on_what_is_read_around_them(policy: Rebalancing) -> None:
    """Read from any quarter's last close on and up to any session: month after month, or all months at once."""
    whole = held_under(policy)
    report = rolling_report(whole.returns, None, slice(0, 400), SPEC, whole)
    quarters = period_ids(weekdays("2018-01-02", 400), "quarterly")
    for first in [0, *np.flatnonzero(quarters[1:] != quarters[:-1])[:3]]:
        for last in range(first + 23, first + 70):
            part = held_under(policy, first, last)
            rows = slice(21, last - first)
            made = rolling_report(part.returns, None, rows, SPEC, part)
            assert_same_rows(rows_of(made, slice(None)), rows_of(report, slice(first + 21, last)))
