"""Evaluations of stored scores: from the store's sums to the tests of the core."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from psycopg import Connection

from pipeline.base.types import BoolArray
from pipeline.forecast.models.evaluation import Evaluation, ScoredMonths, evaluate
from pipeline.forecast.models.monthly_scores import hits_of
from pipeline.store.forecast_scores import (
    MonthlyLosses,
    ScoreFilter,
    count_scored_instruments,
    read_monthly_hits,
    read_monthly_losses,
)

Grouping = Literal["period", "year", "month"]
_UNITS: dict[Grouping, str] = {"year": "Y", "month": "M"}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """How forecasts of one model, kind and horizon did in some months."""

    model: str
    kind: str
    horizon_sessions: int
    baseline: str
    instruments: int
    found: Evaluation


def read_evaluations(connection: Connection, wanted: ScoreFilter, by: Grouping = "period") -> list[Evaluated]:
    """Evaluations by model, kind and horizon; of years or months without the tests of hits."""
    losses = read_monthly_losses(connection, wanted)
    instruments = count_scored_instruments(connection, wanted)
    hits = read_monthly_hits(connection, wanted) if by == "period" else {}
    evaluated = []
    for score_key, made in losses.items():
        model, kind, horizon = score_key
        series = [hits_of(own.forecasts, own.hit_bits) for own in hits.get(score_key, {}).values()]
        for scored in _groups(made, by):
            found = evaluate(kind, scored, series, horizon)
            evaluated.append(Evaluated(model, kind, horizon, made.baseline, instruments[score_key], found))
    return evaluated


def _groups(made: MonthlyLosses, by: Grouping) -> Iterator[ScoredMonths]:
    if by == "period":
        yield _months(made, np.ones(len(made.months), dtype=bool))
        return
    units = made.months.astype(f"datetime64[{_UNITS[by]}]")
    for unit in np.unique(units):
        yield _months(made, units == unit)


def _months(made: MonthlyLosses, kept: BoolArray) -> ScoredMonths:
    return ScoredMonths(
        made.months[kept],
        made.forecasts[kept],
        made.hits[kept],
        made.loss[kept],
        made.baseline_loss[kept],
        made.squared_error[kept],
        made.baseline_squared_error[kept],
    )
