"""The compiled measures: equal to the definitions, bit by bit to plain twins, and blind to where a series began."""

from __future__ import annotations

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pipeline.base.types import REBALANCING_POLICIES, FloatArray, Rebalancing
from pipeline.risk import report as report_module
from pipeline.risk.measures import MEASURES, RiskSpec, Windows
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import HeldPortfolio, hold, scenario_windows
from pipeline.risk.measures.kernels import capture, falls, moments, relative, tail, wealth, weighted, whole
from pipeline.risk.measures.kernels import rolling as rolling_kernels
from pipeline.risk.measures.kernels.exponentials import LARGEST_EXPONENT, LARGEST_RETURN, growth_of, log_growth
from pipeline.risk.measures.kernels.rolling import rolling_measures
from pipeline.risk.measures.kernels.sums import LONGEST_WINDOW, rolling_means, split, unit_of
from pipeline.risk.measures.kernels.whole import WHOLE_MEASURES, whole_measures
from pipeline.risk.measures.windows import rolling, simple_returns
from pipeline.risk.report import rolling_report
from tests.bundled import bundled_bars
from tests.unit.risk.series import drawn_close, drawn_returns, holdings_under, same, weekdays

SESSIONS = 400
BENCHMARK = drawn_returns(SESSIONS, seed=90)


def adversarial_series() -> dict[str, FloatArray]:
    """Series on which sums cancel, do not fit, tie or vanish, in some of their windows or in all."""
    ordinary = drawn_returns(SESSIONS, seed=91)
    ruined, jumping, waking, calming = (ordinary.copy() for _ in range(4))
    ruined[150] = -1.0
    jumping[[80, 200]] = 300.0, 1.5
    waking[:180] = 0.0
    calming[200:] *= 1e-6
    return {
        "ordinary": ordinary,
        "whole basis points": np.round(ordinary, 4),
        "loses everything": ruined,
        "jumps by 30,000 % and by 150 %": jumping,
        "stands still, then moves": waking,
        "moves, then hardly": calming,
        "rises by the same each session": np.full(SESSIONS, 0.1),
        "hardly moves": ordinary * 1e-9,
        "moves within 1.5 basis points": np.clip(ordinary, -0.01, 0.01) * 0.015,
        "swings by half": np.where(np.arange(SESSIONS) % 2, 0.5, -0.4) + ordinary,
        "falls to almost nothing": np.minimum(ordinary - 0.1, -0.05),
        "never falls": np.abs(ordinary),
        "never rises": -np.abs(ordinary),
        "falls by an eighth": np.where(np.arange(SESSIONS) % 9 == 0, -0.125, ordinary),
    }


SERIES = adversarial_series()
EVERY_SERIES = pytest.mark.parametrize("returns", SERIES.values(), ids=SERIES)
SPECS = [
    RiskSpec(window_sessions=2),
    RiskSpec(window_sessions=21, risk_free_rate_annual=0.03),
    RiskSpec(window_sessions=63, risk_free_rate_annual=-0.01, periods_per_year=52),
    RiskSpec(),
]
DEFINED = {m.name: m for m in MEASURES}
EVERY_SPEC = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.window_sessions} sessions")


def assert_equal_to_the_definitions(
    made: dict[str, FloatArray], windows: Windows, spec: RiskSpec, tolerance: float = 2e-12
) -> None:
    """To 12 digits of what a measure adds up; numpy's own rounding is of that size."""
    for name, values in made.items():
        with np.errstate(over="ignore"):
            expected = DEFINED[name].compute(windows, spec)
        assert (np.isnan(values) == np.isnan(expected)).all(), name
        finite = np.isfinite(expected)
        assert (values[~finite & ~np.isnan(expected)] == np.inf).all(), name
        scale = 1.0 + np.abs(expected[finite])
        if name == "calmar_ratio":  # a small fall is a difference of numbers near 1
            scale /= np.abs(DEFINED["max_drawdown"].compute(windows, spec)[finite])
        if name in ("cagr", "calmar_ratio"):  # growth to a high power
            scale *= max(1.0, spec.periods_per_year / spec.window_sessions)
        error = np.abs(values[finite] - expected[finite]) / scale
        assert error.max(initial=0.0) < tolerance, (name, error.max())


