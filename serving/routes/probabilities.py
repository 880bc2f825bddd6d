"""Stored probabilities of an instrument, each with its record against the constant forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from fastapi import APIRouter
from psycopg import Connection
from pydantic import ConfigDict, Field

from pipeline.forecast.models.evaluation import Evaluation
from pipeline.forecast.models.kinds import PROBABILITY_POSITIVE, RANK_QUINTILES
from pipeline.forecast.models.probability_registry import PROBABILITY_BASELINE
from pipeline.forecast.models.verdict import Verdict, verdict_of
from pipeline.store.forecast_scores import ScoreFilter
from pipeline.store.instruments import read_instrument
from pipeline.store.probability_forecasts import (
    PROBABILITY_FORECAST,
    ProbabilityForecastRow,
    read_probability_forecasts,
)
from serving.answers import Collection, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.evaluations import read_evaluations
from serving.inputs import InstrumentPath, Windowed
from serving.missing_forecasts import PROBABILITY_KIND, MissingForecasts
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/instruments", tags=["forecasts"])

PROBABILITIES = Order.of_series(PROBABILITY_FORECAST, "instrument_id")
_THE_CONSTANT: Mapping[str, Any] = {
    "positive_relative_loss": None,
    "positive_record": "the constant",
    "rank_relative_loss": None,
    "rank_record": "the constant",
}


@described_by(PROBABILITY_FORECAST)
class ProbabilityOut(Row):
    """A forecast of probabilities by one model, and how its model's forecasts of all instruments have done so far."""

    model_config = ConfigDict(protected_namespaces=())

    as_of: date
    model: str
    horizon_sessions: int
    probability_positive: float | None
    rank_quintile_1: float | None
    rank_quintile_2: float | None
    rank_quintile_3: float | None
    rank_quintile_4: float | None
    rank_quintile_5: float | None
    positive_relative_loss: float | None = Field(
        description="Log loss of probability_positive over the constant forecast's, of every scored month; below 1 is"
        " better."
    )
    positive_record: str = Field(
        description="`beats the constant` where Diebold and Mariano's test says so at 5 %, else `not shown to beat the"
        " constant`; `no record yet` without scores, and `the constant` of itself."
    )
    rank_relative_loss: float | None = Field(
        description="As positive_relative_loss, of the ranked probability score of the five fifths, whose constant has"
        " 0.160, and a little less if five does not divide the instruments."
    )
    rank_record: str = Field(description="As positive_record, of the five fifths.")
    reason: str | None
    model_version: str
    trained_through: date | None
    materialization_id: int


@dataclass(frozen=True, slots=True)
class _Record:
    """How forecasts of one model and kind have done."""

    relative_loss: float | None
    verdict: Verdict

    @classmethod
    def of(cls, found: Evaluation | None) -> _Record:
        return cls(None if found is None else found.relative_loss, verdict_of(found))


class Judged:
    """A stored row with the record of its model."""

    __slots__ = ("_record", "_row")

    def __init__(self, row: ProbabilityForecastRow, record: Mapping[str, Any]) -> None:
        self._row, self._record = row, record

    def __getattr__(self, name: str) -> Any:
        return self._record[name] if name in self._record else getattr(self._row, name)


@router.get("/{symbol}/forecasts/probabilities")
def list_probability_forecasts(
    symbol: InstrumentPath, query: Windowed, database: Database
) -> Collection[ProbabilityOut]:
    """The newest stored chances of a positive return and of its rank, oldest first: a row a session and model."""
    with database.reading() as connection:
        instrument = read_instrument(connection, symbol)
        page = read_probability_forecasts(connection, instrument.id, query.page(PROBABILITIES))
        rows, cursor = PROBABILITIES.cut(page, query.limit)
        doubts = MissingForecasts(connection, instrument).warnings(PROBABILITY_KIND, rows, query.last)
        found = judged(connection, rows)
        return Collection[ProbabilityOut].of(found, database.notice(connection), cursor, doubts)


def judged(connection: Connection, rows: Sequence[ProbabilityForecastRow]) -> list[Judged]:
    """Stored rows, each with the record of its model."""
    records = {model: _record(connection, model) for model in {row.model for row in rows}}
    return [Judged(row, records[row.model]) for row in rows]


def _record(connection: Connection, model: str) -> Mapping[str, Any]:
    """Of all instruments together: of a single one, too few returns do not overlap to tell skill from luck."""
    if model == PROBABILITY_BASELINE:
        return _THE_CONSTANT
    found = {each.kind: each.found for each in read_evaluations(connection, ScoreFilter(model=model))}
    positive, rank = _Record.of(found.get(PROBABILITY_POSITIVE)), _Record.of(found.get(RANK_QUINTILES))
    return {
        "positive_relative_loss": positive.relative_loss,
        "positive_record": positive.verdict,
        "rank_relative_loss": rank.relative_loss,
        "rank_record": rank.verdict,
    }
