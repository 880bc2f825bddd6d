"""Why a stored risk measure is what it is: its inputs, its formula, its parameters, and the write that made it.

The inputs suffice: `HeldPortfolio` or the returns that are made of them, measured by the named definition, give the
stored value again. The service does that itself and tells by how much the two differ.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from psycopg import Connection
from pydantic import BaseModel, ConfigDict, Field

from pipeline.base.errors import NotFoundError
from pipeline.base.types import DateArray, FloatArray, IntArray, Rebalancing, add_months
from pipeline.risk.measures import Measure, RiskSpec, measure_named
from pipeline.risk.measures.holdings import Holdings, first_needed_row, scenario_returns
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import benchmark_returns, held_series, latest_report
from pipeline.store.exchange import MOST_DAYS_OLD
from pipeline.store.fx_rates import FX_RATES
from pipeline.store.instrument_risk import INSTRUMENT_RISK, read_instrument_risk
from pipeline.store.instruments import Instrument, benchmark_of, read_instrument, read_instruments
from pipeline.store.point_in_time import Knowledge
from pipeline.store.portfolio_risk import read_portfolio_risk
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.provenance import Materialization, read_materialization, read_price_writes
from pipeline.store.reading import Window
from pipeline.store.risk_columns import RiskRow
from pipeline.store.schema import unit_of
from serving.answers import Resource, Row
from serving.deps import Database
from serving.inputs import InstrumentPath, IsoDate, PortfolioPath

LOOK_BACK_MONTHS = 16
"""Holds a window of 252 sessions and the quarterly rebalancing before it; what is not needed is left out."""

router = APIRouter(tags=["risk"])


class ExplainQuery(BaseModel):
    """Which number to explain."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: str = Field(description="Name of the measure.", examples=["var_99_1d"], pattern=r"^[a-z0-9_]{1,64}$")
    session: IsoDate | None = Field(None, description="Session of the row; null for the newest.")


Explained = Annotated[ExplainQuery, Query()]


class DefinitionOut(BaseModel):
    """What a measure is."""

    name: str
    function: str = Field(description="Where it is defined in the source.")
    meaning: str
    unit: str
    formula: str
    source: str
    parameters: dict[str, float] = Field(description="Fixed arguments of the definition.")


class InputsOut(BaseModel):
    """Everything that the value was made of, oldest first."""

    sessions: list[date] = Field(description="Closes that were used; the returns are those between them.")
    close: dict[str, list[float]] = Field(
        description="Adjusted closes by symbol, as they were known to the write; of a portfolio in its base currency:"
        " what one unit held since the instrument's first split or dividend has become."
    )
    exchange_rates: dict[str, list[float]] = Field(
        description="Currency → units of the base currency for one of it at each close, by which closes in it were"
        " multiplied; none where nothing was converted."
    )
    amounts: dict[str, float] | None = Field(
        description="Target weights, or quantities in the units of `close` by symbol; null for one alone."
    )
    rebalancing: Rebalancing | None
    weights: dict[str, float] | None = Field(description="Weights at the last close, by which scenarios are made.")
    returns: list[float] = Field(description="What was earned in the window.")
    scenarios: list[float] = Field(description="What the weights at the last close would have earned in the window.")
    benchmark: str | None
    benchmark_close: list[float] | None = Field(description="As `close`.")


class WriteOut(Row):
    """A write of an asset."""

    id: int
    asset: str
    run_id: str
    code_version: str
    started_at: datetime
    finished_at: datetime


