"""Forecasts as of every session of a series, and how they did.

Rows are positions among the t sessions of a series of prices; return i-1 leads into row i. A forecast depends on
the returns up to its row and on the first session of the series, never on the rows that were asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pipeline.base.types import BoolArray, FloatArray
from pipeline.forecast.models import (
    PANEL_MODELS,
    QUANTILE_MODELS,
    VOLATILITY_MODELS,
    PanelModel,
    QuantileModel,
    VolatilityModel,
)
from pipeline.forecast.models.conformal import Conformal
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.panel import Panel
from pipeline.forecast.models.panel_volatility import STAND_IN, panel_volatility
from pipeline.forecast.models.protocol import DailyVolatility, ReturnDistribution, stand_in_of
from pipeline.forecast.models.records import LongerQuantiles, QuantileForecasts, VolatilityForecasts
from pipeline.forecast.models.scores import (
    REALISED_VARIANCE_FLOOR_DAILY,
    coverage,
    kupiec_p_value,
    pinball_error,
    qlike_error,
    realised_variance,
)

TRADING_DAYS_PER_YEAR = 252


@dataclass(frozen=True, slots=True)
class ForecastSpec:
    """What is forecast, and by which models.

    Parameters
    ----------
    horizons_sessions
        Horizons of the volatility forecasts.
    levels
        Quantile levels of the return, ascending.
    shortfall_levels
        Levels of the expected shortfall.
    periods_per_year
        Sessions per year, for annualising.
    quantile_horizons_sessions
        Horizons of quantiles and shortfalls, the next session first.
    volatility_models, quantile_models, panel_models
        The registered models.
    """

    horizons_sessions: tuple[int, ...] = (1, 5, 21)
    levels: tuple[float, ...] = (0.01, 0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975, 0.99)
    shortfall_levels: tuple[float, ...] = (0.01, 0.025)
    periods_per_year: int = TRADING_DAYS_PER_YEAR
    volatility_models: tuple[VolatilityModel, ...] = VOLATILITY_MODELS
    quantile_models: tuple[QuantileModel, ...] = QUANTILE_MODELS
    panel_models: tuple[PanelModel, ...] = PANEL_MODELS
    quantile_horizons_sessions: tuple[int, ...] = (1, 5)

    def __post_init__(self) -> None:
        if not self.horizons_sessions or min(self.horizons_sessions) < 1:
            raise ForecastInputError(f"horizons_sessions={self.horizons_sessions}: give horizons of at least 1 session")
        for name, levels in (("levels", self.levels), ("shortfall_levels", self.shortfall_levels)):
            if not levels or not all(0.0 < level < 1.0 for level in levels):
                raise ForecastInputError(f"{name}={levels}: give fractions between 0 and 1, such as 0.01")
        if list(self.levels) != sorted(set(self.levels)):
            raise ForecastInputError(f"levels={self.levels}: give each level once, ascending")
        horizons = self.quantile_horizons_sessions
        if horizons[:1] != (1,) or list(horizons) != sorted(set(horizons)):
            raise ForecastInputError(f"quantile_horizons_sessions={horizons}: give 1, then longer ones, ascending")
        if self.periods_per_year < 1:
            raise ForecastInputError(f"periods_per_year={self.periods_per_year}: give at least 1")


@dataclass(frozen=True, slots=True)
class VolatilityScore:
    """How a model's volatility forecasts did at one horizon; lower is better."""

    model: str
    horizon_sessions: int
    forecasts: int
    qlike_error: float


@dataclass(frozen=True, slots=True)
class QuantileScore:
    """How a model's quantile forecasts did at one level."""

    model: str
    level: float
    forecasts: int
    pinball_error: float
    coverage: float
    kupiec_p_value: float


_Forecasts = TypeVar("_Forecasts", VolatilityForecasts, QuantileForecasts)


def volatility_forecasts(
    returns: FloatArray, spec: ForecastSpec, rows: slice = slice(None)
) -> tuple[VolatilityForecasts, ...]:
    """Forecast volatility as of each of `rows`, by each model.

    Parameters
    ----------
    returns
        (t-1,) simple returns from the first session of the series.
    rows
        Sessions to forecast at, as positions among the t.

    Raises
    ------
    ForecastInputError
        For NaN, infinity, a return of -1 or less, or rows outside the series.
    """
    span = _span(_require_returns(returns), rows)
    return tuple(
        _volatility_record(model, model.forecast(returns, spec.horizons_sessions, span), span, spec)
        for model in spec.volatility_models
    )


