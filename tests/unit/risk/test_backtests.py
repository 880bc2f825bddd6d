"""Backtests against published tables, likelihoods maximised by brute force, and their size under the null."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize

from pipeline.base.types import BoolArray, FloatArray
from pipeline.risk.measures import MeasureInputError
from pipeline.risk.measures.backtests import (
    backtest,
    conditional_coverage_test,
    exceptions_of,
    independence_test,
    kupiec_test,
    traffic_light,
)
from pipeline.risk.measures.durations import duration_test, durations_between
from pipeline.risk.measures.shortfall_backtests import Z2_CRITICAL_5_PERCENT
from pipeline.risk.measures.statistic import Statistic
from tests.unit.risk.series import PROPERTY, same

HITS = st.lists(st.sampled_from([True, False, False, False]), min_size=2, max_size=120).map(np.array)
TESTS = ("kupiec", "independence", "conditional_coverage", "duration", "shortfall_z1", "shortfall_z2")


def hits_at(sessions: int, *positions: int) -> BoolArray:
    hits = np.zeros(sessions, dtype=bool)
    hits[list(positions)] = True
    return hits


def forecast_of(hits: BoolArray, loss: float = 0.05) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Returns with a loss where there is an exception, and a VaR of 2 % and ES of 3 %."""
    return np.where(hits, -loss, 0.001), np.full(len(hits), 0.02), np.full(len(hits), 0.03)


def bernoulli_log_likelihood(hits: list[bool], probability: float) -> float:
    return sum(math.log(probability) if hit else math.log1p(-probability) for hit in hits)


# Kupiec


@pytest.mark.parametrize(
    ("observations", "confidence", "fewest", "most"),
    [
        # Kupiec (1995), non-rejection regions of his test at 5 %, as tabulated in Jorion, "Value at Risk": the table
        # prints x < 7 for the first, without a lower end.
        (255, 0.99, None, 6),
        (510, 0.99, 2, 10),
        (1_000, 0.99, 5, 16),
        (255, 0.975, 3, 11),
        (510, 0.975, 7, 20),
        (1_000, 0.975, 16, 35),
        (255, 0.95, 7, 20),
        (510, 0.95, 17, 35),
        (1_000, 0.95, 38, 64),
        (255, 0.925, 12, 27),
        (510, 0.925, 28, 50),
        (1_000, 0.925, 60, 91),
        (255, 0.90, 17, 35),
        (510, 0.90, 39, 64),
        (1_000, 0.90, 82, 119),
    ],
)
def test_kupiec_accepts_the_numbers_of_his_table(
    observations: int, confidence: float, fewest: int | None, most: int
) -> None:
    p_values = [kupiec_test(number, observations, confidence).p_value for number in range(observations + 1)]
    accepted = [number for number, p_value in enumerate(p_values) if p_value is not None and p_value > 0.05]
    assert accepted == list(range(fewest or accepted[0], most + 1))


@PROPERTY
@given(HITS, st.floats(0.5, 0.999))
def test_kupiec_is_the_likelihood_ratio_of_each_session(hits: BoolArray, confidence: float) -> None:
    rate = float(hits.mean())
    best = bernoulli_log_likelihood(hits.tolist(), rate) if 0.0 < rate < 1.0 else 0.0
    ratio = 2.0 * (best - bernoulli_log_likelihood(hits.tolist(), 1.0 - confidence))
    made = kupiec_test(int(hits.sum()), len(hits), confidence)
    assert made.value == pytest.approx(ratio, rel=1e-9, abs=1e-9)
    assert made.p_value == pytest.approx(stats.chi2.sf(ratio, 1), rel=1e-6, abs=1e-7)


def test_kupiec_without_exceptions_is_the_limit_of_its_formula() -> None:
    assert kupiec_test(0, 250, 0.99).value == pytest.approx(-500.0 * math.log(0.99), rel=1e-12)
    assert kupiec_test(250, 250, 0.99).value == pytest.approx(-500.0 * math.log(0.01), rel=1e-12)
    with pytest.raises(MeasureInputError, match=r"^exceptions=3 of 2: give from 0 to the observations"):
        kupiec_test(3, 2, 0.99)


# Christoffersen


@PROPERTY
@given(HITS)
def test_independence_is_the_likelihood_ratio_of_a_markov_chain(hits: BoolArray) -> None:
    made = independence_test(hits)
    after_none = [after for before, after in pairwise(hits.tolist()) if not before]
    after_one = [after for before, after in pairwise(hits.tolist()) if before]
    if not after_none or not after_one:
        assert made.value is None
        assert made.undefined_because is not None
        return
    restricted = most_likely(after_none + after_one)
    ratio = 2.0 * (most_likely(after_none) + most_likely(after_one) - restricted)
    assert made.value == pytest.approx(ratio, abs=1e-5)


