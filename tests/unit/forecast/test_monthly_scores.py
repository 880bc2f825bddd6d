"""Scores by month, what they say together, and that nothing later changes them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pytest

from pipeline.base.types import DateArray, FloatArray
from pipeline.forecast.backtest import ForecastSpec, quantile_forecasts, volatility_forecasts
from pipeline.forecast.models.baselines import Constant, Historical
from pipeline.forecast.models.evaluation import (
    ScoredMonths,
    best_model,
    evaluate,
    past_relative_loss,
)
from pipeline.forecast.models.kinds import is_quantile, level_of, quantile_kind, shortfall_kind, target_of
from pipeline.forecast.models.monthly_scores import (
    Distributions,
    Losses,
    Past,
    distribution_losses,
    hits_of,
    monthly_columns,
    variance_losses,
)

SPEC = ForecastSpec()


def business_days(count: int) -> DateArray:
    days = np.arange("2015-01-01", "2030-01-01", dtype="datetime64[D]")
    return days[np.is_busday(days)][:count]


def all_losses(returns: FloatArray, rows: slice) -> list[Losses]:
    sessions = business_days(len(returns) + 1)
    past = Past(sessions, returns, rows)
    every = range(len(sessions))
    volatilities = {made.model: made.volatility_annual for made in volatility_forecasts(returns, SPEC)}
    volatilities["constant"] = Constant().forecast(returns, SPEC.horizons_sessions, every).values * np.sqrt(252)
    found = {m.model: Distributions(m.quantiles, m.shortfalls) for m in quantile_forecasts(returns, SPEC)}
    naive = Historical().forecast(returns, SPEC.levels, SPEC.shortfall_levels, every)
    found["historical"] = Distributions(naive.quantiles, naive.shortfalls)
    return [
        *variance_losses(past, SPEC.horizons_sessions, volatilities, {"har": "ewma", "ewma": "constant"}, 252),
        *distribution_losses(past, SPEC.levels, SPEC.shortfall_levels, found, {"filtered_historical": "historical"}),
    ]


def test_a_forecast_counts_in_the_month_in_which_its_horizon_ends(drawn: Callable[..., FloatArray]) -> None:
    returns = drawn(700)
    sessions = business_days(701)
    rows = slice(650, 701)
    for losses in all_losses(returns, rows):
        assert losses.ends.tolist() == sessions[650:].tolist()
        assert len(losses.losses) == len(losses.baseline_losses) == 51


def test_cutting_the_future_changes_no_score(drawn: Callable[..., FloatArray]) -> None:
    returns = drawn(760)
    whole = all_losses(returns, slice(0, 761))
    cut = all_losses(returns[:700], slice(0, 701))
    last = business_days(701)[-1]
    assert len(whole) == len(cut) == 6 + 11
    for one, other in zip(whole, cut, strict=True):
        known = one.ends <= last
        assert np.array_equal(one.ends[known], other.ends)
        assert np.array_equal(one.losses[known], other.losses)
        assert np.array_equal(one.baseline_losses[known], other.baseline_losses)


def test_only_sessions_count_that_both_forecast() -> None:
    past = Past(business_days(5), np.array([0.01, -0.02, 0.03, 0.01]), slice(0, 5))
    made = {
        "a": np.array([[0.1], [np.nan], [0.1], [0.1], [0.1]]),
        "b": np.array([[0.2], [0.2], [np.nan], [0.2], [0.2]]),
    }
    (losses,) = variance_losses(past, (1,), made, {"a": "b"}, 252)
    assert losses.ends.tolist() == past.sessions[[1, 4]].tolist()
    assert list(variance_losses(past, (1,), {"a": np.full((5, 1), np.nan), "b": made["b"]}, {"a": "b"}, 252)) == []


def test_months_are_means_and_hits_are_bits() -> None:
    ends = business_days(30)  # 22 sessions of January 2015, 8 of February
    hits = np.zeros(30, dtype=bool)
    hits[[0, 21, 22]] = True
    values = np.arange(30, dtype=np.float64)
    rows = monthly_columns(Losses("quantile_0.01", "m", "historical", 1, ends, values, 2 * values, hits=hits))
    assert rows["month"].tolist() == [date(2015, 1, 1), date(2015, 2, 1)]
    assert rows["forecasts"].tolist() == [22, 8]
    assert rows["loss"].tolist() == [values[:22].mean(), values[22:].mean()]
    assert rows["baseline_loss"].tolist() == [2 * values[:22].mean(), 2 * values[22:].mean()]
    assert rows["hits"].tolist() == [2, 1]
    assert rows["hit_bits"].tolist() == [1 + (1 << 21), 1]
    assert np.isnan(rows["squared_error"]).all()
    assert np.array_equal(hits_of(rows["forecasts"].astype(int), rows["hit_bits"].astype(int)), hits)


def test_hits_of_any_months_come_back() -> None:
    draw = np.random.default_rng(2)
    for _ in range(20):
        ends, hits = business_days(int(draw.integers(1, 300))), draw.random(300) < 0.3
        hits = hits[: len(ends)]
        zeros = np.zeros(len(ends))
        rows = monthly_columns(Losses("quantile_0.5", "m", "b", 1, ends, zeros, zeros, hits=hits))
        assert np.array_equal(hits_of(rows["forecasts"].astype(int), rows["hit_bits"].astype(int)), hits)


def test_kinds_have_the_names_of_the_export() -> None:
    assert [quantile_kind(level) for level in SPEC.levels] == [
        "quantile_0.01",
        "quantile_0.025",
        "quantile_0.05",
        "quantile_0.25",
        "quantile_0.5",
        "quantile_0.75",
        "quantile_0.95",
        "quantile_0.975",
        "quantile_0.99",
    ]
    assert [level_of(kind) for kind in ("variance", "quantile_0.05", "es_0.025")] == [None, 0.05, 0.025]
    assert [is_quantile(kind) for kind in ("variance", "quantile_0.05", "es_0.025")] == [False, True, False]
    assert [target_of(kind) for kind in ("variance", shortfall_kind(0.01))] == ["volatility", "distribution"]


# What scores say ----------------------------------------------------------------------------------------


def months_of(count: int, loss: FloatArray, baseline: FloatArray) -> ScoredMonths:
    months = (np.datetime64("2015-01", "M") + np.arange(count)).astype("datetime64[D]")
    counts, missing = np.full(count, 20), np.full(count, np.nan)
    return ScoredMonths(months, counts, np.zeros(count, dtype=np.int64), loss, baseline, missing, missing)


def test_an_evaluation_is_of_all_forecasts() -> None:
    draw = np.random.default_rng(4)
    loss, baseline = draw.random(24) + 0.5, draw.random(24) + 1.0
    found = evaluate("variance", months_of(24, loss, baseline))
    assert (found.forecasts, found.first_month, found.last_month) == (480, date(2015, 1, 1), date(2016, 12, 1))
    assert found.loss == pytest.approx(loss.sum() / 480)
    assert found.relative_loss == pytest.approx(loss.sum() / baseline.sum())
    assert found.diebold_mariano.value is not None
    assert found.diebold_mariano.value < 0
    assert (found.squared_error, found.coverage, found.tests, found.passed, found.level) == (None,) * 5


def test_hits_of_one_instrument_are_tested_and_those_of_several_are_counted() -> None:
    draw = np.random.default_rng(4)
    good, bad = draw.random(480) < 0.05, draw.random(480) < 0.5
    scored = months_of(24, np.ones(24), np.ones(24))
    one = evaluate("quantile_0.05", scored, [good])
    assert one.tests is not None
    assert one.tests.hits == good.sum()
    several = evaluate("quantile_0.05", scored, [good, bad])
    assert several.tests is None
    assert several.passed is not None
    assert (several.passed.kupiec, several.passed.instruments) == (1, 2)


def test_a_champion_is_chosen_by_what_was_known() -> None:
    """Whatever comes later, the choice of a month is what it was."""
    draw = np.random.default_rng(6)
    loss, baseline = draw.random(100), draw.random(100) + 0.2
    at = np.datetime64("2021-01-01")  # month 72
    before = past_relative_loss({("variance", 1): months_of(100, loss, baseline)}, at)
    changed = np.append(loss[:72], np.full(28, 1e6))
    assert past_relative_loss({("variance", 1): months_of(100, changed, baseline)}, at) == before
    assert before == pytest.approx(loss[12:72].sum() / baseline[12:72].sum())
    cut = months_of(72, loss[:72], baseline[:72])
    assert past_relative_loss({("variance", 1): cut}, at) == before


def test_few_months_and_shortfalls_choose_nobody() -> None:
    few = months_of(11, np.ones(11), np.ones(11))
    many = months_of(40, np.ones(40), np.ones(40))
    at = np.datetime64("2018-01-01")
    assert past_relative_loss({("variance", 1): few}, at) is None
    assert past_relative_loss({("es_0.01", 1): many}, at) is None
    assert past_relative_loss({("variance", 1): few, ("variance", 5): many}, at) == 1.0


def test_the_best_has_the_least_loss() -> None:
    assert best_model({"b": 0.9, "a": 1.0, "c": None}) == "b"
    assert best_model({"b": 1.0, "a": 1.0}) == "a"
    assert best_model({"a": None}) is None
