"""Why an instrument has the exposure to a factor fund that it has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from psycopg import Connection

from pipeline.base.errors import NotFoundError
from pipeline.base.types import FloatArray
from pipeline.risk.measures.common_window import market_sessions, shared_rows
from pipeline.risk.measures.factor_windows import FIGURES, explained_instruments
from pipeline.risk.measures.factors import FactorExposures, ols_exposures, ridge_exposures
from pipeline.store.factor_exposures import FACTOR_EXPOSURE, FactorExposureRow, read_factor_exposures
from pipeline.store.instruments import (
    Instrument,
    benchmark_of,
    factor_funds_of,
    read_instrument,
    read_instruments,
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
    words_of_field,
)
from serving.routes.explaining.envelope import (
    AskedSession,
    DefinitionOut,
    ExplanationOut,
    InputsOut,
)
from serving.routes.explaining.figures import (
    ROWS_OF_A_SESSION,
    Figure,
    explanation,
    known_figure,
    not_stored,
)
from serving.routes.explaining.prices import by_symbol, days_of, read_known_panel
from serving.routing import ComputingRoute

_FIELDS = {
    "exposure_ols": "betas",
    "standard_error": "beta_standard_errors",
    "t_statistic": "beta_t",
    "exposure_ridge": "betas",
    "ridge_penalty": "penalty",
    "r_squared": "r_squared",
    "residual_volatility": "residual_volatility_daily",
}
"""Figure → field of `FactorExposures` that it is."""

router = APIRouter(route_class=ComputingRoute, prefix="/instruments", tags=["risk"])


@router.get("/{symbol}/factors/explain")
def explain_factor_exposure(
    symbol: InstrumentPath,
    factor: Annotated[str, Query(description="Symbol of the factor fund.", examples=["MTUM"])],
    database: Database,
    measure: Annotated[str, Query(description=f"One of {', '.join(FIGURES)}.")] = "exposure_ols",
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain a figure of an instrument's regression on the factor funds."""
    known_figure(measure, FIGURES)
    with database.reading() as connection:
        instrument = read_instrument(connection, symbol)
        rows = _rows(connection, instrument, session)
        if not rows:
            raise not_stored(symbol, "exposure", session, f"instruments/{symbol}/factors")
        names = [row.factor for row in rows]
        row = rows[names.index(known_figure(factor, names, "factor"))]
        instruments = read_instruments(connection)
        funds = _funds(instruments, names, instrument)
        figure = Figure(
            instrument.symbol,
            [instrument.id, *(fund.id for fund in funds)],
            row.session,
            getattr(row, measure),
            row.reason or None,
            read_materialization(connection, row.materialization_id),
            _definition(measure),
            {"window_sessions": row.window_sessions, "factor": factor},
        )
        inputs = _read_inputs(connection, instrument, funds, benchmark_of(instruments), figure, row.window_sessions)
        again = exposure_again(inputs, instrument.symbol, factor, measure)
        return explanation(connection, figure, inputs, again, database.notice(connection))


def exposure_again(inputs: InputsOut, symbol: str, factor: str, measure: str) -> float | None:
    """A figure from the closes of the instrument and its factors; None where nothing can be regressed."""
    symbols = list(inputs.close)
    close = np.column_stack([inputs.close[name] for name in symbols])
    factors = np.array([place for place, name in enumerate(symbols) if name != symbol])
    own = symbols.index(symbol)
    if len(close) < 2:
        return None
    for explained in explained_instruments(close, factors, len(close) - 1):
        if own in explained.columns:
            row = int(np.flatnonzero(explained.columns == own)[0])
            column = int(np.flatnonzero(explained.factors == symbols.index(factor))[0])
            figures: FloatArray = explained.figures[measure]
            return float(figures[row, column])
    return None


def _rows(connection: Connection, instrument: Instrument, session: date | None) -> Sequence[FactorExposureRow]:
    """Those of the session, or of the newest one: a row a factor."""
    window = Window(session, session, ROWS_OF_A_SESSION)
    rows = read_factor_exposures(connection, instrument.id, window)
    return [row for row in rows if row.session == rows[-1].session]


def _funds(instruments: Sequence[Instrument], names: Sequence[str], explained: Instrument) -> list[Instrument]:
    """The funds of the regression, in the order in which it has them."""
    found = [fund for fund in factor_funds_of(list(instruments)) if fund.symbol in names and fund.id != explained.id]
    missing = set(names) - {fund.symbol for fund in found}
    if missing:
        raise NotFoundError(
            f"Factor funds that were used are registered no longer: {', '.join(sorted(missing))}",
            "Compute the month again: fintech backfill.",
        )
    return found


def _read_inputs(
    connection: Connection,
    instrument: Instrument,
    funds: Sequence[Instrument],
    benchmark: Instrument | None,
    figure: Figure,
    window_sessions: int,
) -> InputsOut:
    """The closes on the newest sessions of the market on which the instrument and its factors all have a price."""
    ids = [instrument.id, *(fund.id for fund in funds)]
    panel = read_known_panel(connection, ids, benchmark, figure.session, figure.known, window_sessions)
    close = panel.columns(ids)
    market = np.flatnonzero(market_sessions(close, panel.column(benchmark.id) if benchmark else None))
    rows = market[shared_rows(close[market], window_sessions)]
    symbols = (instrument.symbol, *(fund.symbol for fund in funds))
    return InputsOut(sessions=days_of(panel.sessions[rows]), close=by_symbol(symbols, close[rows]), exchange_rates={})


def _definition(measure: str) -> DefinitionOut:
    function = ridge_exposures if "ridge" in measure else ols_exposures
    formula = f"{words_of(function)} {words_of_field(FactorExposures, _FIELDS[measure])}"
    return definition_of_column(FACTOR_EXPOSURE, measure, path_of(function), formula, sources_of(function))
