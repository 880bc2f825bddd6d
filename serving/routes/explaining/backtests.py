"""Why a stored backtest says what it says: the forecasts that were judged, and what was earned after each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from psycopg import Connection

from pipeline.base.types import FloatArray
from pipeline.risk.measures.backtests import (
    VarBacktest,
    conditional_coverage_test,
    exceptions_of,
    independence_test,
    kupiec_test,
    traffic_light,
)
from pipeline.risk.measures.durations import duration_test
from pipeline.risk.measures.rolling_backtests import JudgedForecasts, rolling_backtests
from pipeline.risk.measures.shortfall_backtests import acerbi_szekely_z1, acerbi_szekely_z2
from pipeline.risk.measures.shortfall_nulls import z1_p_values, z2_p_values
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.risk.measures.windows import simple_returns
from pipeline.store.instrument_risk import INSTRUMENT_RISK, read_instrument_risk
from pipeline.store.instruments import read_instrument
from pipeline.store.portfolio_risk import PORTFOLIO_RISK, read_portfolio_risk
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL, read_portfolio_tails
from pipeline.store.portfolios import read_portfolio
from pipeline.store.provenance import read_materialization
from pipeline.store.reading import Window
from pipeline.store.schema import value_columns
from pipeline.store.var_backtests import VAR_BACKTEST, BacktestRow, read_var_backtests
from serving.deps import Database
from serving.inputs import InstrumentPath, PortfolioPath
from serving.routes.explaining.documented import (
    Documented,
    definition_of_column,
    path_of,
    sources_of,
    words_of,
    words_of_field,
    words_of_module,
)
from serving.routes.explaining.envelope import (
    AskedSession,
    DefinitionOut,
    ExplanationOut,
    InputsOut,
    JudgedForecastsOut,
    Value,
)
from serving.routes.explaining.figures import (
    ROWS_OF_A_SESSION,
    Figure,
    explanation,
    known_figure,
    not_stored,
)
from serving.routes.explaining.prices import (
    Inputs,
    days_of,
    ids_of,
    inputs_out,
    instrument_inputs,
    name_of,
    portfolio_inputs,
    read_held_panel,
    read_known_panel,
)
from serving.routes.explaining.tails import TAIL_FIGURES, confidence_of
from serving.routing import ComputingRoute

BACKTEST_FIGURES = tuple(name for name in value_columns(VAR_BACKTEST) if name != "reason")
BACKTEST_MEASURES = tuple(name for name in TAIL_FIGURES if name.startswith("var"))

_FUNCTIONS: Mapping[str, Documented] = {
    "kupiec": kupiec_test,
    "independence": independence_test,
    "conditional_coverage": conditional_coverage_test,
    "duration": duration_test,
    "shortfall_z1": acerbi_szekely_z1,
    "shortfall_z2": acerbi_szekely_z2,
    "traffic_light": traffic_light,
    "basel_multiplier": traffic_light,
    "exceptions": exceptions_of,
}
_P_VALUES: Mapping[str, Documented] = {"shortfall_z1": z1_p_values, "shortfall_z2": z2_p_values}
FORECASTS_PER_OBSERVATION = 4
"""Rows that are read for each session that was judged: some have no figure."""

AskedFigure = Annotated[str, Query(description=f"One of {', '.join(BACKTEST_FIGURES)}.", examples=["kupiec_p_value"])]
AskedMeasure = Annotated[
    str, Query(description=f"Which forecasts: one of {', '.join(BACKTEST_MEASURES)}.", examples=["var_99_1d"])
]

router = APIRouter(route_class=ComputingRoute, tags=["risk"])


@dataclass(frozen=True, slots=True)
class Judged:
    """The forecasts that a backtest judged, with the returns after them.

    Parameters
    ----------
    sessions
        (n,) at whose close they were made.
    forecasts
        What is judged.
    writes
        Of their rows.
    """

    sessions: list[date]
    forecasts: JudgedForecasts
    writes: list[int]


@router.get("/portfolios/{reference}/backtests/explain")
def explain_portfolio_backtest(
    reference: PortfolioPath,
    method: Annotated[str, Query(description="Method of the forecasts.", examples=["filtered_historical"])],
    measure: AskedMeasure,
    figure: AskedFigure,
    database: Database,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain a figure of a stored backtest of a portfolio."""
    known_figure(figure, BACKTEST_FIGURES, "figure")
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        address = f"portfolios/{reference}/backtests"
        row = _row(connection, ("portfolio", portfolio.id), (method, measure), session, (reference, address))
        asked = _figure(connection, name_of(portfolio), ids_of(portfolio), row, figure)
        portfolio = read_portfolio(connection, reference, asked.known)
        stored = _portfolio_forecasts(connection, portfolio.id, row)

        def read_inputs(first: date, sessions: int) -> Inputs:
            panel = read_held_panel(connection, portfolio, None, row.session, asked.known, sessions)
            return portfolio_inputs(panel, portfolio, None, _returns_since(panel.sessions, first))

        return _explained(connection, asked, row, stored, read_inputs, database)