def panel_volatility_forecasts(
    panel: Panel, spec: ForecastSpec, rows: Sequence[slice]
) -> tuple[tuple[VolatilityForecasts, ...], ...]:
    """Forecast volatility of every instrument of a panel, by each model of single series and each of the panel.

    Parameters
    ----------
    rows
        (n) own sessions of each instrument to forecast at; an empty slice for none.

    Raises
    ------
    ForecastInputError
        For rows outside the series.
    """
    spans = [_span(member.returns, own) for member, own in zip(panel.members, rows, strict=True)]
    models: tuple[VolatilityModel | PanelModel, ...] = (*spec.volatility_models, *spec.panel_models)
    made = panel_volatility(panel, spec.horizons_sessions, spec.volatility_models, spec.panel_models, spans)
    return tuple(
        tuple(_volatility_record(model, one.daily, span, spec) for model, one in zip(models, own, strict=True))
        for own, span in zip(made, spans, strict=True)
    )


def quantile_forecasts(
    returns: FloatArray, spec: ForecastSpec, rows: slice = slice(None), daily: FloatArray | None = None
) -> tuple[QuantileForecasts, ...]:
    """Forecast the distribution of the next return, and of longer ones, as of each of `rows`, by each model.

    Parameters and errors as in `volatility_forecasts`.

    Parameters
    ----------
    daily
        (t, k) volatility a session over each of `quantile_horizons_sessions` by the panel's combination, for the models
        that filter by it; NaN up to its first. None where there is no panel: a simpler filter stands in.
    """
    span = _span(_require_returns(returns), rows)
    filters = [None if daily is None else daily[:, column] for column in range(len(spec.quantile_horizons_sessions))]
    return tuple(
        _quantile_record(
            model,
            [
                _distribution(model, returns, spec, span, (horizon, own))
                for horizon, own in zip(spec.quantile_horizons_sessions, filters, strict=True)
            ],
            span,
            spec,
        )
        for model in spec.quantile_models
    )


def _distribution(
    model: QuantileModel,
    returns: FloatArray,
    spec: ForecastSpec,
    span: range,
    over: tuple[int, FloatArray | None],
) -> ReturnDistribution:
    """Over a horizon, filtered by a volatility where there is one and the model takes it."""
    horizon, daily = over
    if daily is not None and isinstance(model, Conformal):
        return model.on(returns, daily, spec.levels, spec.shortfall_levels, span, horizon)
    return model.forecast(returns, spec.levels, spec.shortfall_levels, span, horizon)


def _volatility_record(
    model: VolatilityModel | PanelModel, made: DailyVolatility, span: range, spec: ForecastSpec
) -> VolatilityForecasts:
    return VolatilityForecasts(
        model=model.name,
        model_version=model.version,
        horizons_sessions=spec.horizons_sessions,
        as_of=np.arange(span.start, span.stop),
        trained_through=made.trained_through,
        volatility_annual=made.values * math.sqrt(spec.periods_per_year),
        periods_per_year=spec.periods_per_year,
        stand_in=stand_in_of(model) or STAND_IN.name,
        stands_in=made.stands_in,
    )


def _quantile_record(
    model: QuantileModel, made: Sequence[ReturnDistribution], span: range, spec: ForecastSpec
) -> QuantileForecasts:
    following, *longer = made
    return QuantileForecasts(
        model=model.name,
        model_version=model.version,
        levels=spec.levels,
        shortfall_levels=spec.shortfall_levels,
        as_of=np.arange(span.start, span.stop),
        trained_through=following.trained_through,
        quantiles=following.quantiles,
        shortfalls=following.shortfalls,
        longer=tuple(
            LongerQuantiles(horizon, each.quantiles, each.shortfalls)
            for horizon, each in zip(spec.quantile_horizons_sessions[1:], longer, strict=True)
        ),
        stand_in=stand_in_of(model),
        stands_in=following.stands_in,
    )


def latest_volatility(returns: FloatArray, spec: ForecastSpec) -> tuple[VolatilityForecasts, ...]:
    """Forecast volatility as of the newest session.

    Raises
    ------
    ForecastInputError
        Also if the series is too short for a model.
    """
    longest = max(spec.horizons_sessions)
    for model in spec.volatility_models:
        _require_length(returns, model.name, model.minimum_returns(longest))
    return volatility_forecasts(returns, spec, slice(len(returns), None))


def latest_quantiles(returns: FloatArray, spec: ForecastSpec) -> tuple[QuantileForecasts, ...]:
    """Forecast the distribution of returns as of the newest session; errors as in `latest_volatility`.

    A longer horizon than the next session has NaN where the series is too short for it; see `quantile_needs`.
    """
    for model in spec.quantile_models:
        _require_length(returns, model.name, model.minimum_returns)
    return quantile_forecasts(returns, spec, slice(len(returns), None))


def volatility_needs(spec: ForecastSpec) -> dict[str, dict[int, int]]:
    """Model → horizon → returns before its first forecast; a panel's model has its stand-in's."""
    needs = {m.name: {h: m.minimum_returns(h) for h in spec.horizons_sessions} for m in spec.volatility_models}
    stand_in = {horizon: STAND_IN.minimum_returns(horizon) for horizon in spec.horizons_sessions}
    return needs | {model.name: stand_in for model in spec.panel_models}


