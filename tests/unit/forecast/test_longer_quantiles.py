"""Quantiles over several sessions: what their scenarios are, when misses are learnt from, and tests despite overlap."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipeline.base.types import BoolArray, FloatArray
from pipeline.forecast.backtest import ForecastSpec, latest_quantiles, quantile_forecasts
from pipeline.forecast.models.baselines import Historical
from pipeline.forecast.models.conformal import Conformal
from pipeline.forecast.models.coverage import coverage_tests, least_likely
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.ewma import Ewma
from pipeline.forecast.models.filtered_historical import FilteredHistorical
from pipeline.forecast.models.kernels.adaptive_quantiles import adaptive_quantiles, adaptive_quantiles_python
from pipeline.forecast.models.monthly_scores import Distributions, Losses, Past, distribution_losses
from pipeline.forecast.models.panel_filter import stored_filter
from pipeline.forecast.models.scores import pinball_losses, returns_over
from pipeline.risk.measures.backtests import kupiec_test
from pipeline.risk.measures.statistic import Statistic
from tests.unit.forecast.test_monthly_scores import business_days
from tests.unit.forecast.test_plain_twins import ewma_twin

Drawn = Callable[..., FloatArray]
HORIZON = 5
SPEC = ForecastSpec()
LEVELS, TAILS = SPEC.levels, SPEC.shortfall_levels


def test_returns_over_several_sessions_are_compounded(drawn: Drawn) -> None:
    returns = drawn(40)
    over = returns_over(returns, HORIZON)
    assert over.tolist() == pytest.approx([math.prod(1.0 + returns[i : i + HORIZON]) - 1.0 for i in range(36)])
    assert returns_over(returns[:30], HORIZON).tobytes() == over[:26].tobytes()
    assert returns_over(returns, 1) is returns
    assert len(returns_over(returns[:3], HORIZON)) == 0


# Scenarios ----------------------------------------------------------------------------------------------


def over_twin(returns: list[float], start: int) -> float:
    return math.prod(1.0 + r for r in returns[start : start + HORIZON]) - 1.0


def test_filtered_history_over_several_sessions_equals_its_twin(drawn: Drawn) -> None:
    returns, warm_up, window = drawn(190, seed=4), 10, 80
    model = FilteredHistorical(window_residuals=window, minimum_residuals=40, volatility=Ewma(0.9, warm_up))
    rows = range(54, 191)
    made = model.forecast(returns, (0.05, 0.5), (0.05,), rows, HORIZON)
    root = math.sqrt(HORIZON)
    for row in rows:
        seen = returns[:row].tolist()
        starts = range(warm_up, row - HORIZON + 1)
        residuals = [over_twin(seen, s) / (ewma_twin(seen[:s], 0.9, warm_up) * root) for s in starts][-window:]
        scenarios = sorted(max(z * ewma_twin(seen, 0.9, warm_up) * root, -1.0) for z in residuals)
        ranks = [math.ceil(level * len(scenarios) - 1e-9) for level in (0.05, 0.5)]
        assert made.quantiles[row - 54].tolist() == pytest.approx([scenarios[rank - 1] for rank in ranks], rel=1e-11)
    early = model.forecast(returns, (0.05,), (0.05,), range(60), HORIZON).quantiles[:, 0]
    assert np.isnan(early[:54]).all()
    assert np.isfinite(early[54:]).all()


def test_history_over_several_sessions_is_that_of_overlapping_returns(drawn: Drawn) -> None:
    returns = drawn(400)
    model = Historical(window_returns=100)
    made = model.forecast(returns, (0.1,), (0.1,), range(401), HORIZON)
    assert np.isnan(made.quantiles[:104]).all()
    for row in (104, 250, 400):
        window = sorted(over_twin(returns.tolist(), start) for start in range(row - HORIZON - 99, row - HORIZON + 1))
        assert made.quantiles[row, 0] == pytest.approx(window[9], rel=1e-12)
        assert made.shortfalls[row, 0] == pytest.approx(-np.mean(window[:10]), rel=1e-12)


def test_compiled_levels_learn_as_their_plain_twin_when_outcomes_come_late(drawn: Drawn) -> None:
    values = drawn(400)
    asked = ((250, 100, HORIZON, 0), np.array([0.01, 0.5, 0.95]), (0.05, 4.0), np.array([0.01]))
    compiled, plain = (np.empty((405, 3)), np.empty((405, 1))), (np.empty((405, 3)), np.empty((405, 1)))
    adaptive_quantiles(values, *asked, *compiled)
    adaptive_quantiles_python(values, *asked, *plain)
    for ours, theirs in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_a_level_moves_when_the_horizon_has_passed_and_not_before(drawn: Drawn) -> None:
    """Written out: of row p the values up to p - 5 are known, and the miss of each that was forecast."""
    values, rate, level = drawn(300), 0.2, 0.1
    quantiles, below = np.empty((305, 1)), np.empty((305, 1))
    learning = ((60, 40, HORIZON, 0), np.array([level]), (rate, 4.0), np.array([level]))
    adaptive_quantiles(values, *learning, quantiles, below)
    moved = level
    for row in range(305):
        known = row - HORIZON  # newest value that is known
        if known >= 0 and np.isfinite(quantiles[known, 0]):
            miss = float(values[known] < quantiles[known, 0])
            moved = min(max(moved + rate * level * (level - miss), level / 4.0), 4.0 * level)
        window = values[max(known - 59, 0) : max(known + 1, 0)]
        if len(window) < 40:
            assert np.isnan(quantiles[row, 0])
            continue
        assert quantiles[row, 0] == pytest.approx(np.quantile(window, moved, method="hazen"), rel=1e-9)


def test_adaptive_quantiles_of_a_given_volatility_do_not_look_ahead(drawn: Drawn) -> None:
    returns = drawn(1_400)
    daily = Ewma(decay=0.97).daily_volatility(returns)
    every = range(1_401)
    whole = Conformal().on(returns, daily, LEVELS, TAILS, every, HORIZON)
    first = 22 + 500 + HORIZON - 1
    assert np.isnan(whole.quantiles[:first]).all()
    assert np.isfinite(whole.quantiles[first:]).all()
    for row in (first, first + 1, 900, 1_399):
        cut = Conformal().on(returns[:row], daily[: row + 1], LEVELS, TAILS, range(row + 1), HORIZON)
        assert cut.quantiles.tobytes() == whole.quantiles[: row + 1].tobytes()
        assert cut.shortfalls.tobytes() == whole.shortfalls[: row + 1].tobytes()
        altered = np.r_[returns[:row], -returns[row:] / 2.0]
        other = Conformal().on(altered, daily, LEVELS, TAILS, range(row, row + 1), HORIZON)
        assert other.quantiles.tobytes() == whole.quantiles[row : row + 1].tobytes()
    # The guard: a return that is known counts.
    altered = returns.copy()
    altered[898] = -0.5
    other = Conformal().on(altered, daily, LEVELS, TAILS, range(900, 901), HORIZON)
    assert (other.quantiles != whole.quantiles[900]).any()


def test_the_share_of_misses_over_several_sessions_is_the_level(drawn: Drawn) -> None:
    returns = 0.3 * drawn(8_000) * np.linspace(1.0, 4.0, 8_000)
    daily = Ewma().daily_volatility(returns)
    made = Conformal().on(returns, daily, LEVELS, TAILS, range(8_001), HORIZON)
    over = returns_over(returns, HORIZON)
    known = np.arange(1_000, len(over))
    for column, level in enumerate(LEVELS):
        # A fraction of the rarer side, so that neither no miss at all nor none but misses is right.
        allowed = min(0.012, 0.5 * min(level, 1.0 - level))
        assert float((over[known] < made.quantiles[known, column]).mean()) == pytest.approx(level, abs=allowed)


# Records ------------------------------------------------------------------------------------------------


def test_longer_quantiles_stand_beside_those_of_the_next_session(drawn: Drawn) -> None:
    returns = drawn(700)
    alone = quantile_forecasts(returns, replace(SPEC, quantile_horizons_sessions=(1,)))
    for made, one in zip(quantile_forecasts(returns, SPEC), alone, strict=True):
        assert made.quantiles.tobytes() == one.quantiles.tobytes()
        assert one.longer == ()
        (longer,) = made.longer
        columns = made.columns(business_days(701))
        assert longer.horizon_sessions == HORIZON
        known = made.trained_through >= 0
        assert columns["quantile_0025_5d"].tobytes() == longer.quantiles[known, 1].tobytes()
        assert columns["es_0025_5d"].tobytes() == longer.shortfalls[known, 1].tobytes()
        assert int(np.isnan(columns["quantile_0010_5d"]).sum()) == HORIZON - 1
    for latest, made in zip(latest_quantiles(returns, SPEC), quantile_forecasts(returns, SPEC), strict=True):
        assert latest.longer[0].quantiles[0].tobytes() == made.longer[0].quantiles[-1].tobytes()


@pytest.mark.parametrize("horizons", [(), (5,), (1, 1), (1, 5, 2), (0, 1)])
def test_horizons_of_quantiles_begin_with_the_next_session(horizons: tuple[int, ...]) -> None:
    with pytest.raises(ForecastInputError, match="quantile_horizons_sessions"):
        ForecastSpec(quantile_horizons_sessions=horizons)


def test_a_stored_filter_has_every_horizon_or_is_none() -> None:
    sessions = business_days(6)
    annual = np.array([[0.16, 0.17], [0.18, 0.19], [0.2, 0.21]])
    made = stored_filter(sessions, sessions[3:], annual, 252)
    assert made is not None
    assert np.isnan(made[:3]).all()
    np.testing.assert_allclose(made[3:], annual / math.sqrt(252))
    annual[1, 1] = np.nan
    assert stored_filter(sessions, sessions[3:], annual, 252) is None


def test_a_model_with_too_short_a_window_is_refused() -> None:
    with pytest.raises(ForecastInputError, match="longer_window_residuals=499"):
        Conformal(longer_window_residuals=499)


# Scores -------------------------------------------------------------------------------------------------


def losses_of(returns: FloatArray) -> list[Losses]:
    sessions = business_days(len(returns) + 1)
    every = range(len(sessions))
    made, naive = (
        model.forecast(returns, LEVELS, TAILS, every, HORIZON) for model in (FilteredHistorical(), Historical())
    )
    found = {"a": Distributions(made.quantiles, made.shortfalls), "b": Distributions(naive.quantiles, naive.shortfalls)}
    past = Past(sessions, returns, slice(0, len(sessions)))
    return list(distribution_losses(past, LEVELS, TAILS, found, {"a": "b"}, HORIZON))


def test_a_longer_forecast_is_scored_by_its_own_return_when_the_horizon_ends(drawn: Drawn) -> None:
    returns = drawn(700)
    sessions = business_days(701)
    made = FilteredHistorical().forecast(returns, LEVELS, TAILS, range(701), HORIZON)
    scored = losses_of(returns)
    assert len(scored) == len(LEVELS) + len(TAILS)
    one = scored[2]
    assert (one.kind, one.horizon_sessions) == ("quantile_0.05", HORIZON)
    as_of = np.arange(526, 696)
    assert one.ends.tolist() == sessions[as_of + HORIZON].tolist()
    came = np.array([over_twin(returns.tolist(), row) for row in as_of])
    np.testing.assert_allclose(one.losses, pinball_losses(came, made.quantiles[as_of, 2], 0.05), rtol=1e-9)
    assert one.hits is not None
    assert one.hits.tolist() == (came < made.quantiles[as_of, 2]).tolist()


def test_cutting_the_future_changes_no_longer_score(drawn: Drawn) -> None:
    returns = drawn(760)
    last = business_days(701)[-1]
    for one, other in zip(losses_of(returns), losses_of(returns[:700]), strict=True):
        known = one.ends <= last
        assert np.array_equal(one.ends[known], other.ends)
        assert one.losses[known].tobytes() == other.losses.tobytes()
        assert one.baseline_losses[known].tobytes() == other.baseline_losses.tobytes()


def overlapping_hits(draw: np.random.Generator, count: int, level: float) -> BoolArray:
    """Hits of the true quantile of five-session sums of independent normal returns."""
    sums = np.convolve(draw.standard_normal(count + HORIZON - 1), np.ones(HORIZON), mode="valid")
    quantile = math.sqrt(HORIZON) * {0.05: -1.6448536269514722}[level]
    hits: BoolArray = sums < quantile
    return hits


def test_overlap_alone_fails_a_test_of_a_single_series_and_not_ours() -> None:
    draw = np.random.default_rng(8)
    rejected = {"single": 0, "kupiec": 0, "conditional": 0, "independence": 0}
    draws = 200
    for _ in range(draws):
        hits = overlapping_hits(draw, 2_000, 0.05)
        ours = coverage_tests(hits, 0.05, HORIZON)
        single = coverage_tests(hits, 0.05)
        assert single.kupiec == kupiec_test(int(hits.sum()), len(hits), 0.95)
        rejected["single"] += (single.kupiec.p_value or 0.0) < 0.05
        rejected["independence"] += (single.independence.p_value or 0.0) < 0.05
        rejected["kupiec"] += (ours.kupiec.p_value or 0.0) < 0.05
        rejected["conditional"] += (ours.conditional_coverage.p_value or 0.0) < 0.05
    assert rejected["single"] > 0.2 * draws
    assert rejected["independence"] > 0.9 * draws
    assert rejected["kupiec"] < 0.1 * draws
    assert rejected["conditional"] < 0.12 * draws


def test_wrong_coverage_is_found_despite_overlap() -> None:
    hits = overlapping_hits(np.random.default_rng(9), 2_500, 0.05)
    assert (coverage_tests(hits, 0.01, HORIZON).kupiec.p_value or 1.0) < 1e-4
    assert coverage_tests(hits, 0.05, HORIZON).hits == hits.sum()


def test_the_least_likely_of_several_tests_allows_for_their_number() -> None:
    undefined = Statistic.undefined("no_hits")
    found = least_likely([Statistic(1.0, 0.3), undefined, Statistic(9.0, 0.01), Statistic(4.0, 0.04)])
    assert found == Statistic(9.0, pytest.approx(0.03))
    assert least_likely([Statistic(0.1, 0.8), Statistic(0.2, 0.7)]).p_value == 1.0
    assert least_likely([undefined, undefined]) == undefined
    assert least_likely([Statistic(1.0, 0.3)]) == Statistic(1.0, 0.3)


@pytest.mark.parametrize(("count", "horizon"), [(5, 5), (10, 0), (10, 10)])
def test_too_few_hits_for_a_horizon_are_refused(count: int, horizon: int) -> None:
    with pytest.raises(ForecastInputError, match="horizon_sessions"):
        coverage_tests(np.zeros(count, dtype=bool), 0.05, horizon)