def most_likely(hits: list[bool]) -> float:
    """The greatest log-likelihood over a grid of probabilities and the ends, where it may lie."""
    if all(hits) or not any(hits):
        return 0.0
    rate = np.clip(sum(hits) / len(hits) + np.linspace(-1e-4, 1e-4, 21), 1e-12, 1.0 - 1e-12)
    grid = np.r_[np.linspace(0.001, 0.999, 999), rate]
    return float(np.max(sum(hits) * np.log(grid) + (len(hits) - sum(hits)) * np.log1p(-grid)))


def test_a_worked_example_of_independence() -> None:
    """Ten sessions: of 6 after none 2 are exceptions, of 3 after an exception 1."""
    hits = np.array([0, 1, 0, 0, 0, 1, 1, 0, 0, 0], dtype=bool)
    together = 3 * math.log(3 / 9) + 6 * math.log(6 / 9)
    apart = 2 * math.log(2 / 6) + 4 * math.log(4 / 6) + math.log(1 / 3) + 2 * math.log(2 / 3)
    assert independence_test(hits).value == pytest.approx(2.0 * (apart - together), abs=1e-12)


def test_conditional_coverage_adds_both_ratios_with_two_degrees_of_freedom() -> None:
    hits = hits_at(500, 3, 4, 100, 101, 102, 300, 480)
    coverage, independence = kupiec_test(7, 500, 0.99), independence_test(hits)
    made = conditional_coverage_test(hits, 0.99)
    assert coverage.value is not None
    assert independence.value is not None
    assert made.value == pytest.approx(coverage.value + independence.value, rel=1e-12)
    assert made.p_value == pytest.approx(stats.chi2.sf(coverage.value + independence.value, 2), rel=1e-9)


def test_exceptions_in_a_row_are_found_and_the_same_number_apart_is_not() -> None:
    clustered, apart = hits_at(1_000, *range(500, 510)), hits_at(1_000, *range(50, 1_000, 95))
    assert clustered.sum() == apart.sum() == 10
    assert independence_test(clustered).p_value < 1e-6  # type: ignore[operator]
    assert independence_test(apart).p_value > 0.5  # type: ignore[operator]
    assert duration_test(clustered).p_value < 1e-3  # type: ignore[operator]


# Durations


def test_durations_count_sessions_and_know_which_are_cut_off() -> None:
    made = durations_between(hits_at(10, 2, 5, 6))
    assert (made.complete.tolist(), made.censored.tolist()) == ([3.0, 1.0], [3.0, 3.0])
    made = durations_between(hits_at(10, 0, 5, 9))
    assert (made.complete.tolist(), made.censored.tolist()) == ([5.0, 4.0], [])


@pytest.mark.parametrize("seed", range(8))
def test_the_duration_ratio_is_that_of_two_likelihoods_maximised_by_brute_force(seed: int) -> None:
    hits = np.random.default_rng(seed).random(400) < 0.03
    durations = durations_between(hits)

    def negative(log_rate: float, log_shape: float) -> float:
        law = stats.weibull_min(math.exp(log_shape), scale=math.exp(-log_rate))
        return -float(law.logpdf(durations.complete).sum() + law.logsf(durations.censored).sum())

    options = {"xatol": 1e-10, "fatol": 1e-12, "maxiter": 4_000}
    free = minimize(lambda x: negative(*x), [-3.5, 0.0], method="Nelder-Mead", options=options)
    tied = minimize(lambda x: negative(x[0], 0.0), [-3.5], method="Nelder-Mead", options=options)
    made = duration_test(hits)
    assert made.value == pytest.approx(2.0 * (tied.fun - free.fun), abs=1e-6)
    assert made.p_value == pytest.approx(stats.chi2.sf(2.0 * (tied.fun - free.fun), 1), abs=1e-5)


@pytest.mark.parametrize(
    ("hits", "reason"),
    [
        (hits_at(250), "fewer_than_two_exceptions"),
        (hits_at(250, 100), "fewer_than_two_exceptions"),
        (hits_at(101, 0, 100), "likelihood_without_maximum"),
        (hits_at(101, *range(0, 101, 10)), "likelihood_without_maximum"),
        (hits_at(250, *range(250)), "likelihood_without_maximum"),
    ],
)
def test_durations_that_have_no_likeliest_shape_say_so(hits: BoolArray, reason: str) -> None:
    assert duration_test(hits) == Statistic(None, None, reason)


# Basel


