"""The models of probabilities, the constant forecast first, and how their forecasts become rows of a table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import IntArray
from pipeline.forecast.models.frequency import Frequency
from pipeline.forecast.models.logistic import Logistic
from pipeline.forecast.models.probability import HORIZON_SESSIONS, QUINTILES, Closes, Probabilities, ProbabilityModel

PROBABILITY_BASELINE = Frequency.name
PROBABILITY_MODELS: tuple[ProbabilityModel, ...] = (Frequency(), Logistic())


def probability_columns(
    model: ProbabilityModel, closes: Closes, instrument_ids: IntArray, rows: range
) -> dict[str, NDArray[Any]]:
    """A row an instrument and session with a price, with what a model forecasts or why it does not."""
    made = model.forecast(closes, rows)
    at, number = np.nonzero(closes.priced()[rows.start : rows.stop])
    return {
        "instrument_id": instrument_ids[number].astype(np.int32),
        "as_of": closes.sessions[rows.start + at],
        "model": np.full(len(at), model.name.encode()),
        "horizon_sessions": np.full(len(at), HORIZON_SESSIONS, dtype=np.int16),
        "probability_positive": made.positive[at, number],
        **{f"rank_quintile_{each + 1}": made.quintiles[at, number, each] for each in range(QUINTILES)},
        "reason": made.reasons[at, number],
        "model_version": np.full(len(at), model.version.encode()),
        "trained_through": _trained_through(made, closes, at, number),
    }


def _trained_through(made: Probabilities, closes: Closes, at: IntArray, number: IntArray) -> NDArray[Any]:
    trained = closes.sessions[made.trained_through[at]].copy()
    none = np.isnan(made.positive[at, number]) & np.isnan(made.quintiles[at, number, 0])
    trained[none] = np.datetime64("NaT")
    return trained
