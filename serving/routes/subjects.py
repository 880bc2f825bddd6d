"""What a calculation measures: returns that the caller gives, or positions valued at stored prices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
from psycopg import Connection

from pipeline.base.errors import NotFoundError
from pipeline.base.types import DateArray, FloatArray, Policy
from pipeline.risk.measures import MeasureInputError, Windows
from pipeline.risk.measures.holdings import Holdings, scenario_returns
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import HeldSeries, held_series
from pipeline.store.instruments import Instrument
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.trading import read_average_turnover, read_newest_session
from serving.positions import PositionIn, amounts_of, known_instruments, require_rates, units_of
from serving.references import references
from serving.routes.portfolio_risk import read_reaching_panel

DEFAULT_CURRENCY = "USD"
"""As of a portfolio that is stored without one."""

LONGEST_BREAK_DAYS = 31
"""How far before a series the close of its first return is looked for."""


@dataclass(frozen=True, slots=True)
class Series:
    """Returns as a caller gives them.

    Parameters
    ----------
    values
        (n,) simple returns, oldest first.
    dates
        (n,) ascending, or None.
    """

    values: FloatArray
    dates: DateArray | None

    def on(self, sessions: DateArray | None, count: int) -> FloatArray:
        """(count,) the returns as a benchmark of those sessions, by date where both have dates.

        Raises
        ------
        MeasureInputError
            If a session has no return, or without dates the numbers differ.
        """
        if self.dates is None or sessions is None:
            if len(self.values) != count:
                raise MeasureInputError(
                    f"benchmark: {len(self.values)} returns for {count} of the subject; give as many, or dates to both"
                )
            return self.values
        rows = np.minimum(np.searchsorted(self.dates, sessions), len(self.dates) - 1)
        missing = sessions[self.dates[rows] != sessions]
        if len(missing):
            raise MeasureInputError(f"benchmark: no return on {missing[0]}; give one for each date of the subject")
        return self.values[rows]


@dataclass(frozen=True, slots=True)
class Held:
    """The positions of a subject at the end of its window.

    Parameters
    ----------
    symbols
        (k,) of the positions.
    weights
        (k,) fractions of the value at the last close.
    asset_returns
        (n, k) of the window.
    value
        At the last close, in `currency`; None for target weights.
    turnover
        (k,) money traded a session, in `currency`; NaN where no volume is known.
    currency
        In which everything is measured.
    ids, close
        (k,) instruments, and (n+1, k) closes of the window in `currency`.
    currencies, exchange_rates
        (k,) of the positions' own prices, and each other currency → (n+1,) by which closes in it were multiplied.
    holdings, panel
        What is held, in the units of the panel that everything is made of; its sessions begin before the window.
    """

    symbols: tuple[str, ...]
    weights: FloatArray
    asset_returns: FloatArray
    value: float | None
    turnover: FloatArray
    currency: str
    ids: tuple[int, ...]
    close: FloatArray
    currencies: tuple[str, ...]
    exchange_rates: Mapping[str, FloatArray]
    holdings: Holdings
    panel: PricePanel


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured.

    Parameters
    ----------
    windows
        (n,) each.
    sessions
        (n + 1,) of the closes, the first before the first return; NaT where the caller's dates do not say; None
        without dates.
    benchmark
        Symbol, or ``"given"`` for returns of the caller; None without one.
    held
        None for returns.
    risk_free
        Series of the rates in `windows`; None for the spec's rate.
    """

    windows: Windows
    sessions: DateArray | None
    benchmark: str | None
    held: Held | None = None
    risk_free: str | None = None


def subject_of_returns(series: Series, window_sessions: int | None) -> Subject:
    """The newest window of a caller's series, or all of it.

    Raises
    ------
    MeasureInputError
        If the series is shorter than the window.
    """
    count = window_sessions or len(series.values)
    if count > len(series.values):
        raise MeasureInputError(
            f"window_sessions: {count}, but returns has {len(series.values)}; give more of them or a shorter window"
        )
    sessions = None
    if series.dates is not None:
        sessions = np.r_[np.datetime64("NaT", "D"), series.dates][-count - 1 :]
    values = series.values[-count:]
    return Subject(Windows(values, values), sessions, None)


