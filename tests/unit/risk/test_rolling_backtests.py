"""Backtests of many parts of a series at once: equal to the single backtest, and to themselves in any company."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.backtests import VarBacktest, backtest
from pipeline.risk.measures.durations import duration_ratios, duration_test
from pipeline.risk.measures.rolling_backtests import (
    FEWEST_OBSERVATIONS,
    JudgedForecasts,
    RollingBacktests,
    rolling_backtests,
)
from pipeline.risk.measures.shortfall_nulls import TABLE_EXCEPTIONS, z1_p_values, z2_p_values
from pipeline.risk.measures.statistic import Statistic
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS, rolling_forecasts
from tests.unit.risk.market import index_returns
from tests.unit.risk.series import PROPERTY

EXACT = ("kupiec", "independence", "conditional_coverage", "duration")
SHORTFALL = ("shortfall_z1", "shortfall_z2")
STOPS = np.arange(100, 7_801, 77)
STARTS = np.maximum(0, STOPS - 1_000)


def judged_index(method: str, confidence: float) -> JudgedForecasts:
    """The index since 1992, forecast from 500 sessions."""
    returns = index_returns()
    rows = range(500, len(returns))
    made = rolling_forecasts(returns, VAR_METHODS[method], TailSpec(confidence), 500, rows)
    return JudgedForecasts(returns[500:], made.var, made.es, confidence)


def alone(judged: JudgedForecasts, start: int, stop: int, simulations: int = 100) -> VarBacktest:
    es = None if judged.es is None else judged.es[start:stop]
    part = slice(start, stop)
    return backtest(judged.returns[part], judged.var[part], es, judged.confidence, simulations=simulations)


def assert_agrees(made: RollingBacktests, row: int, single: VarBacktest) -> None:
    assert (made.observations[row], made.exceptions[row]) == (single.observations, single.exceptions)
    for test in EXACT + SHORTFALL:
        statistic: Statistic = getattr(single, test)
        value = np.nan if statistic.value is None else statistic.value
        assert made.values[f"{test}_statistic"][row] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True), test
        if test in EXACT:
            p_value = np.nan if statistic.p_value is None else statistic.p_value
            assert made.values[f"{test}_p_value"][row] == pytest.approx(p_value, rel=1e-6, abs=1e-9, nan_ok=True), test
        if statistic.undefined_because:
            assert statistic.undefined_because in made.reasons[row].decode(), test
    light = single.traffic_light
    assert made.zones[row].decode() == (light.zone or "")
    assert made.values["basel_multiplier"][row] == pytest.approx(light.multiplier or np.nan, nan_ok=True)


@pytest.mark.parametrize("confidence", [0.95, 0.99])
@pytest.mark.parametrize("method", ["historical", "gaussian", "filtered_historical"])
def test_each_part_is_the_backtest_of_it_alone(method: str, confidence: float) -> None:
    judged = judged_index(method, confidence)
    made = rolling_backtests(judged, STARTS, STOPS)
    long_enough = np.flatnonzero(STOPS - STARTS >= FEWEST_OBSERVATIONS)
    for row in long_enough.tolist():
        assert_agrees(made, row, alone(judged, int(STARTS[row]), int(STOPS[row])))


@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_looked_up_p_values_are_the_simulated_ones_but_for_their_noise(confidence: float) -> None:
    """The worst of 24 differences of two simulations of 10,000 lies below 4 standard errors, about 0.02; the same
    ratio of VaR to ES on every session adds less than 0.02."""
    judged = judged_index("historical", confidence)
    made = rolling_backtests(judged, STARTS, STOPS)
    for row in range(10, len(STOPS), 8):
        single = alone(judged, int(STARTS[row]), int(STOPS[row]), simulations=10_000)
        for test in SHORTFALL:
            statistic: Statistic = getattr(single, test)
            expected = np.nan if statistic.p_value is None else statistic.p_value
            found = made.values[f"{test}_p_value"][row]
            assert found == pytest.approx(expected, abs=0.04, nan_ok=True), (row, test)


def test_the_bits_of_a_part_do_not_depend_on_its_company_nor_on_earlier_history() -> None:
    judged = judged_index("filtered_historical", 0.95)
    together = rolling_backtests(judged, STARTS, STOPS)
    for row in (5, 40, 99):
        start, stop = int(STARTS[row]), int(STOPS[row])
        cut = start - 3 if start > 3 else 0
        es = judged.es
        assert es is not None
        later = JudgedForecasts(judged.returns[cut:stop], judged.var[cut:stop], es[cut:stop], judged.confidence)
        single = rolling_backtests(later, np.array([start - cut]), np.array([stop - cut]))
        for name, values in single.values.items():
            assert values[0].tobytes() == together.values[name][row].tobytes(), name
        assert single.reasons[0] == together.reasons[row]


def test_what_comes_after_a_part_changes_nothing() -> None:
    judged = judged_index("historical", 0.99)
    before = rolling_backtests(judged, STARTS[:50], STOPS[:50])
    stop = int(STOPS[49])
    changed = replace(judged, returns=np.r_[judged.returns[:stop], judged.returns[stop:] * -50.0])
    after = rolling_backtests(changed, STARTS[:50], STOPS[:50])
    for name, values in before.values.items():
        assert values.tobytes() == after.values[name].tobytes(), name


def test_a_short_part_has_counts_and_a_reason() -> None:
    judged = judged_index("historical", 0.99)
    made = rolling_backtests(judged, np.array([0, 0, 0]), np.array([0, 249, 250]))
    assert made.observations.tolist() == [0, 249, 250]
    assert [reason.decode() for reason in made.reasons[:2]] == [
        "short_window: 0 of 250 sessions",
        "short_window: 249 of 250 sessions",
    ]
    assert np.isnan(made.values["kupiec_p_value"][:2]).all()
    assert np.isfinite(made.values["kupiec_p_value"][2])
    none = rolling_backtests(judged, np.array([], dtype=np.int64), np.array([], dtype=np.int64))
    assert len(none.reasons) == len(none.zones) == len(none.values["duration_p_value"]) == 0


def ones(count: int, value: float) -> FloatArray:
    return np.full(count, value)


def test_every_missing_test_says_why() -> None:
    quiet, part = ones(250, 0.001), (np.array([0]), np.array([250]))
    made = rolling_backtests(JudgedForecasts(quiet, ones(250, 0.02), ones(250, 0.03), 0.99), *part)
    assert made.reasons[0].decode() == (
        "independence: no_exception_that_could_be_followed; duration: fewer_than_two_exceptions;"
        " shortfall_z1: no_exceptions"
    )
    assert (made.zones[0], made.values["shortfall_z2_statistic"][0]) == (b"green", 1.0)
    assert made.values["shortfall_z2_p_value"][0] == pytest.approx(1.0, abs=1e-6)
    made = rolling_backtests(JudgedForecasts(quiet, ones(250, 0.02), None, 0.95), *part)
    assert made.reasons[0].endswith(b"shortfall: no_expected_shortfall; traffic_light: confidence_is_not_99_percent")
    falling = JudgedForecasts(ones(250, -0.05), ones(250, 0.02), ones(250, 0.03), 0.99)
    made = rolling_backtests(falling, *part)
    assert made.reasons[0].decode() == "independence: only_exceptions; duration: likelihood_without_maximum"
    assert made.zones[0] == b"red"
    made = rolling_backtests(JudgedForecasts(quiet, ones(250, -0.02), ones(250, 0.0), 0.99), *part)
    assert b"shortfall: expected_shortfall_not_above_0" in made.reasons[0]


# Durations of many parts


@PROPERTY
@given(st.lists(st.booleans(), min_size=4, max_size=200), st.data())
def test_the_duration_ratio_of_a_part_is_that_of_its_own_exceptions(hits: list[bool], data: st.DataObject) -> None:
    series = np.array(hits)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(hits)), min_size=2, max_size=6)))
    parts = [(a, b) for a in cuts for b in cuts if series[a:b].sum() >= 2]
    if not parts:
        return
    starts, stops = (np.array(side) for side in zip(*parts, strict=True))
    ratios = duration_ratios(np.flatnonzero(series), starts, stops)
    for (start, stop), ratio in zip(parts, ratios.tolist(), strict=True):
        single = duration_test(series[start:stop])
        if single.value is None:
            assert np.isnan(ratio)
        else:
            assert ratio == single.value  # the same bits


# The law of sums of excesses


def numbers(*values: int) -> IntArray:
    return np.array(values)


def test_p_values_are_uniform_under_the_null() -> None:
    """Statistics drawn from the stated model: their p-values must be uniform (Kolmogorov–Smirnov)."""
    draw, ratio, sessions, confidence = np.random.default_rng(5), 0.7, 500, 0.975
    hits = draw.random((2_000, sessions)) < 1.0 - confidence
    excess = stats.genpareto(0.2, scale=0.8).rvs((2_000, sessions), random_state=draw)
    losses = np.where(hits, ratio + (1.0 - ratio) * excess, 0.0)
    counts, spread = hits.sum(axis=1), ones(2_000, 1.0 - ratio)
    z2 = 1.0 - losses.sum(axis=1) / ((1.0 - confidence) * sessions)
    assert stats.kstest(z2_p_values(z2, np.full(2_000, sessions), spread, confidence), "uniform").pvalue > 0.01
    some = counts > 0
    z1 = 1.0 - losses.sum(axis=1)[some] / counts[some]
    assert stats.kstest(z1_p_values(z1, counts[some], spread[some]), "uniform").pvalue > 0.01


def test_beyond_the_table_the_law_goes_on_smoothly() -> None:
    z1 = np.array([-0.08, -0.03, 0.0, 0.03, 0.08])
    last, next_one = (
        z1_p_values(z1, np.full(5, count), ones(5, 0.3)) for count in (TABLE_EXCEPTIONS, TABLE_EXCEPTIONS + 1)
    )
    np.testing.assert_allclose(last, next_one, atol=0.015)


def test_a_tail_without_spread_has_one_possible_loss() -> None:
    """Where ES is VaR every loss beyond it counts 1: Z1 is 0, and Z2 tells the number of exceptions."""
    assert z1_p_values(np.array([0.0, -0.1, 0.1]), numbers(3, 3, 3), np.zeros(3)).tolist() == [1.0, 1 / 10_001, 1.0]
    found = z2_p_values(np.array([1.0 - 4 / 2.5]), numbers(250), np.zeros(1), 0.99)
    assert found[0] == pytest.approx(stats.binom(250, 0.01).sf(3), abs=2e-4)
