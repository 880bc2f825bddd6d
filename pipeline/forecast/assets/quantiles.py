"""Asset ``quantile_forecast``: what distribution of the next return to expect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import FloatArray, MonthRange
from pipeline.forecast.assets.drift_checks import INPUT_DRIFT, check_inputs
from pipeline.forecast.assets.series import LOOK_BACK_MONTHS, InstrumentSeries, read_series, returns_by_session
from pipeline.forecast.backtest import ForecastSpec, quantile_forecasts
from pipeline.forecast.models.combination import Combination
from pipeline.forecast.models.panel_filter import stored_filter
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.store.packed_series import Series
from pipeline.store.packed_series import read_series as read_packed
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST
from pipeline.store.writing import Write, concatenated

SPEC = ForecastSpec()
FILTERS = tuple(f"volatility_{horizon}d" for horizon in SPEC.quantile_horizons_sessions)


def quantile_figures(rows: Columns) -> dict[str, float]:
    """Means over the instruments of a month."""
    return {
        "mean_quantile_01_1d_fraction": float(rows["quantile_0010"].mean()),
        "mean_quantile_99_1d_fraction": float(rows["quantile_0990"].mean()),
        "mean_es_01_1d_fraction": float(rows["es_0010"].mean()),
        **_longer_figures(rows),
    }


def _longer_figures(rows: Columns) -> dict[str, float]:
    """None in the first sessions of all instruments, which have the next return's alone."""
    known = rows["quantile_0010_5d"][np.isfinite(rows["quantile_0010_5d"])]
    return {"mean_quantile_01_5d_fraction": float(known.mean())} if len(known) else {}


@TableAsset(
    table=QUANTILE_FORECAST,
    location="forecast",
    inputs={"instruments": None, "prices": LOOK_BACK_MONTHS, "volatility_forecast": LOOK_BACK_MONTHS},
    figures=quantile_figures,
    headline="quantile_0010",
    check_specs=(INPUT_DRIFT,),
)
def quantile_forecast(write: Write, months: MonthRange) -> Produced:
    """Nine quantiles and the expected shortfall of every instrument's return over 1 and 5 sessions."""
    every = list(read_series(write, months))
    return Produced(
        concatenated(QUANTILE_FORECAST, _forecast_columns(write, months, every)),
        checks=(check_inputs(returns_by_session(every)),),
        empty_because="no instrument has the sessions that the model needs",
    )


def _forecast_columns(
    write: Write, months: MonthRange, every: Sequence[InstrumentSeries]
) -> Iterator[Mapping[str, NDArray[Any]]]:
    stored = read_packed(
        write.connection,
        VOLATILITY_FORECAST,
        ("instrument_id",),
        FILTERS,
        date.min,
        months.end,
        only={"model": Combination.name},
    )
    for series in every:
        daily = _daily(series, stored.get((series.instrument_id,)))
        for forecasts in quantile_forecasts(series.returns, SPEC, series.rows, daily):
            columns = forecasts.columns(series.sessions)
            ids = np.full(len(columns["as_of"]), series.instrument_id, dtype=np.int32)
            yield {"instrument_id": ids, **columns}


def _daily(series: InstrumentSeries, stored: Series | None) -> FloatArray | None:
    """(t, k) the combination's volatility over each horizon; None where a session after its first lacks one."""
    if stored is None:
        return None
    annual = np.column_stack([stored.values[name] for name in FILTERS])
    return stored_filter(series.sessions, stored.sessions, annual, SPEC.periods_per_year)