def against_returns(subject: Subject, benchmark: Series) -> Subject:
    """The subject with a benchmark of the caller's returns."""
    windows = subject.windows
    sessions = None if subject.sessions is None else subject.sessions[1:]
    given = benchmark.on(sessions, len(windows.returns))
    return replace(subject, windows=replace(windows, benchmark=given), benchmark="given")


def against_instrument(connection: Connection, subject: Subject, benchmark: Instrument) -> Subject:
    """The subject of a caller's returns with an instrument's returns on the same dates.

    Raises
    ------
    MeasureInputError
        If the subject has no dates, or the instrument lacks a price that they ask for.
    """
    if subject.sessions is None:
        raise MeasureInputError("benchmark: a symbol needs the dates of the returns; give returns.dates")
    dates = subject.sessions[1:]
    first, last = dates[0].astype(date), dates[-1].astype(date)
    panel = read_price_panel(
        connection, [benchmark.id], first - timedelta(days=LONGEST_BREAK_DAYS), last + timedelta(days=1)
    )
    before = int(np.searchsorted(panel.sessions, dates[0])) - 1
    if before < 0:
        raise MeasureInputError(f"benchmark: {benchmark.symbol} has no price shortly before {first}; begin later")
    rows = np.minimum(np.searchsorted(panel.sessions, dates), len(panel.sessions) - 1)
    missing = dates[panel.sessions[rows] != dates]
    if len(missing):
        raise MeasureInputError(f"benchmark: {benchmark.symbol} has no price on {missing[0]}; leave that date out")
    returns = simple_returns(panel.column(benchmark.id)[np.r_[before, rows]])
    return replace(subject, windows=replace(subject.windows, benchmark=returns), benchmark=benchmark.symbol)


def subject_of_positions(
    connection: Connection,
    positions: Sequence[PositionIn],
    policy: Policy,
    benchmark: Instrument | None,
    window_sessions: int,
    base_currency: str | None = None,
) -> Subject:
    """Positions on the newest sessions on which each has a price and a rate.

    Quantities are taken as of the newest session, whose splits and dividends their owner knows.

    Parameters
    ----------
    base_currency
        In which prices are measured; None for that of all positions, `DEFAULT_CURRENCY` if they have several.

    Raises
    ------
    InvalidInputError
        If a symbol is unknown, or a currency has no exchange rate.
    MeasureInputError
        If weights do not sum to 1, prices are too few, or the value is not above 0.
    """
    Holdings(amounts_of(positions), *policy)  # refused before anything is read
    symbols = [position.symbol for position in positions]
    found = known_instruments(connection, symbols)
    held = [found[symbol] for symbol in symbols]
    ids = [instrument.id for instrument in held]
    currency = base_currency or _currency_of(held)
    return subject_of_instruments(
        connection,
        held,
        lambda day: Holdings(units_of(connection, positions, ids, day), *policy),
        policy,
        benchmark,
        window_sessions,
        currency,
    )


