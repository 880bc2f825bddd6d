"""How instruments move together: the stored matrix of a month's end, or another estimator's over the same returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query
from psycopg import Connection
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from pipeline.base.errors import InvalidInputError, NotFoundError
from pipeline.base.types import FloatArray
from pipeline.risk.measures.common_window import CommonWindow, common_window, market_sessions, searched_sessions
from pipeline.risk.measures.covariance import estimate_covariance
from pipeline.risk.measures.pairs import known_correlation
from pipeline.store.covariances import CovarianceRow, read_newest_covariance
from pipeline.store.instruments import Instrument, benchmark_of, read_instrument, read_instruments
from pipeline.store.point_in_time import NOW, Knowledge
from pipeline.store.prices import PricePanel, read_price_panel
from serving.answers import Resource
from serving.deps import Database
from serving.inputs import IsoDate
from serving.references import references
from serving.routing import ComputingRoute

CALENDAR_DAYS_PER_SESSION = 1.6
"""365 by 252, and room for holidays."""

MOST_SYMBOLS = 200
"""Rows of one answer: 40,000 numbers of each kind, 1.6 MB."""

router = APIRouter(route_class=ComputingRoute, tags=["risk"])

Estimator = Literal["ledoit_wolf", "sample", "ewma", "oas"]
STORED: Estimator = "ledoit_wolf"
"""The estimator whose matrices the pipeline stores."""

Reference = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,43}$")]
References = Annotated[list[Reference], Field(min_length=1, max_length=500)]


class CovarianceQuery(BaseModel):
    """Which matrix."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    session: IsoDate | None = Field(
        None, description="The newest month's end up to this day is answered with; null for the newest of all."
    )
    symbols: Annotated[list[Reference], Field(min_length=1, max_length=MOST_SYMBOLS)] | None = Field(
        None,
        description="Rows and columns wanted, one parameter each; all where left out, of a matrix that has no more than"
        f" {MOST_SYMBOLS}.",
        examples=[["AAPL", "MSFT"]],
    )
    estimator: Estimator = Field(
        STORED, description="ledoit_wolf is stored; the others are computed over the same returns."
    )


class CovarianceOut(Resource):
    """A covariance matrix of daily returns, each in its instrument's own currency."""

    session: date = Field(description="Last session of the window.")
    estimator: str
    window_sessions: int = Field(description="Returns that were used.")
    computed: bool = Field(description="Whether it was computed for this request; it is stored otherwise.")
    materialization_id: int | None = Field(description="Write that made the stored matrix; null if computed.")
    symbols: list[str] = Field(description="Of the rows and of the columns.")
    covariance: list[list[float]] = Field(description="Of daily returns [fraction², per session]")
    correlation: list[list[float | None]] = Field(description="Null for an instrument that does not vary.")


@dataclass(frozen=True, slots=True)
class Matrix:
    """A covariance matrix and what it is of."""

    ids: list[int]
    covariance: FloatArray
    materialization_id: int | None


@router.get("/covariance")
def get_covariance(query: Annotated[CovarianceQuery, Query()], database: Database) -> CovarianceOut:
    """The covariance matrix of the 252 returns up to a month's end."""
    with database.reading() as connection:
        chosen = [read_instrument(connection, symbol) for symbol in query.symbols or ()]
        stored = read_newest_covariance(connection, STORED, query.session)
        if stored is None:
            raise NotFoundError(
                f"No covariance is stored up to {query.session or 'now'}",
                "Choose a later session, or run 'fintech run'; the first matrix needs 253 sessions with prices.",
            )
        _require_few(stored.ids, chosen)
        instruments = read_instruments(connection)
        if query.estimator == STORED:
            matrix = Matrix(stored.ids, stored.matrix, stored.materialization_id)
        else:
            matrix = estimated_matrix(connection, instruments, stored, query.estimator)
        notice = database.notice(connection)
    return _answer(matrix, stored, query.estimator, chosen, instruments).model_copy(update={"notice": notice})


def _require_few(ids: Sequence[int], chosen: Sequence[Instrument]) -> None:
    """Refuse an answer of more numbers than anyone reads at once.

    Raises
    ------
    InvalidInputError
        Naming the remedy.
    """
    if not chosen and len(ids) > MOST_SYMBOLS:
        raise InvalidInputError(
            f"symbols: the matrix has {len(ids)} instruments, and an answer at most {MOST_SYMBOLS}",
            "Name those you need, one symbols parameter each; several answers make the whole matrix.",
        )


def estimated_matrix(
    connection: Connection, instruments: Sequence[Instrument], stored: CovarianceRow, estimator: str
) -> Matrix:
    """By another estimator, of the same instruments over the same returns.

    Raises
    ------
    NotFoundError
        If the prices no longer fill the window.
    """
    ids, session = stored.ids, stored.session
    _, window = read_common_window(connection, instruments, ids, session, stored.window_sessions)
    if window is None:
        raise NotFoundError(
            f"The prices that the matrix of {session} was made of are there no longer", "Choose another session."
        )
    kept = [ids[column] for column in window.columns]
    return Matrix(kept, estimate_covariance(window.returns, estimator), None)


def read_common_window(
    connection: Connection,
    instruments: Sequence[Instrument],
    ids: Sequence[int],
    last: date,
    window_sessions: int,
    known: Knowledge = NOW,
) -> tuple[PricePanel, CommonWindow | None]:
    """The newest returns up to a day that instruments have in common, on the sessions of the market.

    Returns
    -------
    tuple
        The prices on those sessions with a column for each of `ids`, in that order, and the window in them.
    """
    benchmark = benchmark_of(instruments)
    wanted = list(dict.fromkeys([*ids, *([benchmark.id] if benchmark else [])]))
    days = int(CALENDAR_DAYS_PER_SESSION * searched_sessions(window_sessions)) + 14
    panel = read_price_panel(connection, wanted, last - timedelta(days=days), last + timedelta(days=1), known)
    close = panel.columns(ids)
    kept = market_sessions(close, panel.column(benchmark.id) if benchmark else None)
    on_market = PricePanel(panel.sessions[kept], np.array(ids, dtype=np.int64), close[kept])
    return on_market, common_window(on_market.close, window_sessions)


def _answer(
    matrix: Matrix, stored: CovarianceRow, estimator: str, chosen: Sequence[Instrument], known: Sequence[Instrument]
) -> CovarianceOut:
    names = references(known)
    missing = [names[instrument.id] for instrument in chosen if instrument.id not in matrix.ids]
    if missing:
        raise InvalidInputError(
            f"symbols: {', '.join(missing[:5])} not in the matrix of {stored.session}, for want of"
            f" {stored.window_sessions} returns up to it",
            "Leave them out, or choose another session.",
        )
    ids = list(dict.fromkeys(instrument.id for instrument in chosen)) or matrix.ids
    rows = [matrix.ids.index(wanted) for wanted in ids]
    covariance = matrix.covariance[np.ix_(rows, rows)]
    correlation = known_correlation(covariance)
    return CovarianceOut(
        session=stored.session,
        estimator=estimator,
        window_sessions=stored.window_sessions,
        computed=matrix.materialization_id is None,
        materialization_id=matrix.materialization_id,
        symbols=[names[wanted] for wanted in ids],
        covariance=covariance.tolist(),
        correlation=[[None if np.isnan(value) else value for value in row] for row in correlation.tolist()],
        notice=None,
    )
