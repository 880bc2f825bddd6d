"""Rows, units, columns and errors of backtests."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.forecast.backtest import (
    ForecastSpec,
    latest_quantiles,
    latest_volatility,
    quantile_forecasts,
    quantile_needs,
    score_quantiles,
    score_volatility,
    volatility_forecasts,
    volatility_needs,
)
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.ewma import Ewma
from pipeline.forecast.models.har import Har
from pipeline.store.quantile_forecasts import LONGER_HORIZON, QUANTILE_FORECAST, QUANTILE_LEVELS, SHORTFALL_LEVELS
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST

Drawn = Callable[..., FloatArray]
SPEC = ForecastSpec()
SESSIONS = np.datetime64("2001-01-01") + np.arange(701)
BY_THE_WRITE = {"instrument_id", "materialization_id"}


@pytest.mark.parametrize(
    ("table", "forecasts"), [(VOLATILITY_FORECAST, volatility_forecasts), (QUANTILE_FORECAST, quantile_forecasts)]
)
def test_forecasts_fill_every_column_of_their_table(table, forecasts, drawn: Drawn) -> None:
    for made in forecasts(drawn(700), SPEC, slice(500, None)):
        columns = made.columns(SESSIONS)
        assert set(columns) | BY_THE_WRITE == {column.name for column in table.columns}
        assert {len(values) for values in columns.values()} == {int((made.trained_through >= 0).sum())}


def test_columns_hold_the_forecasts_under_their_names(drawn: Drawn) -> None:
    returns = drawn(700)
    ewma, har, _ = volatility_forecasts(returns, SPEC, slice(540, 600))
    columns = har.columns(SESSIONS)
    assert columns["as_of"].tolist() == SESSIONS[546:600].tolist()
    assert columns["trained_through"][20:22].tolist() == [SESSIONS[546], SESSIONS[567]]
    assert (columns["volatility_21d"] == har.volatility_annual[6:, 2]).all()
    assert set(columns["model"].tolist()) == {b"har"}
    assert len(ewma.columns(SESSIONS)["as_of"]) == 60
    fhs, _ = quantile_forecasts(returns, SPEC, slice(540, 600))
    made = fhs.columns(SESSIONS)
    assert (made["quantile_0975"] == fhs.quantiles[:, 7]).all()
    assert (made["es_0025"] == fhs.shortfalls[:, 1]).all()
    assert set(made["horizon_sessions"].tolist()) == {1}


def test_default_levels_are_those_of_the_table() -> None:
    assert SPEC.levels == QUANTILE_LEVELS
    assert SPEC.shortfall_levels == SHORTFALL_LEVELS
    assert SPEC.quantile_horizons_sessions == (1, LONGER_HORIZON)


def test_volatility_is_annualised_by_the_square_root_of_time(drawn: Drawn) -> None:
    returns = drawn(100)
    (ewma,) = volatility_forecasts(returns, ForecastSpec(volatility_models=(Ewma(),)), slice(100, None))
    daily = Ewma().daily_volatility(returns)[-1]
    assert ewma.volatility_annual.tolist() == [[daily * math.sqrt(252)] * 3]


@pytest.mark.parametrize(
    ("bad", "message"),
    [(math.nan, "NaN or infinite"), (math.inf, "NaN or infinite"), (-1.0, "-1 or less"), (-7.0, "-1 or less")],
)
@pytest.mark.parametrize("position", [0, 350, 699])
@pytest.mark.parametrize("forecasts", [volatility_forecasts, quantile_forecasts])
def test_returns_that_cannot_be_are_refused_wherever_they_are(forecasts, bad, message, position, drawn: Drawn) -> None:
    returns = drawn(700)
    returns[position] = bad
    with pytest.raises(ForecastInputError, match=message):
        forecasts(returns, SPEC, slice(600, 650))


def test_a_panel_is_refused() -> None:
    with pytest.raises(ForecastInputError, match="give one series"):
        volatility_forecasts(np.zeros((700, 2)), SPEC)


@pytest.mark.parametrize("rows", [slice(-1, None), slice(0, 702), slice(5, 4), slice(0, 10, 2)])
def test_rows_outside_the_series_are_refused(rows: slice, drawn: Drawn) -> None:
    with pytest.raises(ForecastInputError, match="701 sessions"):
        volatility_forecasts(drawn(700), SPEC, rows)


def test_the_latest_forecast_is_the_last_row(drawn: Drawn) -> None:
    returns = drawn(700)
    for latest, full in zip(latest_volatility(returns, SPEC), volatility_forecasts(returns, SPEC), strict=True):
        assert latest.volatility_annual.tolist() == full.volatility_annual[-1:].tolist()
        assert latest.as_of.tolist() == [700]
    for latest, full in zip(latest_quantiles(returns, SPEC), quantile_forecasts(returns, SPEC), strict=True):
        assert latest.quantiles.tolist() == full.quantiles[-1:].tolist()


@pytest.mark.parametrize(
    ("latest", "sessions", "message"),
    [
        (latest_volatility, 545, "har needs at least 546"),
        (latest_quantiles, 521, "filtered_historical needs at least 522"),
    ],
)
def test_a_series_too_short_for_a_latest_forecast_is_refused(latest, sessions, message, drawn: Drawn) -> None:
    assert len(latest(drawn(sessions + 1), SPEC)) > 0
    with pytest.raises(ForecastInputError, match=f"{sessions} given, {message}"):
        latest(drawn(sessions), SPEC)


def test_a_model_needs_what_its_first_forecast_has_seen(drawn: Drawn) -> None:
    returns, needs = drawn(700), volatility_needs(SPEC)
    found = {
        (made.model, horizon): int(np.flatnonzero(np.isfinite(made.volatility_annual[:, column]))[0])
        for made in volatility_forecasts(returns, SPEC)
        for column, horizon in enumerate(SPEC.horizons_sessions)
    }
    assert found == {(m.name, h): needs[m.name][h] for m in SPEC.volatility_models for h in SPEC.horizons_sessions}
    assert needs.keys() - {model.name for model in SPEC.volatility_models} == {"pooled_panel", "combination"}
    first = {
        made.model: {1: made.quantiles[:, 0], 5: made.longer[0].quantiles[:, 0]}
        for made in quantile_forecasts(returns, SPEC)
    }
    assert {
        model: {horizon: int(np.flatnonzero(np.isfinite(values))[0]) for horizon, values in own.items()}
        for model, own in first.items()
    } == quantile_needs(SPEC)


def test_models_are_scored_on_the_rows_that_all_of_them_forecast(drawn: Drawn) -> None:
    returns = drawn(700)
    scores = score_volatility(volatility_forecasts(returns, SPEC), returns)
    names = [model.name for model in SPEC.volatility_models]
    assert [(s.model, s.horizon_sessions) for s in scores] == [(m, h) for h in (1, 5, 21) for m in names]
    # Rows 546 to 700 - h.
    assert [s.forecasts for s in scores] == [count for count in (154, 150, 134) for _ in names]


def test_a_score_is_the_loss_of_the_row_and_what_followed_it() -> None:
    returns = np.r_[np.full(22, 0.01), 0.02, 0.0]
    spec = ForecastSpec(volatility_models=(Ewma(),), horizons_sessions=(1, 2))
    one, two = score_volatility(volatility_forecasts(returns, spec, slice(22, 23)), returns)
    assert one.qlike_error == pytest.approx(4.0 - math.log(4.0) - 1.0)
    assert two.qlike_error == pytest.approx(2.0 - math.log(2.0) - 1.0)
    # After a session without a move the realised variance counts as a tenth of a percent squared.
    (still, _) = score_volatility(
        volatility_forecasts(returns, replace(spec, horizons_sessions=(1, 1)), slice(23, 24)), returns
    )
    ratio = 1e-6 / (0.94 * 1e-4 + 0.06 * 4e-4)
    assert still.qlike_error == pytest.approx(ratio - math.log(ratio) - 1.0)


def test_quantile_scores_use_the_next_return(drawn: Drawn) -> None:
    returns = drawn(700)
    forecasts = quantile_forecasts(returns, SPEC, slice(600, None))
    scores = score_quantiles(forecasts[:1], returns)
    assert [s.level for s in scores] == list(SPEC.levels)
    for column, score in enumerate(scores):
        below = [returns[row] < forecasts[0].quantiles[row - 600, column] for row in range(600, 700)]
        assert score.forecasts == 100
        assert score.coverage == sum(below) / 100
        assert 0.0 <= score.kupiec_p_value <= 1.0
        assert score.pinball_error > 0.0


def test_forecasts_that_cannot_be_compared_are_refused(drawn: Drawn) -> None:
    returns = drawn(700)
    some = volatility_forecasts(returns, SPEC, slice(600, None))
    fewer = volatility_forecasts(returns, SPEC, slice(601, None))
    shorter = volatility_forecasts(returns, replace(SPEC, horizons_sessions=(1, 5)), slice(600, None))
    quantiles = quantile_forecasts(returns, SPEC, slice(600, None))
    coarser = quantile_forecasts(returns, replace(SPEC, levels=(0.5,)), slice(600, None))
    for forecasts, message in (
        ([*some, *fewer], "rows differ"),
        ([*some, *shorter], "horizons differ"),
        ([], "none given"),
    ):
        with pytest.raises(ForecastInputError, match=message):
            score_volatility(forecasts, returns)
    with pytest.raises(ForecastInputError, match="levels differ"):
        score_quantiles([*quantiles, *coarser], returns)


@pytest.mark.parametrize(
    "parameters",
    [
        {"horizons_sessions": ()},
        {"horizons_sessions": (0, 5)},
        {"levels": (0.0, 0.5)},
        {"levels": (0.5, 0.1)},
        {"levels": (0.5, 0.5)},
        {"shortfall_levels": (1.0,)},
        {"periods_per_year": 0},
    ],
    ids=str,
)
def test_an_impossible_spec_names_its_field(parameters) -> None:
    with pytest.raises(ForecastInputError, match=next(iter(parameters))):
        ForecastSpec(**parameters)


def test_a_model_with_other_parameters_needs_no_registry_line(drawn: Drawn) -> None:
    spec = ForecastSpec(volatility_models=(Ewma(decay=0.97), Har(minimum_targets=100)))
    slow, har = volatility_forecasts(drawn(300), spec)
    assert np.isfinite(slow.volatility_annual[22:]).all()
    assert np.isfinite(har.volatility_annual[147:]).all()