def quantile_needs(spec: ForecastSpec) -> dict[str, dict[int, int]]:
    """Model → horizon → returns before its first forecast: a longer one needs its scenarios complete."""
    horizons = spec.quantile_horizons_sessions
    return {m.name: {h: m.minimum_returns + h - 1 for h in horizons} for m in spec.quantile_models}


def score_volatility(forecasts: Sequence[VolatilityForecasts], returns: FloatArray) -> tuple[VolatilityScore, ...]:
    """Score each model at each horizon on the rows that every model forecast and whose horizon is complete.

    Realised variances below `REALISED_VARIANCE_FLOOR_DAILY` count as it.

    Parameters
    ----------
    forecasts
        Of the same rows and horizons, one a model.
    returns
        (t-1,) simple returns of the series.

    Raises
    ------
    ForecastInputError
        If the forecasts differ in rows or horizons, or no row can be scored.
    """
    first = _same_rows(forecasts)
    if any(f.horizons_sessions != first.horizons_sessions for f in forecasts):
        raise ForecastInputError("forecasts: their horizons differ; score forecasts of one ForecastSpec")
    scores = []
    for column, horizon in enumerate(first.horizons_sessions):
        realised = realised_variance(returns, horizon, first.as_of)
        daily = [f.volatility_annual[:, column] ** 2 / f.periods_per_year for f in forecasts]
        known = _known(realised, daily)
        floored = np.maximum(realised[known], REALISED_VARIANCE_FLOOR_DAILY)
        for forecast, variance in zip(forecasts, daily, strict=True):
            error = qlike_error(floored, variance[known])
            scores.append(VolatilityScore(forecast.model, horizon, int(known.sum()), error))
    return tuple(scores)


def score_quantiles(forecasts: Sequence[QuantileForecasts], returns: FloatArray) -> tuple[QuantileScore, ...]:
    """Score each model at each level on the rows that every model forecast and that have a next return.

    Parameters and errors as in `score_volatility`.
    """
    first = _same_rows(forecasts)
    if any(f.levels != first.levels for f in forecasts):
        raise ForecastInputError("forecasts: their levels differ; score forecasts of one ForecastSpec")
    realised = np.append(returns, np.nan)[first.as_of]
    known = _known(realised, [f.quantiles[:, 0] for f in forecasts])
    return tuple(
        _quantile_score(forecast.model, level, realised[known], forecast.quantiles[known, column])
        for column, level in enumerate(first.levels)
        for forecast in forecasts
    )


def _quantile_score(model: str, level: float, realised: FloatArray, quantile: FloatArray) -> QuantileScore:
    return QuantileScore(
        model=model,
        level=level,
        forecasts=len(realised),
        pinball_error=pinball_error(realised, quantile, level),
        coverage=coverage(realised, quantile),
        kupiec_p_value=kupiec_p_value(int((realised < quantile).sum()), len(realised), level),
    )


def _span(returns: FloatArray, rows: slice) -> range:
    """The rows as a range among the t = len(returns) + 1 sessions."""
    sessions = len(returns) + 1
    start = 0 if rows.start is None else rows.start
    stop = sessions if rows.stop is None else rows.stop
    if not 0 <= start <= stop <= sessions or rows.step not in (None, 1):
        raise ForecastInputError(f"rows: {rows} of {sessions} sessions; give a slice inside the series with step 1")
    return range(start, stop)


def _require_returns(returns: FloatArray) -> FloatArray:
    if returns.ndim != 1:
        raise ForecastInputError(f"returns: shape {returns.shape}; give one series")
    if not np.isfinite(returns).all():
        raise ForecastInputError("returns: NaN or infinite; drop those sessions or repair their prices")
    if (returns <= -1.0).any():
        raise ForecastInputError("returns: -1 or less, after which there is no price; give fractions, not percent")
    return returns


def _require_length(returns: FloatArray, model: str, minimum_returns: int) -> None:
    if len(returns) < minimum_returns:
        raise ForecastInputError(f"returns: {len(returns)} given, {model} needs at least {minimum_returns}")


def _same_rows(forecasts: Sequence[_Forecasts]) -> _Forecasts:
    """The first of forecasts that must all be of the same rows."""
    if not forecasts:
        raise ForecastInputError("forecasts: none given")
    if any(not np.array_equal(f.as_of, forecasts[0].as_of) for f in forecasts):
        raise ForecastInputError("forecasts: their rows differ; score forecasts of the same rows")
    return forecasts[0]


def _known(realised: FloatArray, forecasts: Sequence[FloatArray]) -> BoolArray:
    known: BoolArray = np.isfinite(realised)
    for forecast in forecasts:
        known &= np.isfinite(forecast)
    return known
