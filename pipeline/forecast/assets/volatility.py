"""Asset ``volatility_forecast``: what volatility to expect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import MonthRange
from pipeline.forecast.assets.drift_checks import INPUT_DRIFT, check_inputs
from pipeline.forecast.assets.series import (
    LOOK_BACK_MONTHS,
    InstrumentSeries,
    panel_of,
    read_all_series,
    returns_by_session,
)
from pipeline.forecast.backtest import ForecastSpec, panel_volatility_forecasts
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST
from pipeline.store.writing import Write, concatenated

SHOWN_MODELS = (b"combination", b"gjr_garch")
"""What is published as a rule, and what it is to beat; an asset shows four figures."""


def volatility_figures(rows: Columns) -> dict[str, float]:
    """Means over the instruments of a month, by model and horizon."""
    figures = {}
    for model in SHOWN_MODELS:
        own = rows["model"] == model
        for horizon in ("1d", "21d"):
            name = f"mean_{model.decode()}_volatility_{horizon}_annual"
            figures[name] = float(np.nanmean(rows[f"volatility_{horizon}"][own]))
    return figures


@TableAsset(
    table=VOLATILITY_FORECAST,
    location="forecast",
    inputs={"instruments": None, "prices": LOOK_BACK_MONTHS},
    figures=volatility_figures,
    headline="volatility_21d",
    check_specs=(INPUT_DRIFT,),
)
def volatility_forecast(write: Write, months: MonthRange) -> Produced:
    """Volatility of every instrument over the next 1, 5 and 21 sessions, by each model and their combination."""
    every = list(read_all_series(write, months))
    return Produced(
        concatenated(VOLATILITY_FORECAST, volatility_columns(every)),
        checks=(check_inputs(returns_by_session(every)),),
        empty_because="no instrument has the sessions that a model needs",
    )


def volatility_columns(every: Sequence[InstrumentSeries]) -> Iterator[Mapping[str, NDArray[Any]]]:
    """The rows of each instrument and model, as columns of the table."""
    if not every:
        return
    made = panel_volatility_forecasts(panel_of(every), ForecastSpec(), [series.rows for series in every])
    for series, own in zip(every, made, strict=True):
        for forecasts in own:
            columns = forecasts.columns(series.sessions)
            ids = np.full(len(columns["as_of"]), series.instrument_id, dtype=np.int32)
            yield {"instrument_id": ids, **columns}
