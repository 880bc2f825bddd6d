"""Asset ``forecast_scores``: how the forecasts of the past did, beside naive ones; and the register of models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np

from pipeline.base.types import DateArray, FloatArray, MonthRange
from pipeline.forecast.assets.champions_page import champions_page
from pipeline.forecast.assets.drift_checks import SCORE_DRIFT, check_scores
from pipeline.forecast.assets.probability_scores import probability_score_columns
from pipeline.forecast.assets.registering import register_models, scored_months
from pipeline.forecast.assets.series import InstrumentSeries, read_series
from pipeline.forecast.backtest import ForecastSpec
from pipeline.forecast.models.baselines import Constant, Historical, baseline_of
from pipeline.forecast.models.monthly_scores import (
    Distributions,
    Losses,
    Past,
    distribution_losses,
    monthly_columns,
    variance_losses,
)
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.store.forecast_scores import FORECAST_SCORE
from pipeline.store.packed_series import Series
from pipeline.store.packed_series import read_series as read_packed
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST, quantile_name, shortfall_name
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST
from pipeline.store.writing import Write, concatenated

FORECAST_MONTHS = 3
"""21 sessions reach into the second month before; one more for sessions without a price."""
PRICE_MONTHS = 52
"""The constant looks back over 1,000 sessions, 48 months, from a forecast that is up to three months older."""

SPEC = ForecastSpec()
_HORIZONS = tuple(f"volatility_{horizon}d" for horizon in SPEC.horizons_sessions)
_QUANTILES = {h: tuple(quantile_name(level, h) for level in SPEC.levels) for h in SPEC.quantile_horizons_sessions}
_SHORTFALLS = {
    h: tuple(shortfall_name(level, h) for level in SPEC.shortfall_levels) for h in SPEC.quantile_horizons_sessions
}

Stored = Mapping[str, Series]
"""Model → forecasts of one instrument."""


def score_figures(rows: Columns) -> dict[str, float]:
    """Over the instruments of a month: QLIKE over EWMA's, and how often the 1 % quantile was missed."""
    figures = {}
    for horizon in (1, 21):
        one = (rows["kind"] == b"variance") & (rows["model"] == b"har") & (rows["horizon_sessions"] == horizon)
        if one.any():
            figures[f"har_qlike_{horizon}d_over_ewma_ratio"] = float(
                rows["loss"][one].mean() / rows["baseline_loss"][one].mean()
            )
    tail = (rows["kind"] == b"quantile_0.01") & (rows["horizon_sessions"] == 1)
    if tail.any():
        count = rows["forecasts"][tail].sum()
        figures["returns_below_quantile_01_fraction"] = float(rows["hits"][tail].sum() / count)
        figures["pinball_01_over_historical_ratio"] = float(
            rows["loss"][tail].mean() / rows["baseline_loss"][tail].mean()
        )
    return figures


@TableAsset(
    table=FORECAST_SCORE,
    location="forecast",
    inputs={
        "instruments": None,
        "prices": PRICE_MONTHS,
        "volatility_forecast": FORECAST_MONTHS,
        "quantile_forecast": FORECAST_MONTHS,
        "probability_forecast": FORECAST_MONTHS,
    },
    figures=score_figures,
    headline="loss",
    headline_subject={"kind": "variance", "model": "har", "horizon_sessions": 21},
    check_specs=(SCORE_DRIFT,),
)
def forecast_scores(write: Write, months: MonthRange) -> Produced:
    """Losses of every stored forecast whose horizon has passed, beside a naive one, by month."""
    return Produced(
        concatenated(
            FORECAST_SCORE,
            chain(_score_columns(write, months), probability_score_columns(write, months, FORECAST_MONTHS)),
        ),
        empty_because="no forecast's horizon ended in this month",
        after_write=lambda _: register_models(write),
        checks_after_write=lambda: (check_scores(scored_months(write)),),
        metadata_after_write=lambda: champions_page(write),
    )