@EVERY_SPEC
@EVERY_SERIES
def test_rolling_measures_are_those_of_the_definitions(returns: FloatArray, spec: RiskSpec) -> None:
    windows = rolling(returns, spec.window_sessions)
    index = rolling(BENCHMARK, spec.window_sessions)
    made = rolling_measures(returns, BENCHMARK, spec)
    assert_equal_to_the_definitions(made, Windows(windows, windows, index), spec)


def test_rolling_measures_of_real_prices_are_those_of_the_definitions() -> None:
    bars = bundled_bars()
    for number in range(0, len(bars.symbols), 4):
        returns = simple_returns(bars.close_adjusted[bars.symbol_index == number])
        windows = rolling(returns, 252)
        made = rolling_measures(returns, returns[::-1], RiskSpec())
        assert_equal_to_the_definitions(made, Windows(windows, windows, rolling(returns[::-1], 252)), RiskSpec())


def difficult_benchmarks(returns: FloatArray) -> dict[str, FloatArray]:
    """Benchmarks that vanish, tie, do not fit or leave next to no active return."""
    never_rises = -np.abs(BENCHMARK)
    return {
        "stands still": np.zeros(SESSIONS),
        "is the series": returns,
        "is the series for half of the time": np.where(np.arange(SESSIONS) < 200, returns, BENCHMARK),
        "follows the series within a basis point": np.maximum(returns + 0.005 * BENCHMARK, -1.0),
        "earns what the series does, and more": returns + 0.01,
        "never rises": never_rises,
        "never falls": -never_rises,
        "rises now and then": np.where(np.arange(SESSIONS) % 30 == 3, 0.02, never_rises),
        **{name: SERIES[name] for name in ("whole basis points", "loses everything", "swings by half")},
        **{name: SERIES[name] for name in ("jumps by 30,000 % and by 150 %", "rises by the same each session")},
    }


@pytest.mark.parametrize("name", difficult_benchmarks(BENCHMARK))
@EVERY_SERIES
def test_measures_against_difficult_benchmarks_are_those_of_the_definitions(returns: FloatArray, name: str) -> None:
    benchmark, spec = difficult_benchmarks(returns)[name], SPECS[1]
    windows, index = rolling(returns, 21), rolling(benchmark, 21)
    made = rolling_measures(returns, benchmark, spec)
    against = {measure: made[measure] for measure in (*relative.RELATIVE_MEASURES, *capture.CAPTURE_MEASURES)}
    # Sessions of 5e-5 beside 1, or active returns of 0.1 that vary by 1e-11, cost the definitions a digit themselves.
    assert_equal_to_the_definitions(against, Windows(windows, windows, index), spec, tolerance=4e-11)


def held_under(policy: Rebalancing) -> HeldPortfolio:
    amounts = np.array([0.5, 0.7, -0.2])
    return hold(
        drawn_close(SESSIONS + 1, 3, seed=92), weekdays("2018-01-02", SESSIONS + 1), holdings_under(amounts, policy)
    )


@pytest.mark.parametrize("policy", REBALANCING_POLICIES)
def test_a_portfolio_s_tail_is_that_of_each_session_s_weights(policy: Rebalancing) -> None:
    held, spec = held_under(policy), RiskSpec(window_sessions=63)
    windows = Windows(rolling(held.returns, 63), scenario_windows(held, 63), rolling(BENCHMARK, 63))
    assert_equal_to_the_definitions(rolling_measures(held.returns, BENCHMARK, spec, held), windows, spec)


def test_every_registered_measure_has_a_kernel() -> None:
    assert set(rolling_measures(SERIES["ordinary"], None, SPECS[1])) == set(DEFINED)


@EVERY_SPEC
@EVERY_SERIES
def test_bytes_do_not_depend_on_where_the_look_back_begins_or_on_the_partition(
    returns: FloatArray, spec: RiskSpec
) -> None:
    window = spec.window_sessions
    all_rows = rolling_measures(returns, BENCHMARK, spec)
    for first, last in [(1, SESSIONS), (3, SESSIONS), (97, SESSIONS), (130, 130 + window), (41, 41 + window + 20)]:
        stop = min(last, SESSIONS)
        part = rolling_measures(returns[first:stop], BENCHMARK[first:stop], spec)
        for name, column in part.items():
            assert same(column, all_rows[name][first : stop - window + 1]), (name, first, stop)


