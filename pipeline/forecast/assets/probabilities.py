"""Asset ``probability_forecast``: the chances of a positive return, and of each fifth of all instruments' returns."""

from __future__ import annotations

from datetime import date

import numpy as np

from pipeline.base.types import IntArray, MonthRange
from pipeline.forecast.assets.drift_checks import INPUT_DRIFT, check_inputs
from pipeline.forecast.assets.series import LOOK_BACK_MONTHS
from pipeline.forecast.models.probability import Closes
from pipeline.forecast.models.probability_registry import PROBABILITY_MODELS, probability_columns
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.store.instruments import read_instruments
from pipeline.store.prices import read_price_panel
from pipeline.store.probability_forecasts import PROBABILITY_FORECAST
from pipeline.store.writing import Write, concatenated


def probability_figures(rows: Columns) -> dict[str, float]:
    """Over the instruments of a month: how often there is a forecast, and how far the best rank's chances spread."""
    logistic = rows["model"] == b"logistic"
    given = rows["probability_positive"][logistic]
    figures = {"refused_fraction": float((rows["reason"] != b"").mean())}
    if np.isfinite(given).any():
        best = rows["rank_quintile_5"][logistic]
        figures["mean_probability_positive_fraction"] = float(np.nanmean(given))
        if np.isfinite(best).any():
            figures["highest_rank_quintile_5_fraction"] = float(np.nanmax(best))
    return figures


@TableAsset(
    table=PROBABILITY_FORECAST,
    location="forecast",
    inputs={"instruments": None, "prices": LOOK_BACK_MONTHS},
    figures=probability_figures,
    headline="probability_positive",
    headline_subject={"model": "logistic"},
    check_specs=(INPUT_DRIFT,),
)
def probability_forecast(write: Write, months: MonthRange) -> Produced:
    """Chances of a positive 21-session return and of its rank among all, beside the constant forecast."""
    closes, ids = read_closes(write, months)
    span = months.rows_of(closes.sessions)
    rows = range(span.start, span.stop)
    parts = (probability_columns(model, closes, ids, rows) for model in PROBABILITY_MODELS if len(rows))
    return Produced(
        concatenated(PROBABILITY_FORECAST, parts),
        checks=(check_inputs(closes.returns()),),
        empty_because="no instrument has a price in this month",
    )


def read_closes(write: Write, months: MonthRange, since: date | None = None) -> tuple[Closes, IntArray]:
    """The closes of every instrument up to the end of the months, and their numbers; `since` None for the whole."""
    ids = [instrument.id for instrument in read_instruments(write.connection)]
    panel = read_price_panel(write.connection, ids, since, months.end)
    return Closes(panel.sessions, panel.close), np.array(ids, dtype=np.int64)
