"""Asset ``quantile_forecast``: what distribution of the next return to expect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import FloatArray, MonthRange
from pipeline.forecast.assets.series import LOOK_BACK_MONTHS, InstrumentSeries, read_series
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

FILTER_COLUMN = "volatility_1d"


def quantile_figures(rows: Columns) -> dict[str, float]:
    """Means over the instruments of a month."""
    return {
        "mean_quantile_01_1d_fraction": float(rows["quantile_0010"].mean()),
        "mean_quantile_50_1d_fraction": float(rows["quantile_0500"].mean()),
        "mean_quantile_99_1d_fraction": float(rows["quantile_0990"].mean()),
        "mean_es_01_1d_fraction": float(rows["es_0010"].mean()),
    }


@TableAsset(
    table=QUANTILE_FORECAST,
    location="forecast",
    inputs={"instruments": None, "prices": LOOK_BACK_MONTHS, "volatility_forecast": LOOK_BACK_MONTHS},
    figures=quantile_figures,
    headline="quantile_0010",
)
def quantile_forecast(write: Write, months: MonthRange) -> Produced:
    """Nine quantiles and the expected shortfall of every instrument's next return, by filtered history."""
    return Produced(
        concatenated(QUANTILE_FORECAST, _forecast_columns(write, months)),
        empty_because="no instrument has the sessions that the model needs",
    )


def _forecast_columns(write: Write, months: MonthRange) -> Iterator[Mapping[str, NDArray[Any]]]:
    spec = ForecastSpec()
    stored = read_packed(
        write.connection,
        VOLATILITY_FORECAST,
        ("instrument_id",),
        (FILTER_COLUMN,),
        date.min,
        months.end,
        only={"model": Combination.name},
    )
    for series in read_series(write, months):
        daily = _daily(series, stored.get((series.instrument_id,)), spec.periods_per_year)
        for forecasts in quantile_forecasts(series.returns, spec, series.rows, daily):
            columns = forecasts.columns(series.sessions)
            ids = np.full(len(columns["as_of"]), series.instrument_id, dtype=np.int32)
            yield {"instrument_id": ids, **columns}


def _daily(series: InstrumentSeries, stored: Series | None, periods_per_year: int) -> FloatArray | None:
    """(t,) the combination's volatility of the next session; None where a session after its first lacks one."""
    if stored is None:
        return None
    return stored_filter(series.sessions, stored.sessions, stored.values[FILTER_COLUMN], periods_per_year)
