"""Evaluations of stored scores: from the store's sums to the tests of the core."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from psycopg import Connection

from pipeline.base.types import BoolArray, DateArray, FloatArray, add_months
from pipeline.forecast.models.evaluation import Evaluation, ScoredMonths, evaluate
from pipeline.forecast.models.monthly_scores import hits_of
from pipeline.forecast.models.probability import Closes
from pipeline.forecast.models.regimes import Regime, evaluate_regimes, market_returns, regimes_of
from pipeline.store.forecast_scores import (
    MonthlyLosses,
    ScoreFilter,
    ScoreKey,
    count_scored_instruments,
    read_monthly_hits,
    read_monthly_losses,
)
from pipeline.store.instruments import read_instruments
from pipeline.store.prices import read_price_panel

Grouping = Literal["period", "year", "month", "regime"]
_UNITS: dict[Grouping, str] = {"year": "Y", "month": "M"}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """How forecasts of one model, kind and horizon did in some months: those of a regime, if it is named."""

    model: str
    kind: str
    horizon_sessions: int
    baseline: str
    instruments: int
    found: Evaluation
    regime: Regime | None = None


def read_evaluations(connection: Connection, wanted: ScoreFilter, by: Grouping = "period") -> list[Evaluated]:
    """Evaluations by model, kind and horizon; of years, months or regimes without the tests of hits."""
    losses = read_monthly_losses(connection, wanted)
    instruments = count_scored_instruments(connection, wanted)
    if by == "regime":
        return _of_regimes(connection, losses, instruments)
    hits = read_monthly_hits(connection, wanted) if by == "period" else {}
    evaluated = []
    for score_key, made in losses.items():
        model, kind, horizon = score_key
        series = [hits_of(own.forecasts, own.hit_bits) for own in hits.get(score_key, {}).values()]
        for scored in _groups(made, by):
            found = evaluate(kind, scored, series, horizon)
            evaluated.append(Evaluated(model, kind, horizon, made.baseline, instruments[score_key], found))
    return evaluated


def _of_regimes(
    connection: Connection, losses: Mapping[ScoreKey, MonthlyLosses], instruments: Mapping[ScoreKey, int]
) -> list[Evaluated]:
    """Of each third of the months by the market's volatility before them; see `regimes_of`."""
    if not losses:
        return []
    newest: date = max(made.months[-1].item() for made in losses.values())
    sessions, market = _market(connection, newest)
    return [
        Evaluated(model, kind, horizon, made.baseline, instruments[model, kind, horizon], found, regime)
        for (model, kind, horizon), made in losses.items()
        for regime, found in evaluate_regimes(
            kind,
            _months(made, np.ones(len(made.months), dtype=bool)),
            regimes_of(made.months, sessions, market, horizon),
        ).items()
    ]


def _market(connection: Connection, newest: date) -> tuple[DateArray, FloatArray]:
    """Sessions up to the end of a month, and the mean return of all instruments into each."""
    ids = [instrument.id for instrument in read_instruments(connection)]
    panel = read_price_panel(connection, ids, None, add_months(newest, 1))
    return panel.sessions[1:], market_returns(Closes(panel.sessions, panel.close).returns())


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