class ExplanationOut(Resource):
    """A stored number and all that it follows from."""

    subject: str
    session: date
    value: float | None
    recomputed: float | None = Field(description="The value from `inputs`, computed for this answer.")
    difference: float | None = Field(description="Recomputed less stored.")
    undefined_because: str | None
    definition: DefinitionOut
    parameters: dict[str, float]
    inputs: InputsOut
    written_by: WriteOut
    prices_written_by: list[WriteOut]
    partitions: dict[str, list[date]] = Field(description="Asset → months that the number rests on.")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one window is measured from.

    Parameters
    ----------
    sessions
        (t,) closes, no more than are needed.
    close
        (t, n) adjusted closes of what is held, in the portfolio's currency.
    symbols
        Of the n.
    holdings
        None for an instrument by itself.
    benchmark_close
        (t,) or None.
    exchange_rates
        Currency → (t,) of those that were converted.
    """

    sessions: DateArray
    close: FloatArray
    symbols: tuple[str, ...]
    holdings: Holdings | None
    benchmark: str | None
    benchmark_close: FloatArray | None
    exchange_rates: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored number that is asked about.

    Parameters
    ----------
    subject
        Symbol, or slug or id.
    instrument_ids
        What it was made of.
    session, value, reason
        Of the row; `reason` says why there is no value.
    write
        What wrote the row.
    definition
        What the number is.
    parameters
        What it was computed with.
    """

    subject: str
    instrument_ids: list[int]
    session: date
    value: float | None
    reason: str | None
    write: Materialization
    definition: DefinitionOut
    parameters: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Recomputed:
    """The measures of the window, and the series between its inputs and them."""

    values: Mapping[str, float]
    returns: FloatArray
    scenarios: FloatArray
    weights: FloatArray | None


@router.get("/instruments/{symbol}/risk/explain")
def explain_instrument_risk(symbol: InstrumentPath, query: Explained, database: Database) -> ExplanationOut:
    """Explain a stored measure of an instrument."""
    measure = measure_named(query.measure)
    with database.reading() as connection:
        instrument = read_instrument(connection, symbol)
        row = _row(read_instrument_risk(connection, instrument.id, _on(query.session)), symbol, query.session)
        write = read_materialization(connection, row.materialization_id)
        benchmark = benchmark_of(read_instruments(connection))
        panel = read_known_panel(connection, [instrument.id], benchmark, row.session, write)
        inputs = instrument_inputs(panel, instrument, benchmark, RiskSpec())
        stored = _stored(instrument.symbol, [instrument.id], row, write, measure)
        return _measured(connection, stored, inputs, database.notice(connection))


@router.get("/portfolios/{reference}/risk/explain")
def explain_portfolio_risk(reference: PortfolioPath, query: Explained, database: Database) -> ExplanationOut:
    """Explain a stored measure of a portfolio."""
    measure = measure_named(query.measure)
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        row = _row(read_portfolio_risk(connection, portfolio.id, _on(query.session)), reference, query.session)
        write = read_materialization(connection, row.materialization_id)
        portfolio = read_portfolio(connection, reference, Knowledge(write.finished_at))
        benchmark = benchmark_of(read_instruments(connection))
        ids = [position.instrument_id for position in portfolio.positions]
        panel = read_known_panel(connection, ids, benchmark, row.session, write)
        inputs = portfolio_inputs(panel, portfolio, benchmark, RiskSpec())
        stored = _stored(portfolio.slug or str(portfolio.id), ids, row, write, measure)
        return _measured(connection, stored, inputs, database.notice(connection))


def instrument_inputs(
    panel: PricePanel, instrument: Instrument, benchmark: Instrument | None, spec: RiskSpec
) -> Inputs:
    """The closes that the last window of an instrument needs; all there are if they are too few."""
    close = panel.column(instrument.id)
    used = np.flatnonzero(np.isfinite(close))[-1 - spec.window_sessions :]
    return _inputs(panel, used, [instrument.id], (instrument.symbol,), benchmark)


