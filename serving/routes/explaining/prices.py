"""The closes that a figure was made of, as they were known to its write, and the series between them and it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
from psycopg import Connection

from pipeline.base.types import DateArray, FloatArray, IntArray, add_months
from pipeline.risk.measures import RiskSpec
from pipeline.risk.measures.holdings import Holdings, first_needed_row, scenario_returns
from pipeline.risk.measures.risk_free import MOST_DAYS_OLD, QUOTATIONS, RiskFree, rate_series
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import HeldSeries, benchmark_returns, held_series, latest_report
from pipeline.store.instruments import Instrument
from pipeline.store.interest_rates import read_rate_quotes
from pipeline.store.point_in_time import Knowledge
from pipeline.store.portfolios import Portfolio
from pipeline.store.prices import PricePanel, read_price_panel
from serving.routes.explaining.envelope import InputsOut, RiskFreeOut

SESSIONS_A_MONTH = 20
"""Fewer than most months have, so that months enough for a window are read."""

MONTHS_BEFORE = 4
"""The quarter in which the weights at a window's start were set, and a month to spare."""


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
    currencies
        Symbol → currency of its own prices; empty where nothing was converted.
    risk_free
        (t-1,) rates of the returns; None for the spec's.
    """

    sessions: DateArray
    close: FloatArray
    symbols: tuple[str, ...]
    holdings: Holdings | None = None
    benchmark: str | None = None
    benchmark_close: FloatArray | None = None
    exchange_rates: Mapping[str, FloatArray] | None = None
    currencies: Mapping[str, str] | None = None
    risk_free: RiskFree | None = None

    @property
    def series(self) -> HeldSeries:
        """The portfolio on its sessions."""
        assert self.holdings is not None  # a portfolio's
        return held_series(self.close, self.sessions, self.benchmark_close, self.holdings)


@dataclass(frozen=True, slots=True)
class Recomputed:
    """The measures of the window, and the series between its inputs and them."""

    values: Mapping[str, float]
    returns: FloatArray
    scenarios: FloatArray
    weights: FloatArray | None


def read_known_panel(
    connection: Connection,
    ids: list[int],
    benchmark: Instrument | None,
    session: date,
    known: Knowledge,
    window_sessions: int,
) -> PricePanel:
    """Prices as they were known, up to a session, on enough sessions for a window and the rebalancing before it."""
    wanted = list(dict.fromkeys([*ids, *([benchmark.id] if benchmark else [])]))
    months = math.ceil(window_sessions / SESSIONS_A_MONTH) + MONTHS_BEFORE
    first = add_months(session.replace(day=1), -months)
    return read_price_panel(connection, wanted, first, session + timedelta(days=1), known)


def read_held_panel(
    connection: Connection,
    portfolio: Portfolio,
    benchmark: Instrument | None,
    session: date,
    known: Knowledge,
    window_sessions: int,
) -> PricePanel:
    """As `read_known_panel`, of a portfolio; with a drift band from its first session on, where its weights begin."""
    ids = ids_of(portfolio)
    if portfolio.rebalancing != "drift_band":
        return read_known_panel(connection, ids, benchmark, session, known, window_sessions)
    wanted = list(dict.fromkeys([*ids, *([benchmark.id] if benchmark else [])]))
    return read_price_panel(connection, wanted, None, session + timedelta(days=1), known)


def instrument_inputs(
    panel: PricePanel, instrument: Instrument, benchmark: Instrument | None, window_sessions: int
) -> Inputs:
    """The closes that the last window of an instrument needs; all there are if they are too few."""
    close = panel.column(instrument.id)
    used = np.flatnonzero(np.isfinite(close))[-1 - window_sessions :]
    index = _benchmark_inputs(panel, used, benchmark)
    return Inputs(panel.sessions[used], close[used, None], (instrument.symbol,), None, *index)


def portfolio_inputs(
    panel: PricePanel, portfolio: Portfolio, benchmark: Instrument | None, window_sessions: int
) -> Inputs:
    """The closes that the last window of a portfolio needs, its last rebalancing before it included."""
    held = dict(zip(symbols_of(portfolio), ids_of(portfolio), strict=True))
    holdings = Holdings(portfolio.amounts, *portfolio.policy)
    return holdings_inputs(panel, held, holdings, portfolio.base_currency, benchmark, window_sessions)


def holdings_inputs(
    panel: PricePanel,
    held: Mapping[str, int],
    holdings: Holdings,
    currency: str,
    benchmark: Instrument | None,
    window_sessions: int,
) -> Inputs:
    """As `portfolio_inputs`, of anything that is held.

    Parameters
    ----------
    held
        Symbol → instrument, in the order of the holdings.
    """
    symbols, ids = tuple(held), list(held.values())
    close = panel.columns(ids, currency)
    rows = np.flatnonzero(np.isfinite(close).all(axis=1))
    if len(rows) > window_sessions:
        rows = rows[first_needed_row(close[rows], panel.sessions[rows], holdings, window_sessions) :]
    index, index_close = _benchmark_inputs(panel, rows, benchmark, currency)
    own = dict(zip(symbols, currencies_of(panel, ids, currency), strict=True))
    if benchmark is not None and index is not None:
        own.setdefault(index, *currencies_of(panel, [benchmark.id], currency))
    rates = rates_used(panel, rows, own, currency)
    return Inputs(
        panel.sessions[rows], close[rows], symbols, holdings, index, index_close, rates, own if rates else None
    )


def with_rates(connection: Connection, inputs: Inputs, series: str | None, known: Knowledge) -> Inputs:
    """The inputs with the risk-free rates that their row was measured by.

    Parameters
    ----------
    series
        As the row says: the name of a series, or that there was none.
    """
    if series is None or series not in QUOTATIONS or len(inputs.sessions) == 0:
        return inputs
    first, last = inputs.sessions[0].astype(date), inputs.sessions[-1].astype(date)
    quotes = read_rate_quotes(connection, [series], first - timedelta(days=MOST_DAYS_OLD), last, known)
    if series not in quotes:
        return inputs
    return replace(inputs, risk_free=rate_series(series, quotes[series]).between(inputs.sessions))


def ids_of(portfolio: Portfolio) -> list[int]:
    """Instruments of the positions."""
    return [position.instrument_id for position in portfolio.positions]


def symbols_of(portfolio: Portfolio) -> tuple[str, ...]:
    """Symbols of the positions."""
    return tuple(position.symbol for position in portfolio.positions)


def name_of(portfolio: Portfolio) -> str:
    """What callers call it."""
    return portfolio.slug or str(portfolio.id)


def currencies_of(panel: PricePanel, ids: list[int], base: str) -> list[str]:
    """Currency of each instrument's own prices; the base where the panel knows none."""
    if not panel.exchange.currencies:
        return [base] * len(ids)
    return [panel.exchange.currencies[int(np.flatnonzero(panel.instrument_ids == number)[0])] for number in ids]


