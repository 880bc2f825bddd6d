"""Why a stored risk measure is what it is: its inputs, its formula, its parameters, and the write that made it.

The inputs suffice: `HeldPortfolio` or the returns that are made of them, measured by the named definition, give the
stored value again. The service does that itself and tells by how much the two differ.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import date, timedelta

from fastapi import APIRouter
from psycopg import Connection

from pipeline.risk.measures import MEASURES, RiskSpec, measure_named
from pipeline.risk.measures.risk_free import MOST_DAYS_OLD
from pipeline.store.instrument_risk import read_instrument_risk
from pipeline.store.instruments import benchmark_of, read_instrument, read_instruments
from pipeline.store.interest_rates import INTEREST_RATES
from pipeline.store.point_in_time import Knowledge
from pipeline.store.portfolio_risk import read_portfolio_risk
from pipeline.store.portfolios import read_portfolio
from pipeline.store.provenance import Materialization, read_materialization
from pipeline.store.reading import Window
from pipeline.store.risk_columns import RiskRow
from serving.deps import Database
from serving.inputs import InstrumentPath, PortfolioPath
from serving.routes.explaining.documented import definition_of
from serving.routes.explaining.envelope import Explained, ExplanationOut
from serving.routes.explaining.figures import Figure, explanation, known_figure, not_stored
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
    recompute,
    with_rates,
)
from serving.routing import ComputingRoute

router = APIRouter(route_class=ComputingRoute, tags=["risk"])


@router.get("/instruments/{symbol}/risk/explain")
def explain_instrument_risk(symbol: InstrumentPath, query: Explained, database: Database) -> ExplanationOut:
    """Explain a stored measure of an instrument."""
    require_measure(query.measure)
    spec = RiskSpec()
    with database.reading() as connection:
        instrument = read_instrument(connection, symbol)
        rows = read_instrument_risk(connection, instrument.id, _on(query.session))
        row = _only(rows, symbol, query.session, f"instruments/{symbol}/risk")
        write = read_materialization(connection, row.materialization_id)
        figure = risk_figure(instrument.symbol, [instrument.id], row, write, query.measure, spec)
        benchmark = benchmark_of(read_instruments(connection))
        panel = read_known_panel(
            connection, [instrument.id], benchmark, row.session, figure.known, spec.window_sessions
        )
        inputs = instrument_inputs(panel, instrument, benchmark, spec.window_sessions)
        return _measured(connection, figure, row, inputs, spec, database.notice(connection))


@router.get("/portfolios/{reference}/risk/explain")
def explain_portfolio_risk(reference: PortfolioPath, query: Explained, database: Database) -> ExplanationOut:
    """Explain a stored measure of a portfolio."""
    require_measure(query.measure)
    spec = RiskSpec()
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        rows = read_portfolio_risk(connection, portfolio.id, _on(query.session))
        row = _only(rows, reference, query.session, f"portfolios/{reference}/risk")
        write = read_materialization(connection, row.materialization_id)
        portfolio = read_portfolio(connection, reference, Knowledge(write.finished_at))
        figure = risk_figure(name_of(portfolio), ids_of(portfolio), row, write, query.measure, spec)
        benchmark = benchmark_of(read_instruments(connection), portfolio.benchmark_id)
        panel = read_held_panel(connection, portfolio, benchmark, row.session, figure.known, spec.window_sessions)
        inputs = portfolio_inputs(panel, portfolio, benchmark, spec.window_sessions)
        return _measured(connection, figure, row, inputs, spec, database.notice(connection))


def require_measure(name: str) -> None:
    """Refuse what is no registered measure.

    Raises
    ------
    NotFoundError
        Listing them.
    """
    known_figure(name, [measure.name for measure in MEASURES])


def risk_figure(
    subject: str, ids: list[int], row: RiskRow, write: Materialization, measure: str, spec: RiskSpec
) -> Figure:
    """A measure of a stored row."""
    parameters = {name: float(value) for name, value in asdict(spec).items()}
    definition = definition_of(measure_named(measure))
    return Figure(subject, ids, row.session, getattr(row, measure), row.reason, write, definition, parameters)


def with_own_rates(
    connection: Connection, figure: Figure, row: RiskRow, inputs: Inputs, measure: str
) -> tuple[Figure, Inputs]:
    """The rates that a measure takes, if it takes any, and the months that they were published in."""
    if not measure_named(measure).reads_risk_free:
        return figure, inputs
    found = with_rates(connection, inputs, row.risk_free, figure.known)
    if found.risk_free is None:
        return figure, inputs
    first, last = days_of(found.sessions[[0, -1]])
    months = {INTEREST_RATES: (first - timedelta(days=MOST_DAYS_OLD), last)}
    return replace(figure, inputs=months), found


def _measured(
    connection: Connection, figure: Figure, row: RiskRow, inputs: Inputs, spec: RiskSpec, notice: str | None
) -> ExplanationOut:
    figure, inputs = with_own_rates(connection, figure, row, inputs, figure.definition.name)
    found = recompute(inputs, spec)
    again = None if found is None else found.values[figure.definition.name]
    return explanation(connection, figure, inputs_out(inputs, found), again, notice)


def _on(session: date | None) -> Window:
    return Window(session, session, 1)


def _only(rows: list[RiskRow], subject: str, session: date | None, address: str) -> RiskRow:
    if not rows:
        raise not_stored(subject, "risk", session, address)
    return rows[-1]
