"""Why a stored covariance or correlation of two instruments is what it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from psycopg import Connection

from pipeline.base.types import FloatArray
from pipeline.risk.measures.covariance import (
    COVARIANCES,
    DEFAULT_COVARIANCE,
    correlation_of,
    estimate_covariance,
)
from pipeline.risk.measures.pairs import known_correlation
from pipeline.store.covariances import CORRELATION, COVARIANCE, CovarianceRow, read_newest_covariance
from pipeline.store.instruments import Instrument, read_instrument, read_instruments
from pipeline.store.provenance import read_materialization
from serving.deps import Database
from serving.inputs import IsoDate
from serving.references import references
from serving.routes.covariance import Reference, read_common_window
from serving.routes.explaining.documented import path_of, sources_of, words_of
from serving.routes.explaining.envelope import DefinitionOut, ExplanationOut, InputsOut
from serving.routes.explaining.figures import Figure, explanation, known_figure, not_stored
from serving.routes.explaining.prices import by_symbol, days_of
from serving.routing import ThreadedRoute

COVARIANCE_FIGURES = ("covariance", "correlation")
UNIT = "fraction², per session"
NO_VARIATION = "no_variation"

router = APIRouter(route_class=ThreadedRoute, tags=["risk"])


@router.get("/covariance/explain")
def explain_covariance(
    symbol: Annotated[Reference, Query(description="Instrument of the row.", examples=["AAPL"])],
    other: Annotated[Reference, Query(description="Instrument of the column; the same for a variance.")],
    database: Database,
    measure: Annotated[str, Query(description=f"One of {', '.join(COVARIANCE_FIGURES)}.")] = "covariance",
    session: Annotated[
        IsoDate | None, Query(description="The newest month's end up to this day; null for the newest of all.")
    ] = None,
) -> ExplanationOut:
    """Explain an entry of a stored matrix; the estimator looks at every instrument, so all of them are inputs."""
    known_figure(measure, COVARIANCE_FIGURES)
    with database.reading() as connection:
        chosen = [read_instrument(connection, reference) for reference in (symbol, other)]
        row = _row(read_newest_covariance(connection, DEFAULT_COVARIANCE, session), session)
        known = read_instruments(connection)
        names, ids = references(known), row.ids
        subjects = [names[instrument.id] for instrument in chosen]
        places = [_place(ids, instrument, row) for instrument in chosen]
        figure = Figure(
            ", ".join(subjects),
            ids,
            row.session,
            float(_shown(row.matrix, measure)[places[0], places[1]]),
            NO_VARIATION,
            read_materialization(connection, row.materialization_id),
            _definition(measure),
            {
                "estimator": DEFAULT_COVARIANCE,
                "window_sessions": row.window_sessions,
                "row": subjects[0],
                "column": subjects[1],
            },
        )
        inputs, matrix = _read_matrix(connection, known, figure, row.window_sessions)
        again = None if matrix is None else float(_shown(matrix, measure)[places[0], places[1]])
        return explanation(connection, figure, inputs, again, database.notice(connection))


def _row(row: CovarianceRow | None, session: date | None) -> CovarianceRow:
    if row is None:
        raise not_stored("The market", f"covariance up to {session or 'now'}", None, "covariance")
    return row


def _place(ids: Sequence[int], instrument: Instrument, row: CovarianceRow) -> int:
    if instrument.id not in ids:
        raise not_stored(instrument.symbol, "covariance", row.session, f"covariance?session={row.session}")
    return ids.index(instrument.id)


def _read_matrix(
    connection: Connection, known: Sequence[Instrument], figure: Figure, window_sessions: int
) -> tuple[InputsOut, FloatArray | None]:
    """The closes behind a matrix and the matrix again; None where they no longer hold a window of all instruments."""
    ids = figure.instrument_ids
    panel, window = read_common_window(connection, known, ids, figure.session, window_sessions, figure.known)
    names = references(known)
    symbols = tuple(names[number] for number in ids)
    if window is None or len(window.columns) < len(ids):
        return InputsOut(sessions=[], close={}, exchange_rates={}), None
    inputs = InputsOut(
        sessions=days_of(panel.sessions[window.rows]),
        close=by_symbol(symbols, panel.close[window.rows]),
        exchange_rates={},
    )
    return inputs, estimate_covariance(window.returns)


def _shown(matrix: FloatArray, measure: str) -> FloatArray:
    return matrix if measure == "covariance" else known_correlation(matrix)


def _definition(measure: str) -> DefinitionOut:
    estimator = COVARIANCES[DEFAULT_COVARIANCE]
    is_covariance = measure == "covariance"
    meaning = COVARIANCE.comment if is_covariance else words_of(correlation_of)
    return DefinitionOut(
        name=measure,
        function=path_of(estimator),
        meaning=meaning or "",
        unit=UNIT if is_covariance else CORRELATION.name,
        formula=words_of(estimator) if is_covariance else f"{words_of(correlation_of)} {words_of(estimator)}",
        source=sources_of(estimator),
        parameters={},
    )