@router.get("/instruments/{symbol}/backtests/explain")
def explain_instrument_backtest(
    symbol: InstrumentPath,
    measure: AskedMeasure,
    figure: AskedFigure,
    database: Database,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain a figure of a stored backtest of an instrument."""
    known_figure(figure, BACKTEST_FIGURES, "figure")
    with database.reading() as connection:
        instrument = read_instrument(connection, symbol)
        address = f"instruments/{symbol}/backtests"
        row = _row(connection, ("instrument", instrument.id), (None, measure), session, (symbol, address))
        asked = _figure(connection, instrument.symbol, [instrument.id], row, figure)
        risk = read_instrument_risk(connection, instrument.id, _window(row))

        def read_inputs(first: date, sessions: int) -> Inputs:
            panel = read_known_panel(connection, [instrument.id], None, row.session, asked.known, sessions)
            return instrument_inputs(panel, instrument, None, _returns_since(panel.sessions, first))

        return _explained(connection, asked, row, (INSTRUMENT_RISK.name, risk), read_inputs, database)


def backtest_again(forecasts: JudgedForecasts) -> dict[str, Value]:
    """Every figure of one backtest; NaN where it has no value."""
    made = rolling_backtests(forecasts, np.array([0]), np.array([len(forecasts.returns)]))
    counts = {"observations": int(made.observations[0]), "exceptions": int(made.exceptions[0])}
    return {
        **counts,
        "expected_exceptions": (1.0 - forecasts.confidence) * counts["observations"],
        **{name: float(column[0]) for name, column in made.values.items()},
        "traffic_light": bytes(made.zones[0]).decode() or None,
    }


def _explained(
    connection: Connection,
    asked: Figure,
    row: BacktestRow,
    stored: tuple[str, Sequence[Any]],
    read_inputs: Callable[[date, int], Inputs],
    database: Database,
) -> ExplanationOut:
    """The answer from the table of the forecasts, its rows, and a reader of the closes since the first of them."""
    table, rows = stored
    names = [name for name in (row.measure, _es_of(row.measure, rows[-1] if rows else None)) if name is not None]
    rows = [r for r in rows if all(getattr(r, name) is not None for name in names)][-row.observations - 1 :]
    inputs = read_inputs(rows[0].session, len(rows) + 1) if rows else None
    if inputs is None or len(inputs.sessions) < 2:
        raise not_stored(asked.subject, "forecast or price of that time", row.session, f"tables of {table}")
    judged = _judged(inputs, rows, row)
    figure = _with_forecasts(asked, table, judged)
    given = _with_judged(inputs_out(inputs, None), judged, row.measure)
    again = backtest_again(judged.forecasts)[figure.definition.name]
    return explanation(connection, figure, given, again, database.notice(connection))


def _portfolio_forecasts(connection: Connection, portfolio_id: int, row: BacktestRow) -> tuple[str, Sequence[Any]]:
    """The table of the forecasts that a row judged, and its rows."""
    if row.method in VAR_METHODS:
        return PORTFOLIO_TAIL.name, read_portfolio_tails(connection, portfolio_id, _window(row), row.method)
    return PORTFOLIO_RISK.name, read_portfolio_risk(connection, portfolio_id, _window(row))


def _row(
    connection: Connection,
    subject: tuple[str, int],
    series: tuple[str | None, str],
    session: date | None,
    named: tuple[str, str],
) -> BacktestRow:
    """The newest row of a series, or that of the session."""
    method, measure = series
    found = read_var_backtests(connection, *subject, Window(session, session, ROWS_OF_A_SESSION))
    known = [row for row in found if row.session == found[-1].session]
    if not known:
        raise not_stored(named[0], "backtest", session, named[1])
    if method is not None:
        known_figure(method, list(dict.fromkeys(row.method for row in known)), "method")
        known = [row for row in known if row.method == method]
    known_figure(measure, [row.measure for row in known])
    return next(row for row in known if row.measure == measure)


def _figure(connection: Connection, subject: str, ids: list[int], row: BacktestRow, name: str) -> Figure:
    value: Value = getattr(row, name)
    return Figure(
        subject,
        ids,
        row.session,
        value if value != "" else None,
        row.reason or None,
        read_materialization(connection, row.materialization_id),
        backtest_definition(name),
        {"method": row.method, "measure": row.measure, "confidence": confidence_of(row.measure)},
    )


def _judged(inputs: Inputs, rows: Sequence[Any], row: BacktestRow) -> Judged:
    """The newest forecasts that a return followed up to the row's session, as many as it judged."""
    es_name = _es_of(row.measure, rows[0])
    returns = simple_returns(inputs.close[:, 0]) if inputs.holdings is None else inputs.series.held.returns
    place = {day: number for number, day in enumerate(days_of(inputs.sessions)[:-1])}
    known = [r for r in rows if r.session in place][-row.observations :]

    def column(name: str) -> FloatArray:
        return np.array([getattr(r, name) for r in known], dtype=np.float64)

    sessions = [r.session for r in known]
    earned = returns[[place[day] for day in sessions]]
    es = None if es_name is None else column(es_name)
    forecasts = JudgedForecasts(earned, column(row.measure), es, confidence_of(row.measure))
    return Judged(sessions, forecasts, sorted({r.materialization_id for r in known}))


def _window(row: BacktestRow) -> Window:
    return Window(None, row.session, FORECASTS_PER_OBSERVATION * (row.observations + 1))


def _es_of(measure: str, row: object) -> str | None:
    """Expected shortfall of the same confidence; None where the table has none."""
    name = measure.replace("var", "es", 1)
    return name if hasattr(row, name) else None


def _with_judged(inputs: InputsOut, judged: Judged, measure: str) -> InputsOut:
    forecasts = judged.forecasts
    values = {measure: forecasts.var.tolist()}
    if forecasts.es is not None:
        values[measure.replace("var", "es", 1)] = forecasts.es.tolist()
    return inputs.model_copy(
        update={
            "returns": forecasts.returns.tolist(),
            "forecasts": JudgedForecastsOut(sessions=judged.sessions, values=values),
        }
    )


def _with_forecasts(figure: Figure, table: str, judged: Judged) -> Figure:
    days = (judged.sessions[0], judged.sessions[-1])
    return replace(figure, inputs={table: days}, input_writes=judged.writes)


def _returns_since(sessions: np.ndarray, first: date) -> int:
    """Returns of a panel from a session on."""
    return max(len(sessions) - 1 - int(np.searchsorted(sessions, np.datetime64(first, "D"))), 1)


def backtest_definition(name: str) -> DefinitionOut:
    """A figure of a backtest, in the words of the test that it is of."""
    test = name.removesuffix("_statistic").removesuffix("_p_value")
    function = _FUNCTIONS.get(test, VarBacktest)
    formula = words_of_field(VarBacktest, name) if function is VarBacktest else words_of(function)
    if name.endswith("_p_value") and test in _P_VALUES:
        null = _P_VALUES[test]
        formula = f"{formula} {words_of(null)} {words_of_module(null)}"
    return definition_of_column(VAR_BACKTEST, name, path_of(function), formula, sources_of(function))