def portfolio_inputs(panel: PricePanel, portfolio: Portfolio, benchmark: Instrument | None, spec: RiskSpec) -> Inputs:
    """The closes that the last window of a portfolio needs, its last rebalancing before it included."""
    ids = [position.instrument_id for position in portfolio.positions]
    complete = np.flatnonzero(np.isfinite(panel.columns(ids, portfolio.base_currency)).all(axis=1))
    if len(complete) > spec.window_sessions:
        complete = complete[first_needed_row(panel.sessions[complete], portfolio.rebalancing, spec.window_sessions) :]
    symbols = tuple(position.symbol for position in portfolio.positions)
    holdings = Holdings(portfolio.amounts, portfolio.rebalancing)
    return _inputs(panel, complete, ids, symbols, benchmark, holdings, portfolio.base_currency)


def recompute(inputs: Inputs, spec: RiskSpec) -> Recomputed | None:
    """Measure the last window of the inputs as the pipeline does; None if it is not full."""
    if len(inputs.sessions) <= spec.window_sessions:
        return None
    window = slice(-spec.window_sessions, None)
    if inputs.holdings is None:
        returns = simple_returns(inputs.close[:, 0])
        benchmark = None if inputs.benchmark_close is None else benchmark_returns(inputs.benchmark_close)
        return Recomputed(latest_report(returns, benchmark, spec), returns[window], returns[window], None)
    series = held_series(inputs.close, inputs.sessions, inputs.benchmark_close, inputs.holdings)
    held = series.held
    values = latest_report(held.returns, series.benchmark, spec, held)
    scenarios = scenario_returns(held, len(held.returns), spec.window_sessions)
    return Recomputed(values, held.returns[window], scenarios, held.weights[-1])


def _inputs(
    panel: PricePanel,
    rows: IntArray,
    ids: list[int],
    symbols: tuple[str, ...],
    benchmark: Instrument | None,
    holdings: Holdings | None = None,
    currency: str | None = None,
) -> Inputs:
    index = None if benchmark is None else panel.column(benchmark.id, currency)[rows]
    known = benchmark is not None and index is not None and bool(np.isfinite(index).all())
    return Inputs(
        panel.sessions[rows],
        panel.columns(ids, currency)[rows],
        symbols,
        holdings,
        benchmark.symbol if benchmark is not None and known else None,
        index if known else None,
        {} if currency is None else _rates_used(panel, rows, [*ids, *([benchmark.id] if benchmark else [])], currency),
    )


def _rates_used(panel: PricePanel, rows: IntArray, ids: list[int], currency: str) -> dict[str, FloatArray]:
    """What each other currency of the instruments was multiplied by."""
    if not panel.exchange.currencies:
        return {}
    own = {panel.exchange.currencies[int(np.flatnonzero(panel.instrument_ids == number)[0])] for number in ids}
    return {code: panel.exchange.rate(code, currency)[rows] for code in sorted(own - {currency})}


def _on(session: date | None) -> Window:
    return Window(session, session, 1)


def _row(rows: list[RiskRow], subject: str, session: date | None) -> RiskRow:
    if not rows:
        when = "" if session is None else f" on {session}"
        raise NotFoundError(f"{subject} has no stored risk{when}", "Ask for a session of GET …/risk.")
    return rows[-1]


def read_known_panel(
    connection: Connection,
    ids: list[int],
    benchmark: Instrument | None,
    session: date,
    write: Materialization,
    months: int = LOOK_BACK_MONTHS,
) -> PricePanel:
    """Prices as the write knew them, up to the session that it measured."""
    wanted = list(dict.fromkeys([*ids, *([benchmark.id] if benchmark else [])]))
    first = add_months(session.replace(day=1), -months)
    end = date.fromordinal(session.toordinal() + 1)
    return read_price_panel(connection, wanted, first, end, Knowledge(write.finished_at))


def _stored(subject: str, ids: list[int], row: RiskRow, write: Materialization, measure: Measure) -> Stored:
    parameters = {name: float(value) for name, value in asdict(RiskSpec()).items()}
    value: float | None = getattr(row, measure.name)
    return Stored(subject, ids, row.session, value, row.reason, write, definition_of(measure), parameters)


