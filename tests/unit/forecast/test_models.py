"""What every registered model must satisfy; a new registry line is tested without a new test."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.base.types import FloatArray, IntArray
from pipeline.forecast.backtest import ForecastSpec, quantile_forecasts, volatility_forecasts
from pipeline.forecast.models import PANEL_MODELS, QUANTILE_MODELS, VOLATILITY_MODELS, QuantileModel, VolatilityModel
from pipeline.forecast.models.catalogue import UNDESCRIBED, note_of
from pipeline.forecast.models.probability_registry import PROBABILITY_MODELS
from pipeline.forecast.models.protocol import NOT_TRAINED, VOLATILITY_FLOOR_DAILY

HORIZONS = (1, 5, 21)
SEVERAL = 5
"""Sessions of the longer quantiles."""
Drawn = Callable[..., FloatArray]
Forecast = Callable[[FloatArray, slice], tuple[FloatArray, IntArray]]


def _of_volatility_model(number: int) -> Forecast:
    spec = ForecastSpec(volatility_models=(VOLATILITY_MODELS[number],))

    def forecast(returns: FloatArray, rows: slice) -> tuple[FloatArray, IntArray]:
        (made,) = volatility_forecasts(returns, spec, rows)
        return made.volatility_annual, made.trained_through

    return forecast


def _of_quantile_model(number: int) -> Forecast:
    spec = ForecastSpec(quantile_models=(QUANTILE_MODELS[number],))

    def forecast(returns: FloatArray, rows: slice) -> tuple[FloatArray, IntArray]:
        (made,) = quantile_forecasts(returns, spec, rows)
        return np.hstack([made.quantiles, made.shortfalls]), made.trained_through

    return forecast


def _of_several_sessions(number: int) -> Forecast:
    spec = ForecastSpec()

    def forecast(returns: FloatArray, rows: slice) -> tuple[FloatArray, IntArray]:
        span = range(*rows.indices(len(returns) + 1))
        made = QUANTILE_MODELS[number].forecast(returns, spec.levels, spec.shortfall_levels, span, SEVERAL)
        return np.hstack([made.quantiles, made.shortfalls]), made.trained_through

    return forecast


UNCOMPOUNDED = [
    *(
        pytest.param(_of_volatility_model(n), [m.minimum_returns(h) for h in HORIZONS], id=m.name)
        for n, m in enumerate(VOLATILITY_MODELS)
    ),
    *(pytest.param(_of_quantile_model(n), [m.minimum_returns] * 11, id=m.name) for n, m in enumerate(QUANTILE_MODELS)),
]
COMPOUNDED = [
    pytest.param(_of_several_sessions(n), [m.minimum_returns + SEVERAL - 1] * 11, id=f"{m.name}_{SEVERAL}d")
    for n, m in enumerate(QUANTILE_MODELS)
]
EVERY_MODEL = pytest.mark.parametrize(("forecast", "minimum_returns"), [*UNCOMPOUNDED, *COMPOUNDED])


def rows_to_try(minimum_returns: list[int], sessions: int) -> list[int]:
    """Around the first forecast, around every kind of window filling up, and some between."""
    edges = {n + step for n in minimum_returns for step in (-1, 0, 1, 20, 21)}
    drawn = np.random.default_rng(3).integers(min(minimum_returns), sessions, 24).tolist()
    return sorted({*edges, *drawn, 0, 1, 1021, 1022, 1023, sessions - 1})


def same(one: FloatArray, other: FloatArray) -> bool:
    """Equal to the last bit."""
    return one.shape == other.shape and one.tobytes() == other.tobytes()


@EVERY_MODEL
def test_a_forecast_does_not_change_when_later_returns_are_removed(
    forecast: Forecast, minimum_returns: list[int], long_returns: FloatArray
) -> None:
    values, trained = forecast(long_returns, slice(None))
    for row in rows_to_try(minimum_returns, len(values)):
        shorter, shorter_trained = forecast(long_returns[:row], slice(None))
        assert same(shorter, values[: row + 1]), row
        assert same(shorter_trained, trained[: row + 1]), row


@EVERY_MODEL
def test_a_forecast_does_not_change_when_later_returns_are_altered(
    forecast: Forecast, minimum_returns: list[int], long_returns: FloatArray
) -> None:
    values, trained = forecast(long_returns, slice(None))
    for row in rows_to_try(minimum_returns, len(values)):
        altered = long_returns.copy()
        altered[row:] = 0.01 - 2.0 * altered[row:][::-1]
        remade, retrained = forecast(altered, slice(None))
        assert same(remade[: row + 1], values[: row + 1]), row
        assert same(retrained[: row + 1], trained[: row + 1]), row


@EVERY_MODEL
def test_a_forecast_does_change_when_the_last_return_it_may_use_is_altered(
    forecast: Forecast, minimum_returns: list[int], long_returns: FloatArray
) -> None:
    """The guard of the two tests above: they would pass for a model that reads nothing."""
    row = max(minimum_returns) + 700
    altered = long_returns.copy()
    altered[row - 1] = 0.5
    values, _ = forecast(long_returns, slice(row, row + 1))
    remade, _ = forecast(altered, slice(row, row + 1))
    assert (values != remade).all()


@EVERY_MODEL
def test_a_forecast_does_not_depend_on_the_rows_asked_for(
    forecast: Forecast, minimum_returns: list[int], long_returns: FloatArray
) -> None:
    values, trained = forecast(long_returns, slice(None))
    starts = rows_to_try(minimum_returns, len(values))
    for start in starts:
        for length in (0, 1, 2, 22, 700):
            rows = slice(start, min(start + length, len(values)))
            part, part_trained = forecast(long_returns, rows)
            assert same(part, values[rows]), rows
            assert same(part_trained, trained[rows]), rows


@EVERY_MODEL
def test_there_is_no_number_before_the_model_has_its_sessions_and_always_one_after(
    forecast: Forecast, minimum_returns: list[int], long_returns: FloatArray
) -> None:
    values, trained = forecast(long_returns, slice(None))
    for column, first in enumerate(minimum_returns):
        assert np.isnan(values[:first, column]).all()
        assert np.isfinite(values[first:, column]).all()
    assert (trained[: min(minimum_returns)] == NOT_TRAINED).all()
    assert (trained[min(minimum_returns) :] >= 0).all()


@EVERY_MODEL
def test_no_model_is_trained_on_sessions_after_the_forecast(
    forecast: Forecast, minimum_returns: list[int], long_returns: FloatArray
) -> None:
    values, trained = forecast(long_returns, slice(None))
    rows = np.arange(min(minimum_returns), len(values))
    age = rows - trained[rows]
    assert age.min() == 0
    assert age.max() <= max(getattr(m, "refit_sessions", 1) for m in VOLATILITY_MODELS) - 1
    assert (np.diff(trained[rows]) >= 0).all()


@EVERY_MODEL
def test_a_series_shorter_than_the_model_asks_for_gives_no_number(
    forecast: Forecast, minimum_returns: list[int], drawn: Drawn
) -> None:
    for sessions in (0, 1, 21, min(minimum_returns) - 1):
        values, trained = forecast(drawn(max(sessions, 1))[:sessions], slice(None))
        assert values.shape == (sessions + 1, len(minimum_returns))
        assert np.isnan(values).all()
        assert (trained == NOT_TRAINED).all()


@pytest.mark.parametrize(("forecast", "minimum_returns"), UNCOMPOUNDED)
def test_a_forecast_scales_with_the_returns(
    forecast: Forecast, minimum_returns: list[int], long_returns: FloatArray
) -> None:
    """Volatility, quantiles and shortfalls are in the unit of the returns, as long as no floor binds."""
    small = long_returns / 4.0
    rows = slice(max(minimum_returns), None)
    np.testing.assert_allclose(forecast(long_returns / 2.0, rows)[0], 2.0 * forecast(small, rows)[0], rtol=1e-6)


@EVERY_MODEL
@pytest.mark.parametrize(
    "still",
    [slice(0, None), slice(0, 700), slice(700, None), slice(600, 1200), slice(0, 30)],
    ids=["always", "at first", "at last", "in between", "for a month"],
)
def test_a_price_that_stands_still_is_still_forecast(
    forecast: Forecast, minimum_returns: list[int], still: slice, drawn: Drawn
) -> None:
    returns = drawn(1_500)
    returns[still] = 0.0
    values, _ = forecast(returns, slice(max(minimum_returns), None))
    assert np.isfinite(values).all()
    assert np.abs(values).max() <= 20.0 * np.abs(returns).max() * np.sqrt(252) + VOLATILITY_FLOOR_DAILY * np.sqrt(252)


@pytest.mark.parametrize("model", VOLATILITY_MODELS, ids=lambda model: model.name)
def test_volatility_of_a_price_that_never_moves_is_the_floor(model: VolatilityModel) -> None:
    (made,) = volatility_forecasts(np.zeros(700), ForecastSpec(volatility_models=(model,)), slice(600, None))
    assert (made.volatility_annual == VOLATILITY_FLOOR_DAILY * np.sqrt(252)).all()


@pytest.mark.parametrize("model", QUANTILE_MODELS, ids=lambda model: model.name)
def test_quantiles_ascend_and_shortfalls_lie_beyond_them(model: QuantileModel, long_returns: FloatArray) -> None:
    (made,) = quantile_forecasts(long_returns, ForecastSpec(quantile_models=(model,)), slice(600, None))
    for one in (made, *made.longer):
        assert (np.diff(one.quantiles, axis=1) >= 0.0).all()
        assert (one.shortfalls >= -one.quantiles[:, :2]).all()
        assert (one.shortfalls[:, 0] >= one.shortfalls[:, 1]).all()


@pytest.mark.parametrize("model", QUANTILE_MODELS, ids=lambda model: model.name)
def test_no_scenario_loses_more_than_everything(model: QuantileModel, drawn: Drawn) -> None:
    returns = drawn(900)
    returns[::40] = -0.85
    returns[850:] = -0.85
    (made,) = quantile_forecasts(returns, ForecastSpec(quantile_models=(model,)), slice(890, None))
    for one in (made, *made.longer):
        assert one.quantiles.min() == -1.0
        assert one.shortfalls.max() == 1.0


def test_every_model_is_described() -> None:
    for model in (*VOLATILITY_MODELS, *PANEL_MODELS, *QUANTILE_MODELS, *PROBABILITY_MODELS):
        assert note_of(model.name) is not UNDESCRIBED, model.name


def test_names_of_models_are_unique() -> None:
    for names in ([m.name for m in VOLATILITY_MODELS], [m.name for m in QUANTILE_MODELS]):
        assert len(set(names)) == len(names)
