"""Why past forecasts score as they do: the stored scores of each month, and the writes that made them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from psycopg import Connection
from pydantic import BaseModel, ConfigDict, Field

from pipeline.base.errors import NotFoundError
from pipeline.base.types import FloatArray, add_months
from pipeline.forecast.models.comparison import diebold_mariano
from pipeline.forecast.models.coverage import coverage_tests
from pipeline.forecast.models.evaluation import Evaluation, ScoredMonths, evaluate
from pipeline.forecast.models.monthly_scores import hits_of
from pipeline.store.forecast_scores import (
    FORECAST_SCORES,
    ScoreFilter,
    read_monthly_hits,
    read_monthly_losses,
    read_score_writes,
)
from pipeline.store.instruments import read_instrument
from serving.deps import Database
from serving.evaluations import Evaluated, read_evaluations
from serving.inputs import IsoDate, Reference
from serving.routes.explaining.documented import Documented, path_of, sources_of, words_of, words_of_field
from serving.routes.explaining.envelope import (
    DefinitionOut,
    ExplanationOut,
    FigureName,
    InputsOut,
)
from serving.routes.explaining.figures import Figure, explanation, known_figure
from serving.routes.explaining.input_forms import ScoreInputsOut
from serving.routes.scores import Kind, ModelName, ScoreOut, score_out
from serving.routing import ComputingRoute

_NO_FIGURES = frozenset(
    {
        "model",
        "kind",
        "horizon_sessions",
        "baseline",
        "instruments",
        "first_month",
        "last_month",
        "regime",
        "level",
        "undefined",
    }
)
SCORE_FIGURES = tuple(name for name in ScoreOut.model_fields if name not in _NO_FIGURES)

router = APIRouter(route_class=ComputingRoute, tags=["forecasts"])


class ExplainScoreQuery(BaseModel):
    """Which figure of which forecasts to explain."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: ModelName = Field(description="Forecast model.", examples=["har"])
    kind: Kind = Field(description="Such as variance, quantile_0.01 or es_0.025.", examples=["variance"])
    horizon_sessions: int = Field(ge=1, le=252, description="Sessions ahead.", examples=[21])
    measure: FigureName = Field("loss", description=f"One of {', '.join(SCORE_FIGURES)}.")
    symbol: Reference | None = Field(None, description="Instrument; null for all.")
    start: IsoDate | None = Field(None, description="Day of the first month in which horizons ended.")
    end: IsoDate | None = Field(None, description="Day of the last such month.")


@router.get("/scores/explain")
def explain_score(query: Annotated[ExplainScoreQuery, Query()], database: Database) -> ExplanationOut:
    """Explain how the forecasts of a model, kind and horizon did, from the stored scores of their months."""
    measure = known_figure(query.measure, SCORE_FIGURES)
    with database.reading() as connection:
        ids = [] if query.symbol is None else [read_instrument(connection, query.symbol).id]
        wanted = ScoreFilter(
            ids[0] if ids else None,
            query.model,
            query.kind,
            query.horizon_sessions,
            query.start and query.start.replace(day=1),
            query.end and query.end.replace(day=1),
        )
        evaluated = read_evaluations(connection, wanted)
        if not evaluated:
            raise NotFoundError(
                f"There is no score of {query.model}, {query.kind}, {query.horizon_sessions} sessions",
                "GET /api/v1/scores lists those that there are.",
            )
        inputs = _inputs(connection, wanted)
        served = score_out(evaluated[0])
        again = score_again(inputs, query.kind, query.horizon_sessions)
        figure = _figure(connection, query, wanted, ids, served)
        return explanation(connection, figure, inputs, _value_of(again, measure), database.notice(connection))


def score_again(inputs: InputsOut, kind: str, horizon_sessions: int = 1) -> ScoreOut:
    """Every figure, from the months of an answer."""
    given = inputs.scores
    assert given is not None  # of scores
    scored = ScoredMonths(
        np.array(given.months, dtype="datetime64[D]"),
        np.array(given.forecasts),
        np.array(given.hits),
        np.array(given.loss),
        np.array(given.baseline_loss),
        np.array(given.squared_error, dtype=np.float64),
        np.array(given.baseline_squared_error, dtype=np.float64),
    )
    hits = [np.array(own, dtype=bool) for own in given.hit_series]
    found = evaluate(kind, scored, hits, horizon_sessions)
    return score_out(Evaluated("", kind, 0, "", 0, found))


def _value_of(score: ScoreOut, measure: str) -> float | None:
    found = getattr(score, measure)
    return None if found is None else float(found)


def _inputs(connection: Connection, wanted: ScoreFilter) -> InputsOut:
    (losses,) = read_monthly_losses(connection, wanted).values()
    hits = [own for by_instrument in read_monthly_hits(connection, wanted).values() for own in by_instrument.values()]
    months: list[date] = losses.months.astype(object).tolist()
    return InputsOut(
        sessions=[months[0], add_months(months[-1], 1) - timedelta(days=1)],
        close={},
        exchange_rates={},
        scores=ScoreInputsOut(
            months=months,
            forecasts=losses.forecasts.tolist(),
            hits=losses.hits.tolist(),
            loss=losses.loss.tolist(),
            baseline_loss=losses.baseline_loss.tolist(),
            squared_error=_known(losses.squared_error),
            baseline_squared_error=_known(losses.baseline_squared_error),
            hit_series=[hits_of(own.forecasts, own.hit_bits).tolist() for own in hits],
        ),
    )


def _known(values: FloatArray) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _figure(
    connection: Connection, query: ExplainScoreQuery, wanted: ScoreFilter, ids: list[int], served: ScoreOut
) -> Figure:
    return Figure(
        f"{query.model}, {query.kind}, {query.horizon_sessions} sessions" + (f", {query.symbol}" if ids else ""),
        ids,
        served.last_month,
        _value_of(served, query.measure),
        served.undefined or "it is of quantiles of a single instrument, or of variances",
        None,  # computed for each request
        _definition(query.measure),
        {
            "model": query.model,
            "baseline": served.baseline,
            "kind": query.kind,
            "horizon_sessions": query.horizon_sessions,
            "instruments": served.instruments,
            "forecasts": served.forecasts,
        },
        inputs={FORECAST_SCORES: (served.first_month, served.last_month)},
        input_writes=read_score_writes(connection, wanted),
    )


def _definition(measure: str) -> DefinitionOut:
    function = _FUNCTIONS.get(measure.rpartition("_statistic")[0] or measure.rpartition("_p_value")[0], evaluate)
    field = words_of_field(Evaluation, measure) or words_of_field(Evaluation, "loss, baseline_loss")
    return DefinitionOut(
        name=measure,
        function=path_of(function),
        meaning=ScoreOut.model_fields[measure].description or f"{measure.replace('_', ' ')} of past forecasts.",
        unit=_unit(measure),
        formula=f"{words_of(function)} {field}",
        source=sources_of(function),
        parameters={},
    )


def _unit(measure: str) -> str:
    if measure.endswith("p_value") or measure == "coverage":
        return "probability"
    return "ratio" if measure == "relative_loss" else ""


_FUNCTIONS: dict[str, Documented] = {
    "diebold_mariano": diebold_mariano,
    "kupiec": coverage_tests,
    "independence": coverage_tests,
    "conditional_coverage": coverage_tests,
    "dynamic_quantile": coverage_tests,
}