def subject_of_instruments(
    connection: Connection,
    instruments: Sequence[Instrument],
    holdings_on: Callable[[np.datetime64], Holdings],
    policy: Policy,
    benchmark: Instrument | None,
    window_sessions: int,
    currency: str,
) -> Subject:
    """Holdings on the newest sessions on which each instrument has a price and a rate, held or not.

    Parameters
    ----------
    holdings_on
        The holdings, in the order of the instruments and the units of a price panel whose last session is given.
    currency
        In which prices are measured.

    Raises
    ------
    InvalidInputError
        If a currency has no exchange rate.
    MeasureInputError
        If prices are too few, or the value is not above 0.
    """
    symbols, ids = tuple(references(instruments).values()), [instrument.id for instrument in instruments]
    require_rates(connection, [*instruments, *([benchmark] if benchmark else [])], currency)
    end = _end_of(connection, ids)
    panel = read_reaching_panel(connection, ids, benchmark, policy.rebalancing, end, window_sessions, currency)
    close, index = panel.columns(ids, currency), panel.column(benchmark.id, currency) if benchmark else None
    _require_sessions(close, symbols, window_sessions, currency)
    holdings = holdings_on(panel.sessions[-1])
    series = held_series(close, panel.sessions, index, holdings)
    rows = np.flatnonzero(np.isfinite(close).all(axis=1))[-window_sessions - 1 :]
    newest = close[rows[-1]]
    held = Held(
        symbols,
        series.held.weights[-1],
        series.held.asset_returns[-window_sessions:],
        float(newest @ holdings.amounts) if policy.rebalancing == "buy_and_hold" else None,
        _turnover(connection, panel, instruments, currency, end),
        currency,
        tuple(ids),
        close[rows],
        tuple(instrument.currency for instrument in instruments),
        {
            other: panel.exchange.rate(other, currency)[rows]
            for other in sorted({instrument.currency for instrument in instruments} - {currency})
        },
        holdings,
        panel,
    )
    windows = _windows(series, panel, benchmark, window_sessions, currency)
    return Subject(windows, series.sessions[-window_sessions - 1 :], benchmark.symbol if benchmark else None, held)


def _end_of(connection: Connection, instrument_ids: Sequence[int]) -> date:
    """The day after the newest one with a price.

    Raises
    ------
    NotFoundError
        If there is no price.
    """
    newest = read_newest_session(connection, instrument_ids)
    if newest is None:
        raise NotFoundError("There are no prices of these positions yet", "Run 'fintech run', which loads them.")
    return newest + timedelta(days=1)


def _turnover(
    connection: Connection, panel: PricePanel, held: Sequence[Instrument], currency: str, end: date
) -> FloatArray:
    """(k,) money traded a session, at the newest rates."""
    found = read_average_turnover(connection, [instrument.id for instrument in held], end)
    return np.array(
        [
            found.get(instrument.id, np.nan) * panel.exchange.rate(instrument.currency, currency)[-1]
            for instrument in held
        ]
    )


def _windows(
    series: HeldSeries, panel: PricePanel, benchmark: Instrument | None, window_sessions: int, currency: str
) -> Windows:
    scenarios = scenario_returns(series.held, len(series.held.returns), window_sessions)
    returns = series.held.returns[-window_sessions:]
    if benchmark is None:
        return Windows(returns, scenarios)
    sessions = series.sessions[-window_sessions - 1 :]
    close = panel.column(benchmark.id, currency)[np.searchsorted(panel.sessions, sessions)]
    missing = sessions[~np.isfinite(close)]
    if len(missing):
        raise MeasureInputError(
            f"benchmark: {benchmark.symbol} has no price in {currency} on {missing[0]}; choose another"
        )
    return Windows(returns, scenarios, simple_returns(close))


def _currency_of(instruments: Sequence[Instrument]) -> str:
    """The currency in which all are priced, or that of a new portfolio."""
    met = {instrument.currency for instrument in instruments}
    return met.pop() if len(met) == 1 else DEFAULT_CURRENCY


def _require_sessions(close: FloatArray, symbols: Sequence[str], window_sessions: int, currency: str) -> None:
    """Refuse a window that the prices do not fill, naming whose are fewest.

    Raises
    ------
    MeasureInputError
        Naming the remedy.
    """
    priced = np.isfinite(close)
    count = np.count_nonzero(priced.all(axis=1))
    if count <= window_sessions:
        fewest = symbols[int(np.argmin(np.count_nonzero(priced, axis=0)))]
        raise MeasureInputError(
            f"positions: {count} sessions with a price of each in {currency}, and window_sessions={window_sessions}"
            f" needs {window_sessions + 1}; shorten it, or leave out {fewest}, which has the fewest"
        )
