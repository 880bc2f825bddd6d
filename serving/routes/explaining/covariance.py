"""Why a stored covariance or correlation of two instruments is what it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated

import numpy as np
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
from serving.routes.covariance import (
    STORED,
    CovarianceOut,
    Estimator,
    Matrix,
    Reference,
    estimated_matrix,
    read_common_window,
)
from serving.routes.explaining.documented import path_of, sources_of, words_of
from serving.routes.explaining.envelope import DefinitionOut, ExplanationOut, InputsOut
from serving.routes.explaining.figures import Figure, explanation, known_figure, not_stored
from serving.routes.explaining.prices import by_symbol, days_of
from serving.routing import ComputingRoute

COVARIANCE_FIGURES = ("covariance", "correlation")
UNIT = "fraction², per session"
NO_VARIATION = "no_variation"

router = APIRouter(route_class=ComputingRoute, tags=["risk"])


@router.get("/covariance/explain")
def explain_covariance(
    symbol: Annotated[Reference, Query(description="Instrument of the row.", examples=["AAPL"])],
    other: Annotated[
        Reference, Query(description="Instrument of the column; the same for a variance.", examples=["MSFT"])
    ],
    database: Database,
    measure: Annotated[str, Query(description=f"One of {', '.join(COVARIANCE_FIGURES)}.")] = "covariance",
    session: Annotated[
        IsoDate | None, Query(description="The newest month's end up to this day; null for the newest of all.")
    ] = None,
    estimator: Annotated[
        Estimator, Query(description="ledoit_wolf is stored; the others are computed over the same returns.")
    ] = STORED,
) -> ExplanationOut:
    """Explain an entry of a matrix; an estimator may look at every instrument, so all of them are inputs."""
    known_figure(measure, COVARIANCE_FIGURES)
    with database.reading() as connection:
        chosen = [read_instrument(connection, reference) for reference in (symbol, other)]
        row = _row(read_newest_covariance(connection, DEFAULT_COVARIANCE, session), session)
        known = read_instruments(connection)
        stored = Matrix(row.ids, row.matrix, row.materialization_id)
        is_stored = estimator == STORED
        served = stored if is_stored else estimated_matrix(connection, known, row, estimator)
        names, ids = references(known), served.ids
        subjects = [names[instrument.id] for instrument in chosen]
        places = [_place(ids, instrument, row) for instrument in chosen]
        figure = Figure(
            ", ".join(subjects),
            ids,
            row.session,
            float(_shown(served.covariance, measure)[places[0], places[1]]),
            NO_VARIATION,
            read_materialization(connection, row.materialization_id) if is_stored else None,
            _definition(measure, estimator),
            {
                "estimator": estimator,
                "window_sessions": row.window_sessions,
                "row": subjects[0],
                "column": subjects[1],
            },
        )
        inputs, matrix = _read_matrix(connection, known, figure, row, estimator)
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
    connection: Connection, known: Sequence[Instrument], figure: Figure, row: CovarianceRow, estimator: str
) -> tuple[InputsOut, FloatArray | None]:
    """The closes behind a matrix and the matrix again; None where they no longer hold a window of all instruments."""
    panel, window = read_common_window(connection, known, row.ids, row.session, row.window_sessions, figure.known)
    names, ids = references(known), figure.instrument_ids
    if window is None or [row.ids[column] for column in window.columns] != ids:
        return InputsOut(sessions=[], close={}, exchange_rates={}), None
    inputs = InputsOut(
        sessions=days_of(panel.sessions[window.rows]),
        close=by_symbol(tuple(names[number] for number in ids), panel.close[np.ix_(window.rows, window.columns)]),
        exchange_rates={},
    )
    return inputs, estimate_covariance(window.returns, estimator)


def _shown(matrix: FloatArray, measure: str) -> FloatArray:
    return matrix if measure == "covariance" else known_correlation(matrix)


def _definition(measure: str, name: str) -> DefinitionOut:
    estimator = COVARIANCES[name]
    is_covariance = measure == "covariance"
    of_matrix = COVARIANCE.comment if name == STORED else CovarianceOut.model_fields["covariance"].description
    meaning = of_matrix if is_covariance else words_of(correlation_of)
    return DefinitionOut(
        name=measure,
        function=path_of(estimator),
        meaning=meaning or "",
        unit=UNIT if is_covariance else CORRELATION.name,
        formula=words_of(estimator) if is_covariance else f"{words_of(correlation_of)} {words_of(estimator)}",
        source=sources_of(estimator),
        parameters={},
    )