def _measured(connection: Connection, stored: Stored, inputs: Inputs, notice: str | None) -> ExplanationOut:
    require_inputs(stored, inputs)
    found = recompute(inputs, RiskSpec())
    again = None if found is None else found.values[stored.definition.name]
    return explanation(connection, stored, inputs_out(inputs, found), again, notice)


def require_inputs(stored: Stored, inputs: Inputs) -> None:
    """Refuse to explain what was made of prices that are gone.

    Raises
    ------
    NotFoundError
        Naming the month.
    """
    if len(inputs.sessions) == 0:
        raise NotFoundError(
            f"The prices that {stored.write.asset} read for {stored.session} are not kept",
            "Compute the month again: fintech backfill.",
        )


def explanation(
    connection: Connection, stored: Stored, inputs: InputsOut, recomputed: float | None, notice: str | None
) -> ExplanationOut:
    """The answer, with the writes behind the prices."""
    again = recomputed if recomputed is not None and np.isfinite(recomputed) else None
    first, last = inputs.sessions[0], inputs.sessions[-1]
    prices = read_price_writes(connection, stored.instrument_ids, first, last, Knowledge(stored.write.finished_at))
    return ExplanationOut(
        subject=stored.subject,
        session=stored.session,
        value=stored.value,
        recomputed=again,
        difference=None if stored.value is None or again is None else again - stored.value,
        undefined_because=None if stored.value is not None else stored.reason,
        definition=stored.definition,
        parameters=dict(stored.parameters),
        inputs=inputs,
        written_by=WriteOut.model_validate(stored.write),
        prices_written_by=[WriteOut.model_validate(price) for price in prices],
        partitions=_partitions(stored, inputs, first, last),
        notice=notice,
    )


def _partitions(stored: Stored, inputs: InputsOut, first: date, last: date) -> dict[str, list[date]]:
    found = {stored.write.asset: [stored.session.replace(day=1)], "prices": _months(first, last)}
    if inputs.exchange_rates:
        # A session without a rate has the last one before it.
        found[FX_RATES] = _months(first - timedelta(days=MOST_DAYS_OLD), last)
    return found


def definition_of(measure: Measure) -> DefinitionOut:
    """A measure in words."""
    column = INSTRUMENT_RISK.columns[measure.name]
    unit = unit_of(column)
    return DefinitionOut(
        name=measure.name,
        function=f"{measure.definition.__module__}.{measure.definition.__qualname__}",
        meaning=column.comment or (inspect.getdoc(measure.definition) or "").splitlines()[0],
        unit=unit.name if unit else "",
        formula=measure.formula,
        source=measure.source,
        parameters=measure.parameters,
    )


def inputs_out(inputs: Inputs, found: Recomputed | None) -> InputsOut:
    """The inputs, and the series between them and the number."""
    holdings = inputs.holdings
    by_symbol = {symbol: column.tolist() for symbol, column in zip(inputs.symbols, inputs.close.T, strict=True)}
    weights = None if found is None or found.weights is None else found.weights.tolist()
    return InputsOut(
        sessions=inputs.sessions.astype(object).tolist(),
        close=by_symbol,
        exchange_rates={code: rate.tolist() for code, rate in inputs.exchange_rates.items()},
        amounts=None if holdings is None else dict(zip(inputs.symbols, holdings.amounts.tolist(), strict=True)),
        rebalancing=None if holdings is None else holdings.rebalancing,
        weights=None if weights is None else dict(zip(inputs.symbols, weights, strict=True)),
        returns=[] if found is None else found.returns.tolist(),
        scenarios=[] if found is None else found.scenarios.tolist(),
        benchmark=inputs.benchmark,
        benchmark_close=None if inputs.benchmark_close is None else inputs.benchmark_close.tolist(),
    )


def _months(first: date, last: date) -> list[date]:
    month, months = first.replace(day=1), []
    while month <= last:
        months.append(month)
        month = add_months(month, 1)
    return months