def rates_used(panel: PricePanel, rows: IntArray, currencies: Mapping[str, str], base: str) -> dict[str, FloatArray]:
    """What closes in each other currency were multiplied by, at the rows of the panel."""
    others = sorted(set(currencies.values()) - {base})
    return {code: panel.exchange.rate(code, base)[rows] for code in others}


def recompute(inputs: Inputs, spec: RiskSpec) -> Recomputed | None:
    """Measure the last window of the inputs as the pipeline does; None if it is not full."""
    if len(inputs.sessions) <= spec.window_sessions:
        return None
    if inputs.holdings is not None:
        series = inputs.series
        values = latest_report(series.held.returns, series.benchmark, spec, series.held, inputs.risk_free)
        return _of_window(series, spec.window_sessions, values)
    window = slice(-spec.window_sessions, None)
    returns = simple_returns(inputs.close[:, 0])
    benchmark = None if inputs.benchmark_close is None else benchmark_returns(inputs.benchmark_close)
    values = latest_report(returns, benchmark, spec, None, inputs.risk_free)
    return Recomputed(values, returns[window], returns[window], None)


def held_window(inputs: Inputs, window_sessions: int) -> Recomputed | None:
    """The series of a portfolio's last window, without a measure; None if the window is not full."""
    if len(inputs.sessions) <= window_sessions:
        return None
    return _of_window(inputs.series, window_sessions, {})


def inputs_out(inputs: Inputs, found: Recomputed | None) -> InputsOut:
    """The inputs, and the series between them and the number."""
    holdings, rates = inputs.holdings, inputs.exchange_rates or {}
    weights = None if found is None or found.weights is None else found.weights.tolist()
    return InputsOut(
        sessions=days_of(inputs.sessions),
        close=by_symbol(inputs.symbols, inputs.close),
        exchange_rates={code: rate.tolist() for code, rate in rates.items()},
        currencies=dict(inputs.currencies or {}),
        amounts=None if holdings is None else dict(zip(inputs.symbols, holdings.amounts.tolist(), strict=True)),
        rebalancing=None if holdings is None else holdings.rebalancing,
        drift_band=None if holdings is None else holdings.drift_band,
        weights=None if weights is None else dict(zip(inputs.symbols, weights, strict=True)),
        returns=[] if found is None else found.returns.tolist(),
        scenarios=[] if found is None else found.scenarios.tolist(),
        benchmark=inputs.benchmark,
        benchmark_close=None if inputs.benchmark_close is None else inputs.benchmark_close.tolist(),
        risk_free=None if inputs.risk_free is None else _rates_out(inputs.risk_free),
    )


def _rates_out(used: RiskFree) -> RiskFreeOut:
    quotation = QUOTATIONS[used.series]
    daily = [rate if math.isfinite(rate) else None for rate in used.daily.tolist()]
    return RiskFreeOut(series=used.series, daily=daily, formula=quotation.formula, source=quotation.source)


def days_of(sessions: DateArray) -> list[date]:
    """Sessions as dates."""
    days: list[date] = sessions.astype(object).tolist()
    return days


def by_symbol(symbols: tuple[str, ...], close: FloatArray) -> dict[str, list[float]]:
    """(t, n) closes as a list a symbol."""
    return {symbol: column.tolist() for symbol, column in zip(symbols, close.T, strict=True)}


def _of_window(series: HeldSeries, window_sessions: int, values: Mapping[str, float]) -> Recomputed:
    held = series.held
    scenarios = scenario_returns(held, len(held.returns), window_sessions)
    return Recomputed(values, held.returns[-window_sessions:], scenarios, held.weights[-1])


def _benchmark_inputs(
    panel: PricePanel, rows: IntArray, benchmark: Instrument | None, currency: str | None = None
) -> tuple[str | None, FloatArray | None]:
    """Its symbol and closes; None unless it has a price on each of the sessions."""
    if benchmark is None:
        return None, None
    close = panel.column(benchmark.id, currency)[rows]
    return (benchmark.symbol, close) if np.isfinite(close).all() else (None, None)