@pytest.mark.parametrize("policy", REBALANCING_POLICIES)
def test_bytes_of_a_portfolio_do_not_depend_on_where_the_look_back_begins(policy: Rebalancing) -> None:
    held = held_under(policy)
    all_rows = rolling_measures(held.returns, None, SPECS[1], held)
    part = held.part(slice(57, 301))
    for name, column in rolling_measures(part.returns, None, SPECS[1], part).items():
        assert same(column, all_rows[name][57:281]), name


def compute_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace every compiled kernel of the rolling panel by its plain twin."""
    for module, name in [
        (moments, "rolling_moments"),
        (relative, "rolling_relative"),
        (capture, "rolling_capture"),
        (falls, "rolling_falls"),
        (weighted, "rolling_weighted_volatility"),
        (tail, "rolling_tail"),
        (tail, "held_tail"),
        (wealth, "rolling_wealth"),
    ]:
        monkeypatch.setattr(rolling_kernels, name, getattr(module, f"{name}_python"))


@EVERY_SERIES
def test_plain_twins_give_the_same_bits(returns: FloatArray, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = rolling_measures(returns, BENCHMARK, SPECS[1])
    compute_plainly(monkeypatch)
    plain = rolling_measures(returns, BENCHMARK, SPECS[1])
    assert not [name for name in compiled if not same(compiled[name], plain[name])]


def test_plain_twins_give_the_same_bits_for_a_portfolio(monkeypatch: pytest.MonkeyPatch) -> None:
    held = held_under("monthly")
    compiled = rolling_measures(held.returns, None, SPECS[2], held)
    compute_plainly(monkeypatch)
    plain = rolling_measures(held.returns, None, SPECS[2], held)
    assert not [name for name in compiled if not same(compiled[name], plain[name])]


@pytest.mark.parametrize("window", [2, 3, 252, 8_400, LONGEST_WINDOW])
def test_a_term_is_split_without_loss_and_a_window_of_the_largest_fits(window: int) -> None:
    unit = unit_of(window)
    for term in (1.0, -1.0, 0.3, -1e-7, 1.0 - 2.0**-53, 2.0**-80):
        whole_part, rest = split(term, unit)
        kept = Fraction(whole_part) / Fraction(unit) + Fraction(rest) / Fraction(unit) ** 2
        assert abs(kept - Fraction(term)) <= Fraction(1, 2) / Fraction(unit) ** 2
        assert max(abs(whole_part), abs(rest)) * window < 2**63


def test_means_of_a_window_are_exact_until_the_last_rounding() -> None:
    unit, terms = unit_of(21), np.r_[np.full(40, 1.0), drawn_returns(60, seed=93) ** 3]
    parts = [split(term, unit) for term in terms.tolist()]
    high, low = (np.array(part, dtype=np.int64) for part in zip(*parts, strict=True))
    means = np.empty(80)
    rolling_means(high, low, 21, unit, means)
    for row in (0, 25, 41, 79):
        total = sum(
            Fraction(int(whole_part)) + Fraction(int(rest)) / Fraction(unit)
            for whole_part, rest in zip(high[row : row + 21], low[row : row + 21], strict=True)
        )
        assert means[row] == pytest.approx(float(total / Fraction(unit) / 21), rel=4e-16)


def test_logarithm_and_exponential_are_those_of_the_library() -> None:
    for x in np.linspace(-LARGEST_RETURN, LARGEST_RETURN, 2_001).tolist():
        assert log_growth(x) == pytest.approx(math.log1p(x), rel=1e-14, abs=2e-17)
    for y in np.linspace(-LARGEST_EXPONENT, LARGEST_EXPONENT, 2_001).tolist():
        assert growth_of(y) == pytest.approx(math.expm1(y), rel=4e-15, abs=1e-18)


def test_a_window_too_long_to_be_exact_is_left_to_the_definitions() -> None:
    returns, spec = drawn_returns(LONGEST_WINDOW + 2, seed=94), RiskSpec(window_sessions=LONGEST_WINDOW + 1)
    assert rolling_measures(returns, None, spec) == {}
    report = rolling_report(returns, None, slice(len(returns), len(returns) + 1), spec)
    assert report.values["volatility"][0] == pytest.approx(np.std(returns[1:], ddof=1) * math.sqrt(252), rel=1e-12)


def test_a_registered_measure_without_a_kernel_is_computed_by_its_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    best = replace(DEFINED["volatility"], name="best_day", compute=lambda windows, _: windows.returns.max(axis=-1))
    monkeypatch.setattr(report_module, "MEASURES", (*MEASURES, best))
    report = rolling_report(SERIES["ordinary"], None, slice(0, SESSIONS + 1), SPECS[1])
    assert same(report.values["best_day"][21:], rolling(SERIES["ordinary"], 21).max(axis=-1))
    assert np.isnan(report.values["best_day"][:21]).all()


def test_threads_may_compute_at_once() -> None:
    alone = [rolling_measures(returns, BENCHMARK, SPECS[1]) for returns in SERIES.values()]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda returns: rolling_measures(returns, BENCHMARK, SPECS[1]), SERIES.values()))
    for one, other in zip(alone, together, strict=True):
        assert not [name for name in one if not same(one[name], other[name])]


def test_the_api_starts_without_the_compiler() -> None:
    code = "import sys, serving.app; print('numba' in sys.modules)"
    made = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    assert made.stdout.strip() == "False"


@EVERY_SPEC
@pytest.mark.parametrize("sessions", [2, 3, 5, 199, 200, 201, SESSIONS])
def test_whole_series_are_measured_as_the_definitions_say(sessions: int, spec: RiskSpec) -> None:
    returns = np.array([series[-sessions:] for series in SERIES.values()])
    made = whole_measures(returns, spec)
    assert list(made) == list(WHOLE_MEASURES)
    of_the_series = RiskSpec(sessions, spec.periods_per_year, spec.risk_free_rate_annual)
    assert_equal_to_the_definitions(made, Windows(returns, returns, None), of_the_series)


@pytest.mark.parametrize(
    "fall", ["within a strip", "from strip to strip", "from stretch to stretch", "of everything", "in the rest"]
)
def test_the_deepest_fall_of_a_long_series_is_found_wherever_it_lies(fall: str) -> None:
    """A series is walked in four stretches, each of them in strips of `whole.STRIP` sessions, and a rest."""
    first, last, loss = {
        "within a strip": (1_030, 1_050, -0.1),
        "from strip to strip": (1_100, 1_300, -0.02),
        "from stretch to stretch": (900, 2_100, -0.01),
        "of everything": (1_050, 1_051, -1.0),
        "in the rest": (3_900, 3_930, -0.1),
    }[fall]
    returns = np.tile(np.abs(drawn_returns(4_000, seed=95)), (2, 1))
    returns[:, 700] = -0.03
    returns[1, first:last] = loss
    made = whole_measures(returns, RiskSpec())
    assert_equal_to_the_definitions(made, Windows(returns, returns, None), RiskSpec(4_000), tolerance=1e-11)
    assert made["max_drawdown"][0] == pytest.approx(-0.03, rel=1e-12)


def test_whole_series_are_measured_alone_as_together_and_as_by_the_plain_twin() -> None:
    returns = np.array(list(SERIES.values()))
    together = whole_measures(returns, SPECS[1])
    law, plain = (SPECS[1].risk_free_rate_daily, 252.0), np.empty((len(returns), len(WHOLE_MEASURES)))
    whole.measure_whole_python(returns, law, tail.tail_law(SESSIONS), plain)
    for number in range(len(returns)):
        alone = whole_measures(returns[number : number + 1], SPECS[1])
        for column, name in enumerate(WHOLE_MEASURES):
            assert same(alone[name], together[name][number : number + 1]), name
            assert same(plain[number, column : column + 1], together[name][number : number + 1]), name


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.01])
def test_whole_series_with_a_return_that_cannot_be_are_refused(value: float) -> None:
    returns = np.zeros((3, 10))
    returns[1, 4] = value
    with pytest.raises(MeasureInputError, match=r"^returns: "):
        whole_measures(returns, RiskSpec())