@pytest.mark.parametrize(
    ("exceptions", "zone", "plus_factor", "multiplier"),
    [
        (0, "green", 0.0, 1.5),
        (4, "green", 0.0, 1.5),
        (5, "yellow", 0.40, 1.70),
        (6, "yellow", 0.50, 1.76),
        (7, "yellow", 0.65, 1.83),
        (8, "yellow", 0.75, 1.88),
        (9, "yellow", 0.85, 1.92),
        (10, "red", 1.0, 2.0),
        (40, "red", 1.0, 2.0),
    ],
)
def test_the_zones_and_factors_of_basel(exceptions: int, zone: str, plus_factor: float, multiplier: float) -> None:
    made = traffic_light(hits_at(250, *range(exceptions)), 0.99)
    assert (made.zone, made.exceptions, made.plus_factor, made.multiplier) == (
        zone,
        exceptions,
        plus_factor,
        multiplier,
    )


def test_basel_looks_at_the_last_250_sessions_at_99_percent_only() -> None:
    assert traffic_light(hits_at(500, *range(250)), 0.99).exceptions == 0
    assert traffic_light(hits_at(500, *range(249, 260)), 0.99).exceptions == 10
    assert traffic_light(hits_at(249), 0.99).undefined_because == "fewer_than_250_sessions"
    assert traffic_light(hits_at(250), 0.975).undefined_because == "confidence_is_not_99_percent"
    assert traffic_light(hits_at(250), 0.975).zone is None


# Acerbi and Szekely


def test_the_shortfall_statistics_are_their_formulas() -> None:
    hits = hits_at(200, 10, 50, 51)
    returns, var, es = forecast_of(hits)
    returns[50] = -0.03
    made = backtest(returns, var, es, 0.975)
    ratios = (0.05 / 0.03 + 0.03 / 0.03 + 0.05 / 0.03, 3, 0.025 * 200)
    assert made.shortfall_z1.value == pytest.approx(1.0 - ratios[0] / ratios[1], rel=1e-12)
    assert made.shortfall_z2.value == pytest.approx(1.0 - ratios[0] / ratios[2], rel=1e-12)


def test_losses_much_beyond_es_are_found_and_losses_short_of_it_are_not() -> None:
    hits = hits_at(250, *range(0, 250, 40))
    beyond = backtest(*forecast_of(hits, 0.12), 0.975)
    short = backtest(*forecast_of(hits, 0.025), 0.975)
    assert beyond.shortfall_z1.p_value < 0.001  # type: ignore[operator]
    assert beyond.shortfall_z2.p_value < 0.001  # type: ignore[operator]
    assert short.shortfall_z1.p_value > 0.8  # type: ignore[operator]
    assert short.shortfall_z2.p_value > 0.4  # type: ignore[operator]


def test_the_simulated_critical_value_of_z2_is_the_one_that_its_authors_publish() -> None:
    """A statistic at -0.70 has a p-value of about 5 % for 250 sessions at 97.5 % of a Student-t law."""
    quantile = stats.t.ppf(0.975, 5.0)
    es = stats.t.pdf(quantile, 5.0) / 0.025 * (5.0 + quantile**2) / 4.0
    var, shortfall = np.full(250, quantile), np.full(250, es)
    returns = np.ones(250)
    returns[:8] = -(1.0 - Z2_CRITICAL_5_PERCENT) * 6.25 * es / 8.0
    made = backtest(returns, var, shortfall, 0.975).shortfall_z2
    assert made.value == pytest.approx(Z2_CRITICAL_5_PERCENT, rel=1e-12)
    assert made.p_value == pytest.approx(0.05, abs=0.012)


def test_a_seed_names_the_simulated_p_values_and_nothing_else() -> None:
    sample = forecast_of(hits_at(250, 5, 60, 170, 200, 230, 240))
    one, two, other = (backtest(*sample, 0.975, seed) for seed in (3, 3, 4))
    assert one == two
    assert one.shortfall_z2.value == other.shortfall_z2.value
    assert one.shortfall_z2.p_value != other.shortfall_z2.p_value
    with pytest.raises(MeasureInputError, match=r"^seed=-1: give a whole number from 0 to"):
        backtest(*sample, 0.975, -1)
    with pytest.raises(MeasureInputError, match=r"^simulations=10: give at least 100"):
        backtest(*sample, 0.975, simulations=10)


# All of them


def test_no_exception_leaves_coverage_and_z2_and_says_why_not_the_others() -> None:
    made = backtest(*forecast_of(hits_at(250)), 0.99)
    assert (made.observations, made.exceptions, made.expected_exceptions) == (250, 0, pytest.approx(2.5))
    assert made.kupiec.p_value == pytest.approx(0.025, abs=0.001)
    assert made.conditional_coverage.value == made.kupiec.value
    assert made.independence.undefined_because == "no_exception_that_could_be_followed"
    assert made.duration.undefined_because == "fewer_than_two_exceptions"
    assert made.shortfall_z1.undefined_because == "no_exceptions"
    assert made.shortfall_z2.value == 1.0
    assert made.shortfall_z2.p_value == 1.0
    assert made.traffic_light.zone == "green"


