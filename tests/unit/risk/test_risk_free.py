"""Risk-free rates: conversion, which rate a session has, and the measures that take it, by closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pipeline.base.types import DateArray, FloatArray
from pipeline.risk.measures import MEASURES, Windows
from pipeline.risk.measures.conventions import CONVENTIONS
from pipeline.risk.measures.dispersion import sharpe_ratio, sortino_ratio
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.full_report import ReportSpec, full_report
from pipeline.risk.measures.kernels.rolling import EXCESS_MEASURES, rolling_measures
from pipeline.risk.measures.kernels.sums import LONGEST_WINDOW
from pipeline.risk.measures.relative import jensen_alpha
from pipeline.risk.measures.risk_free import (
    MOST_DAYS_OLD,
    NONE_STORED,
    RiskFree,
    known_in_windows,
    of_bank_discount,
    of_bond_equivalent,
    rate_series,
    rates_by_currency,
)
from pipeline.risk.measures.windows import RiskSpec, rolling
from pipeline.risk.report import latest_report, measure, rolling_report
from tests.unit.risk.series import drawn_returns, same

SPEC = RiskSpec(window_sessions=21)
SESSIONS = np.arange("2020-01-01", "2021-09-01", dtype="datetime64[D]")
SESSIONS = SESSIONS[np.is_busday(SESSIONS)]
RETURNS, BENCHMARK = drawn_returns(len(SESSIONS) - 1, seed=1), drawn_returns(len(SESSIONS) - 1, seed=2)
DAILY = 0.0001 + 0.0002 * np.random.default_rng(3).random(len(RETURNS))
RATES = RiskFree("DTB3", DAILY)
EVERY = slice(0, len(SESSIONS))


def quotes_on(days: list[str], rates: list[float]) -> tuple[DateArray, FloatArray]:
    return np.array(days, dtype="datetime64[D]"), np.array(rates)


# Conversion ------------------------------------------------------------------------------------------------


def test_a_bill_at_a_discount_of_five_percent_costs_what_it_does_and_earns_that() -> None:
    price = 100 - 5.0 * 91 / 360
    assert price == pytest.approx(98.736111, abs=1e-6)
    effective = float(of_bank_discount(np.array(0.05)))
    assert effective == pytest.approx((100 / price) ** (365 / 91) - 1, rel=1e-14)
    assert effective == pytest.approx(0.0523413, abs=1e-7)
    # The investment rate that the Treasury states for the same bill, simple interest on 365 days, lies below it.
    assert (100 - price) / price * 365 / 91 == pytest.approx(0.0513434, abs=1e-7)


def test_a_constant_maturity_yield_is_compounded_every_half_year() -> None:
    # The example of the Treasury's page: a yield of 8.00 % is an APY of 8.16 %.
    assert float(of_bond_equivalent(np.array(0.08))) == pytest.approx(0.0816, rel=1e-12)


@pytest.mark.parametrize("quoted", [-0.0005, 0.0, 0.16])
def test_a_year_of_daily_rates_is_the_annual_rate(quoted: float) -> None:
    daily = rate_series("DTB3", quotes_on(["2020-01-02"], [quoted])).daily[0]
    assert (1 + daily) ** 252 - 1 == pytest.approx(float(of_bank_discount(np.array(quoted))), rel=1e-12, abs=1e-13)
    assert (quoted == 0.0) == (daily == 0.0)


def test_a_series_of_unknown_quotation_is_refused() -> None:
    with pytest.raises(MeasureInputError, match="risk_free_series=SOFR: unknown; choose one of DTB3, DGS3MO"):
        rate_series("SOFR", quotes_on([], []))


def test_a_currency_has_rates_if_its_series_has_any() -> None:
    assert list(rates_by_currency({"DTB3": quotes_on(["2020-01-02"], [0.01])})) == ["USD"]
    assert rates_by_currency({"DTB3": quotes_on([], []), "DGS3MO": quotes_on(["2020-01-02"], [0.01])}) == {}


# Which rate a session has -----------------------------------------------------------------------------------


def test_a_session_has_the_newest_rate_of_a_day_before_it() -> None:
    found = rate_series("DTB3", quotes_on(["2020-01-02", "2020-01-03", "2020-01-07"], [0.01, 0.02, 0.03]))
    sessions = np.array(["2020-01-02", "2020-01-03", "2020-01-06", "2020-01-07", "2020-01-08"], dtype="datetime64[D]")
    # That of the 7th is published on the 8th: it is that session's, and not its own day's.
    np.testing.assert_array_equal(found.between(sessions).daily, found.daily[[0, 1, 1, 2]])


def test_a_rate_is_known_for_a_fortnight() -> None:
    found = rate_series("DTB3", quotes_on(["2020-01-02"], [0.01]))
    days = np.datetime64("2020-01-02") + np.arange(MOST_DAYS_OLD + 2)
    known = np.isfinite(found.between(days).daily)
    assert known.tolist() == [True] * MOST_DAYS_OLD + [False]
    assert np.isnan(found.between(days - 30).daily).all()
    assert np.isnan(rate_series("DTB3", quotes_on([], [])).between(days).daily).all()


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_later_rates_change_nothing_before_them(cut: int) -> None:
    days, quoted = SESSIONS[:60], np.linspace(0.0, 0.05, 60)
    whole = rate_series("DTB3", (days, quoted)).between(SESSIONS[:70]).daily
    past = rate_series("DTB3", (days[:cut], quoted[:cut])).between(SESSIONS[:70]).daily
    corrected = rate_series("DTB3", (days, np.where(np.arange(60) < cut, quoted, 0.9))).between(SESSIONS[:70]).daily
    # The return that ends with session i is number i - 1, and takes rates of days before session i.
    np.testing.assert_array_equal(past[:cut], whole[:cut])
    np.testing.assert_array_equal(corrected[:cut], whole[:cut])
    assert corrected[cut] != whole[cut]


# Measures ---------------------------------------------------------------------------------------------------


def test_measures_of_the_excess_by_hand() -> None:
    returns, rate = np.array([0.01, -0.02, 0.015, 0.004]), np.array([0.001, 0.002, 0.0, 0.003])
    excess = [0.009, -0.022, 0.015, 0.001]
    mean = sum(excess) / 4
    deviation = math.sqrt(sum((x - mean) ** 2 for x in excess) / 3)
    assert float(sharpe_ratio(returns, rate, 252)) == pytest.approx(mean / deviation * math.sqrt(252), rel=1e-12)
    assert float(sortino_ratio(returns, rate, 252)) == pytest.approx(mean / 0.011 * math.sqrt(252), rel=1e-12)
    benchmark = np.array([0.02, -0.01, 0.01, 0.0])
    line = stats.linregress(benchmark - rate, returns - rate)
    assert float(jensen_alpha(returns, benchmark, rate, 252)) == pytest.approx(252 * line.intercept, rel=1e-10)


def test_the_rate_itself_has_no_sharpe_ratio() -> None:
    assert np.isnan(sharpe_ratio(DAILY, DAILY, 252))
    assert np.isnan(sortino_ratio(DAILY, DAILY, 252))


def test_a_constant_series_of_rates_is_that_rate() -> None:
    annual = RiskSpec(21, risk_free_rate_annual=0.03)
    constant = RiskFree("DTB3", np.full(len(RETURNS), annual.risk_free_rate_daily))
    by_series = rolling_report(RETURNS, BENCHMARK, EVERY, SPEC, None, constant).values
    by_rate = rolling_report(RETURNS, BENCHMARK, EVERY, annual).values
    for name, column in by_rate.items():
        np.testing.assert_allclose(by_series[name], column, rtol=1e-10, atol=1e-13, err_msg=name)


def test_kernels_agree_with_the_definitions() -> None:
    made = rolling_measures(RETURNS, BENCHMARK, SPEC, None, DAILY)
    windows = Windows(*(rolling(part, 21) for part in (RETURNS, RETURNS, BENCHMARK, DAILY)))
    for name, column in measure(windows, SPEC).items():
        np.testing.assert_allclose(made[name], column, rtol=1e-10, atol=1e-12, err_msg=name)
    without = rolling_measures(RETURNS, BENCHMARK, SPEC)
    for name in made:
        assert same(made[name], without[name]) == (name not in EXCESS_MEASURES), name


def test_what_reads_the_rate_is_registered() -> None:
    windows = Windows(RETURNS[:252], RETURNS[:252], BENCHMARK[:252], DAILY[:252])
    unknown = Windows(RETURNS[:252], RETURNS[:252], BENCHMARK[:252], np.r_[np.nan, DAILY[1:252]])
    for m in MEASURES:
        assert np.isfinite(m.compute(windows, SPEC))
        assert np.isnan(m.compute(unknown, SPEC)) == m.reads_risk_free
    assert tuple(m.name for m in MEASURES if m.reads_risk_free) == EXCESS_MEASURES


@pytest.mark.parametrize("daily", [None, 0.0, np.nan], ids=["none", "zero", "unknown"])
def test_a_rate_of_zero_changes_no_bit(daily: float | None) -> None:
    rates = None if daily is None else RiskFree("DTB3", np.full(len(RETURNS), daily))
    made, plain = (rolling_report(RETURNS, BENCHMARK, EVERY, SPEC, None, given) for given in (rates, None))
    for name, column in plain.values.items():
        assert same(made.values[name], column), name
    assert same(made.reasons, plain.reasons)
    assert set(made.risk_free[1:]) == {b"DTB3" if daily == 0.0 else NONE_STORED.encode()}


def test_a_window_that_knows_some_rates_only_has_no_measure_of_the_excess_and_says_so() -> None:
    daily = DAILY.copy()
    daily[:100] = np.nan
    daily[300:310] = np.nan
    report = rolling_report(RETURNS, BENCHMARK, EVERY, SPEC, None, RiskFree("DTB3", daily))
    plain = rolling_report(RETURNS, BENCHMARK, EVERY, SPEC)
    whole = rolling_report(RETURNS, BENCHMARK, EVERY, SPEC, None, RATES)
    known = known_in_windows(daily, 21, EVERY)
    assert known[[0, 100, 101, 121, 300, 301, 310, 331]].tolist() == [0, 0, 1, 21, 21, 20, 11, 21]
    full = np.arange(len(SESSIONS)) >= 21
    partly = (known > 0) & (known < 21) & full
    for name in EXCESS_MEASURES:
        values = report.values[name]
        assert np.isnan(values[partly]).all()
        assert same(values[full & (known == 0)], plain.values[name][full & (known == 0)])
        assert same(values[known == 21], whole.values[name][known == 21])
    assert set(report.reasons[partly]) == {b"no_risk_free_rate"}
    assert set(report.reasons[full & ~partly]) == {b""}
    assert set(report.risk_free[known > 0]) == {b"DTB3"}
    assert set(report.risk_free[known == 0]) == {NONE_STORED.encode()}


def test_a_missing_benchmark_is_still_the_reason_where_the_rate_is_known() -> None:
    report = rolling_report(RETURNS, None, EVERY, SPEC, None, RATES)
    assert np.isnan(report.values["alpha"]).all()
    assert set(report.reasons[21:]) == {
        b"no_benchmark, no_benchmark_gain, no_benchmark_loss, no_benchmark_or_active_risk, no_benchmark_or_variation"
    }


@pytest.mark.parametrize(("first", "last"), [(0, 40), (21, 22), (150, 260), (430, 434)])
def test_any_part_has_the_bits_of_the_whole(first: int, last: int) -> None:
    daily = DAILY.copy()
    daily[100:150] = np.nan
    whole = rolling_report(RETURNS, BENCHMARK, EVERY, SPEC, None, RiskFree("DTB3", daily)).columns
    since = max(first - 21, 0)  # as if earlier prices and rates were not read
    part = rolling_report(
        RETURNS[since : last - 1],
        BENCHMARK[since : last - 1],
        slice(first - since, last - since),
        SPEC,
        None,
        RiskFree("DTB3", daily[since : last - 1]),
    ).columns
    for name, column in part.items():
        assert same(column.tolist(), whole[name][first:last].tolist()), name


def test_the_latest_report_is_the_last_row_and_needs_the_newest_rates_only() -> None:
    last = {
        name: column[-1] for name, column in rolling_report(RETURNS, BENCHMARK, EVERY, SPEC, None, RATES).values.items()
    }
    for rates in (RATES, RiskFree("DTB3", DAILY[-21:])):
        latest = latest_report(RETURNS, BENCHMARK, SPEC, None, rates)
        assert latest == pytest.approx(last, rel=1e-10, abs=1e-12)


def test_windows_too_long_for_kernels_take_the_rates_too() -> None:
    returns = drawn_returns(LONGEST_WINDOW + 2, seed=5)
    spec, rates = RiskSpec(LONGEST_WINDOW + 1), RiskFree("DTB3", np.full(len(returns), 0.0001))
    row = slice(len(returns), len(returns) + 1)
    found = rolling_report(returns, None, row, spec, None, rates).values["sharpe_ratio"][0]
    excess = returns[-LONGEST_WINDOW - 1 :] - 0.0001
    assert found == pytest.approx(excess.mean() / excess.std(ddof=1) * math.sqrt(252), rel=1e-10)


# Full reports -----------------------------------------------------------------------------------------------


def test_a_full_report_by_rates_is_the_definitions_and_the_libraries() -> None:
    windows = Windows(RETURNS, RETURNS, BENCHMARK, DAILY)
    excess = RETURNS - DAILY
    expected = {
        "platform": excess.mean() / excess.std(ddof=1) * math.sqrt(252),
        "skfolio": excess.mean() / excess.std(ddof=1),
    }
    for convention, sharpe in expected.items():
        spec = ReportSpec(measures=("sharpe_ratio",), convention=convention, methods=("historical",))
        assert full_report(windows, spec).measures[0].value == pytest.approx(sharpe, rel=1e-12)
    for library in CONVENTIONS:
        full_report(windows, ReportSpec(convention=library, methods=("historical",)))


def test_a_full_report_says_on_how_many_sessions_a_rate_is_known() -> None:
    windows = Windows(RETURNS, RETURNS, None, np.r_[np.full(9, np.nan), DAILY[9:]])
    for convention in ("platform", "riskfolio"):
        spec = ReportSpec(measures=("sharpe_ratio", "volatility"), convention=convention, methods=("historical",))
        sharpe, volatility = full_report(windows, spec).measures
        assert sharpe.value is None
        assert sharpe.undefined == f"no_risk_free_rate: known on {len(RETURNS) - 9} of {len(RETURNS)} sessions"
        assert volatility.value is not None