def _score_columns(write: Write, months: MonthRange) -> Iterator[Columns]:
    since, subject = months.back(FORECAST_MONTHS), ("instrument_id", "model")
    volatilities = read_packed(write.connection, VOLATILITY_FORECAST, subject, _HORIZONS, since, months.end)
    names = [name for h in SPEC.quantile_horizons_sessions for name in (*_QUANTILES[h], *_SHORTFALLS[h])]
    quantiles = read_packed(write.connection, QUANTILE_FORECAST, subject, names, since, months.end)
    stored = (_by_instrument(volatilities), _by_instrument(quantiles))
    for series in read_series(write, months):
        first = int(np.searchsorted(series.sessions, np.datetime64(since, "D")))
        scored = _Instrument(series, range(first, len(series.sessions)))
        own = [found.get(series.instrument_id, {}) for found in stored]
        for losses in (*scored.variances(own[0]), *scored.distributions(own[1])):
            columns = monthly_columns(losses)
            ids = np.full(len(columns["month"]), series.instrument_id, dtype=np.int32)
            yield {"instrument_id": ids, **columns}


def _by_instrument(stored: Mapping[tuple[int, str], Series]) -> dict[int, dict[str, Series]]:
    found: dict[int, dict[str, Series]] = {}
    for (instrument_id, model), series in stored.items():
        found.setdefault(instrument_id, {})[model] = series
    return found


@dataclass(frozen=True, slots=True)
class _Instrument:
    """An instrument, and the rows as of which forecasts are compared."""

    series: InstrumentSeries
    rows: range

    @property
    def past(self) -> Past:
        return Past(self.series.sessions, self.series.returns, self.series.rows)

    def variances(self, stored: Stored) -> Iterator[Losses]:
        """Losses of its volatility forecasts."""
        made = {model: _dense(self.series.sessions, kept, _HORIZONS) for model, kept in stored.items()}
        naive = Constant().forecast(self.series.returns, SPEC.horizons_sessions, self.rows).values
        made[Constant.name] = self._padded(naive * np.sqrt(SPEC.periods_per_year))
        baselines = {model: baseline_of(model) for model in stored}
        usable = {model: baseline for model, baseline in baselines.items() if baseline in made}
        yield from variance_losses(self.past, SPEC.horizons_sessions, made, usable, SPEC.periods_per_year)

    def distributions(self, stored: Stored) -> Iterator[Losses]:
        """Losses of its quantile forecasts at each horizon."""
        levels = (SPEC.levels, SPEC.shortfall_levels)
        for horizon in SPEC.quantile_horizons_sessions if stored else ():
            made = {model: self._stored_distributions(kept, horizon) for model, kept in stored.items()}
            naive = Historical().forecast(self.series.returns, *levels, self.rows, horizon)
            made[Historical.name] = Distributions(self._padded(naive.quantiles), self._padded(naive.shortfalls))
            baselines = dict.fromkeys(stored, Historical.name)
            yield from distribution_losses(self.past, *levels, made, baselines, horizon)

    def _stored_distributions(self, kept: Series, horizon: int) -> Distributions:
        sessions = self.series.sessions
        return Distributions(_dense(sessions, kept, _QUANTILES[horizon]), _dense(sessions, kept, _SHORTFALLS[horizon]))

    def _padded(self, values: FloatArray) -> FloatArray:
        """The values of `rows` among those of all sessions."""
        padded = np.full((len(self.series.sessions), values.shape[1]), np.nan)
        padded[self.rows.start : self.rows.stop] = values
        return padded


def _dense(sessions: DateArray, stored: Series, names: tuple[str, ...]) -> FloatArray:
    """(t, n) stored forecasts as of each session; NaN where there is none."""
    dense = np.full((len(sessions), len(names)), np.nan)
    at = np.searchsorted(sessions, stored.sessions)
    # A forecast as of a session whose price is gone cannot be scored.
    known = (at < len(sessions)) & (sessions[np.minimum(at, len(sessions) - 1)] == stored.sessions)
    for column, name in enumerate(names):
        dense[at[known], column] = stored.values[name][known]
    return dense