def test_one_exception_leaves_all_but_the_durations() -> None:
    made = backtest(*forecast_of(hits_at(250, 100)), 0.99)
    assert made.exceptions == 1
    assert made.independence.value == pytest.approx(0.008, abs=0.001)
    assert made.duration.undefined_because == "fewer_than_two_exceptions"
    assert made.shortfall_z1.value == pytest.approx(1.0 - 5.0 / 3.0)


def test_a_single_exception_on_the_last_session_follows_nothing() -> None:
    made = backtest(*forecast_of(hits_at(250, 249)), 0.99)
    assert made.independence.undefined_because == "no_exception_that_could_be_followed"
    assert made.conditional_coverage.value == made.kupiec.value


def test_nothing_but_exceptions_is_the_worst_of_all() -> None:
    made = backtest(*forecast_of(hits_at(250, *range(250))), 0.99)
    assert made.kupiec.p_value == pytest.approx(0.0, abs=1e-12)
    assert made.independence.undefined_because == "only_exceptions"
    assert made.traffic_light.zone == "red"


def test_a_loss_equal_to_var_is_no_exception() -> None:
    assert exceptions_of(np.array([-0.02, -0.020001, 0.5]), np.full(3, 0.02)).tolist() == [False, True, False]


def test_without_es_its_tests_say_so() -> None:
    returns, var, es = forecast_of(hits_at(250, 3, 90))
    made = backtest(returns, var, None, 0.99)
    assert made.shortfall_z1 == made.shortfall_z2 == Statistic(None, None, "no_expected_shortfall")
    assert made.kupiec == backtest(returns, var, es, 0.99).kupiec
    below = backtest(returns, var - 0.05, es - 0.05, 0.99)
    assert below.shortfall_z2.undefined_because == "expected_shortfall_not_above_0"


@PROPERTY
@given(HITS)
def test_every_test_has_a_p_value_or_a_reason(hits: BoolArray) -> None:
    made = backtest(*forecast_of(hits), 0.95, simulations=200)
    for name in TESTS:
        statistic = getattr(made, name)
        assert (statistic.value is None) == (statistic.p_value is None) == (statistic.undefined_because is not None)
        if statistic.value is not None:
            assert type(statistic.value) is type(statistic.p_value) is float
            assert math.isfinite(statistic.value)
            assert 0.0 <= statistic.p_value <= 1.0


def test_the_unit_of_money_does_not_matter_and_the_input_is_not_modified() -> None:
    returns, var, es = forecast_of(np.random.default_rng(2).random(300) < 0.02)
    parts = returns.copy(), var.copy(), es.copy()
    made = backtest(returns, var, es, 0.99)
    assert all(same(after, before) for after, before in zip((returns, var, es), parts, strict=True))
    doubled = backtest(2.0 * returns, 2.0 * var, 2.0 * es, 0.99)
    assert doubled == made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"confidence": 99.0}, r"confidence=99\.0: give a fraction between 0 and 1"),
        ({"var": np.full(249, 0.02)}, r"var: shape \(249,\); give one series, as long as returns"),
        ({"returns": np.zeros((2, 125))}, r"returns: shape \(2, 125\); give one series"),
        ({"var": np.r_[np.nan, np.full(249, 0.02)]}, r"var: NaN or infinite; drop the sessions without"),
        ({"es": np.r_[np.inf, np.full(249, 0.03)]}, r"es: NaN or infinite; drop the sessions without"),
        ({"returns": np.r_[np.nan, np.zeros(249)]}, r"returns: NaN or infinite; drop the sessions without"),
        ({"es": np.full(250, 0.01)}, r"es: below var on some session; give both at the same confidence"),
    ],
)
def test_series_that_cannot_be_compared_are_refused(change: dict[str, object], message: str) -> None:
    returns, var, es = forecast_of(hits_at(250, 3))
    given_ = {"returns": returns, "var": var, "es": es, "confidence": 0.99} | change
    with pytest.raises(MeasureInputError, match=f"^{message}"):
        backtest(**given_)  # type: ignore[arg-type]


def test_a_single_session_is_too_short() -> None:
    with pytest.raises(MeasureInputError, match=r"^returns: shape \(1,\); give one series, .* at least 2 sessions"):
        backtest(np.zeros(1), np.ones(1), None, 0.99)
