"""Why a stored probability is what it is: the parts that it adds up, from the closes of all instruments."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from psycopg import Connection

from pipeline.base.types import IntArray
from pipeline.forecast.models.frequency import Frequency
from pipeline.forecast.models.logistic import Logistic
from pipeline.forecast.models.probability import Closes
from pipeline.forecast.models.probability_explaining import ExplainedChance, explain_chance
from pipeline.forecast.models.probability_registry import PROBABILITY_MODELS
from pipeline.risk.measures.windows import simple_returns
from pipeline.store.instruments import read_instrument, read_instruments
from pipeline.store.prices import read_price_panel
from pipeline.store.probability_forecasts import (
    PROBABILITY_FORECAST,
    QUINTILE_NUMBERS,
    ProbabilityForecastRow,
    read_probability_forecasts,
)
from pipeline.store.provenance import read_materialization
from pipeline.store.reading import Window
from serving.deps import Database
from serving.inputs import InstrumentPath
from serving.routes.explaining.documented import (
    definition_of_column,
    path_of,
    sources_of,
    words_of,
    words_of_module,
)
from serving.routes.explaining.envelope import AskedSession, ExplanationOut, InputsOut, Parameter
from serving.routes.explaining.figures import (
    ROWS_OF_A_SESSION,
    Figure,
    explanation,
    flat,
    known_figure,
    not_stored,
)
from serving.routes.explaining.input_forms import PartsOut
from serving.routes.explaining.prices import Inputs, inputs_out
from serving.routing import ComputingRoute

FIFTHS: dict[str, int | None] = {
    "probability_positive": None,
    **{f"rank_quintile_{number}": number for number in QUINTILE_NUMBERS},
}
"""Figure → number of the fifth; None for the chance of a return above 0."""
MODELS: dict[str, Frequency | Logistic] = {
    model.name: model for model in PROBABILITY_MODELS if isinstance(model, Frequency | Logistic)
}

router = APIRouter(route_class=ComputingRoute, prefix="/instruments", tags=["forecasts"])


@router.get("/{symbol}/forecasts/probabilities/explain")
def explain_probability_forecast(
    symbol: InstrumentPath,
    model: Annotated[str, Query(description=f"One of {', '.join(MODELS)}.", examples=["frequency"])],
    measure: Annotated[str, Query(description=f"One of {', '.join(FIFTHS)}.", examples=["probability_positive"])],
    database: Database,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain a stored chance of a positive return, or of a fifth of all instruments' returns, as of a session."""
    fitted = MODELS[known_figure(model, MODELS, "model")]
    known_figure(measure, FIFTHS)
    with database.reading() as connection:
        instrument = read_instrument(connection, symbol)
        rows = read_probability_forecasts(connection, instrument.id, Window(session, session, ROWS_OF_A_SESSION))
        row = next((row for row in reversed(rows) if row.model == model), None)
        if row is None:
            address = f"instruments/{symbol}/forecasts/probabilities"
            raise not_stored(symbol, f"{PROBABILITY_FORECAST.name} by {model}", session, address)
        ids = [each.id for each in read_instruments(connection)]
        figure = _figure(connection, instrument.symbol, ids, row, measure)
        panel = read_price_panel(connection, ids, None, row.as_of + timedelta(days=1), figure.known)
        closes, number = Closes(panel.sessions, panel.close), ids.index(instrument.id)
        found = explain_chance(fitted, closes, (len(closes.sessions) - 1, number), FIFTHS[measure])
        inputs = _inputs_out(closes, number, instrument.symbol, found)
        again = None if found is None else found.probability
        return explanation(connection, figure, inputs, again, database.notice(connection))


def _figure(connection: Connection, symbol: str, ids: list[int], row: ProbabilityForecastRow, measure: str) -> Figure:
    model = MODELS[row.model]
    kind = type(model)
    version = f"model_version: stored by version {row.model_version}, computed again by version {model.version}"
    return Figure(
        symbol,
        ids,
        row.as_of,
        getattr(row, measure),
        row.reason or "not_forecast",
        read_materialization(connection, row.materialization_id),
        definition_of_column(
            PROBABILITY_FORECAST, measure, path_of(kind), f"{words_of_module(kind)} {words_of(kind)}", sources_of(kind)
        ),
        _parameters(model, row),
        warnings=[] if row.model_version == model.version else [version],
    )


def _parameters(model: Frequency | Logistic, row: ProbabilityForecastRow) -> dict[str, Parameter]:
    trained = {} if row.trained_through is None else {"trained_through": row.trained_through.isoformat()}
    return {
        "model": model.name,
        "model_version": row.model_version,
        "horizon_sessions": row.horizon_sessions,
        **trained,
        **flat(asdict(model)),
    }


def _inputs_out(closes: Closes, number: int, symbol: str, found: ExplainedChance | None) -> InputsOut:
    """The instrument's own closes, and the parts."""
    priced: IntArray = np.flatnonzero(np.isfinite(closes.close[:, number]))
    close = closes.close[priced, number]
    own = inputs_out(Inputs(closes.sessions[priced], close[:, None], (symbol,)), None)
    return own.model_copy(
        update={
            "returns": simple_returns(close).tolist(),
            "parts": None if found is None else _parts_out(found, closes.close.shape[1]),
        }
    )


def _parts_out(found: ExplainedChance, instruments: int) -> PartsOut:
    return PartsOut(
        instruments=instruments,
        features=dict(found.features),
        contributions=dict(found.contributions),
        sum_is=found.sum_is,
        fifths={fifth: dict(parts) for fifth, parts in found.fifths.items()} or None,
    )
