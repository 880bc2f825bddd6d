"""Scores of stored probabilities, as rows of ``forecast_score``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.base.types import MonthRange
from pipeline.forecast.assets.probabilities import read_closes
from pipeline.forecast.models.monthly_probability_scores import probability_losses
from pipeline.forecast.models.monthly_scores import monthly_columns
from pipeline.forecast.models.probability_registry import PROBABILITY_BASELINE
from pipeline.orchestration.checks import Columns
from pipeline.store.packed_series import read_series
from pipeline.store.probability_forecasts import PROBABILITY_FORECAST, QUINTILE_NUMBERS
from pipeline.store.writing import Write

CHANCES = ("probability_positive", *(f"rank_quintile_{number}" for number in QUINTILE_NUMBERS))


def probability_score_columns(write: Write, months: MonthRange, forecast_months: int) -> Iterator[Columns]:
    """Losses of the probabilities whose horizon ends in the months, beside the constant forecast.

    Parameters
    ----------
    forecast_months
        Months before the first one as of which forecasts are read.
    """
    subject = ("instrument_id", "model")
    since = months.back(forecast_months)
    stored = read_series(write.connection, PROBABILITY_FORECAST, subject, CHANCES, since, months.end)
    if not stored:
        return
    closes, ids = read_closes(write, months, since)
    shape = (*closes.close.shape, len(CHANCES))
    made = {model: np.full(shape, np.nan) for model in sorted({model for _, model in stored})}
    for (instrument_id, model), series in stored.items():
        at = np.searchsorted(closes.sessions, series.sessions)
        # A forecast as of a session whose prices are gone cannot be scored.
        known = (at < len(closes.sessions)) & (
            closes.sessions[np.minimum(at, len(closes.sessions) - 1)] == series.sessions
        )
        (number,) = np.flatnonzero(ids == instrument_id)
        for column, name in enumerate(CHANCES):
            made[model][at[known], number, column] = series.values[name][known]
    for place, losses in probability_losses(closes, months.rows_of(closes.sessions), made, PROBABILITY_BASELINE):
        columns = monthly_columns(losses)
        yield {"instrument_id": np.full(len(columns["month"]), ids[place], dtype=np.int32), **columns}
