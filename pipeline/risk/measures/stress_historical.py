"""Historical stress: today's positions held through a crisis of the past."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, TypeAlias, get_args

import numpy as np

from pipeline.base.types import BoolArray, DateArray, FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.stress import Positions, StressResult, WorstPoint, replay, stress_result

MissingPrices: TypeAlias = Literal["refuse", "proxy"]
"""What becomes of an instrument that lacks a price in the window."""

EDGE_DAYS = 14
"""How far the prices may lie from the ends of a window: exchanges have closed for up to 11 days (lunar new year,
Golden Week 2019, September 2001 in New York: 7). More means that the prices do not cover it."""


class MissingPricesError(MeasureInputError):
    """Prices that a replay needs and does not have; the message names the instruments and the window."""


@dataclass(frozen=True, slots=True)
class HistoricalWindow:
    """A crisis.

    Parameters
    ----------
    name
        Identifier: what happened and when.
    first, last
        First and last session whose return belongs to it.
    """

    name: str
    first: date
    last: date

    def __post_init__(self) -> None:
        if not self.name:
            raise MeasureInputError("name: empty; say what happened in the window and when")
        if self.last < self.first:
            raise MeasureInputError(f"last={self.last}: before first={self.first}; swap the two")


# The rule: from the session after the S&P 500's closing high before the event to the closing low after it (closes of
# S&P Dow Jones Indices, price index). It leaves nothing to taste, and other assets are replayed over the same days.
# Two windows depart from it, each for the reason given.
_WINDOWS = (
    # High on 16 July; Iraq invaded Kuwait on 2 August (UN Security Council resolution 660); low on 11 October.
    HistoricalWindow("gulf_war_1990", date(1990, 7, 17), date(1990, 10, 11)),
    # High on 17 July; Russia suspended payments on 17 August; LTCM was recapitalised on 23 September (President's
    # Working Group on Financial Markets, "Hedge Funds, Leverage, and the Lessons of LTCM", April 1999). The lowest
    # close, 957.28 on 31 August, came before that rescue: the window goes on to the second low, 959.44 on 8 October.
    HistoricalWindow("ltcm_russia_1998", date(1998, 7, 20), date(1998, 10, 8)),
    # High on 24 March 2000; low on 9 October 2002.
    HistoricalWindow("dot_com_2000", date(2000, 3, 27), date(2002, 10, 9)),
    # Lehman Brothers filed for bankruptcy before the open of 15 September 2008 (case 08-13555, Southern District of
    # New York): the window begins there, not at the high of 9 October 2007, since it is the failure that is replayed.
    # Low on 9 March 2009.
    HistoricalWindow("lehman_2008", date(2008, 9, 15), date(2009, 3, 9)),
    # High on 29 April; the euro area's debt crisis reached Italy in July, Standard & Poor's took the United States'
    # AAA after the close of 5 August; low on 3 October.
    HistoricalWindow("euro_us_downgrade_2011", date(2011, 5, 2), date(2011, 10, 3)),
    # High on 19 February; the WHO called it a pandemic on 11 March; low on 23 March.
    HistoricalWindow("covid_2020", date(2020, 2, 20), date(2020, 3, 23)),
    # High on 3 January; the Federal Reserve raised its rate from 0.25 % on 16 March to 3.25 % on 21 September (FOMC
    # statements); low on 12 October.
    HistoricalWindow("rates_2022", date(2022, 1, 4), date(2022, 10, 12)),
)

HISTORICAL_WINDOWS: Mapping[str, HistoricalWindow] = {window.name: window for window in _WINDOWS}
"""Name → window, oldest first. A new window is a line above."""


@dataclass(frozen=True, slots=True)
class PricePanel:
    """Prices of the positions.

    Parameters
    ----------
    sessions
        (t,) ascending, each once.
    close
        (t, n) adjusted closes in the order of the positions, NaN where missing.
    """

    sessions: DateArray
    close: FloatArray

    def __post_init__(self) -> None:
        if self.close.ndim != 2 or self.close.shape[0] != len(self.sessions):
            raise MeasureInputError(f"close: shape {self.close.shape} for {len(self.sessions)} sessions; a row each")
        if not (self.sessions[1:] > self.sessions[:-1]).all():
            raise MeasureInputError("sessions: not ascending; sort them and keep each once")
        _require_prices("close", self.close)


@dataclass(frozen=True, slots=True)
class Proxy:
    """What stands in for an instrument that had no price yet.

    Parameters
    ----------
    benchmark_close
        (t,) adjusted closes of the benchmark on the panel's sessions, NaN where missing.
    betas
        Symbol → slope on the benchmark's daily returns.
    """

    benchmark_close: FloatArray
    betas: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_prices("benchmark_close", self.benchmark_close)
        unusable = [symbol for symbol, beta in self.betas.items() if not np.isfinite(beta)]
        if unusable:
            raise MeasureInputError(f"betas: NaN or infinite for {', '.join(unusable)}; give a finite number")


def window_named(name: str) -> HistoricalWindow:
    """The registered window of that name.

    Raises
    ------
    MeasureInputError
        If there is none.
    """
    if name not in HISTORICAL_WINDOWS:
        raise MeasureInputError(f"window: {name!r} is not known; choose one of {', '.join(HISTORICAL_WINDOWS)}")
    return HISTORICAL_WINDOWS[name]


def replay_window(
    window: HistoricalWindow,
    positions: Positions,
    prices: PricePanel,
    on_missing: MissingPrices,
    proxy: Proxy | None = None,
) -> StressResult:
    """Hold today's positions, untouched, through a window of the past (Jorion 2006, chapter 14).

    Each is shocked by its compounded return from the close before the first session to the close of the last.

    Parameters
    ----------
    prices
        They must reach from before the window to its end.
    on_missing
        For an instrument without a price on every session of the window: ``"refuse"``, or ``"proxy"``, which
        compounds beta × the benchmark's daily return instead, over the whole window.
    proxy
        Needed by ``"proxy"`` if a price is missing.

    Returns
    -------
    StressResult
        With the worst point on the way; the close before the window is its first point.

    Raises
    ------
    MissingPricesError
        If the prices do not cover the window, or a price is missing and may or can not be replaced.
    MeasureInputError
        For shapes that do not fit, or a beta that would lose everything in a day.
    """
    if prices.close.shape[1] != len(positions.symbols):
        raise MeasureInputError(
            f"close: {prices.close.shape[1]} columns for {len(positions.symbols)} positions; give one each, in order"
        )
    rows = rows_of_window(window, prices.sessions)
    close = prices.close[rows]
    missing = np.asarray(np.isnan(close).any(axis=0))
    growth = np.zeros(close.shape)
    growth[:, ~missing] = close[:, ~missing] / close[0, ~missing] - 1.0
    proxied = _where(missing, positions.symbols)
    if proxied:
        growth[:, missing] = _proxied_growth(window, proxied, on_missing, proxy, rows, len(prices.sessions))
    worst = _worst_point(growth, positions.weights, prices.sessions[rows])
    return stress_result(window.name, "historical", positions, growth[-1].copy(), worst, proxied)


def rows_of_window(window: HistoricalWindow, sessions: DateArray) -> slice:
    """From the close before the window to its last close.

    Raises
    ------
    MissingPricesError
        If the sessions do not cover the window.
    """
    first, last = np.datetime64(window.first, "D"), np.datetime64(window.last, "D")
    start = int(np.searchsorted(sessions, first)) - 1
    stop = int(np.searchsorted(sessions, last, side="right"))
    edge = np.timedelta64(EDGE_DAYS, "D")
    covered = start >= 0 and stop - 1 > start and sessions[start] >= first - edge and sessions[stop - 1] >= last - edge
    if not covered:
        raise MissingPricesError(
            f"close: the prices do not cover window {window.name} ({window.first} to {window.last}) and the close"
            " before it; load that history or choose another window"
        )
    return slice(start, stop)


def _proxied_growth(
    window: HistoricalWindow,
    symbols: tuple[str, ...],
    on_missing: MissingPrices,
    proxy: Proxy | None,
    rows: slice,
    sessions: int,
) -> FloatArray:
    """(s, m) cumulative returns of the instruments without prices, row 0 being 0."""
    if on_missing not in get_args(MissingPrices):
        raise MeasureInputError(f"on_missing={on_missing!r}: give 'refuse' or 'proxy'")
    if on_missing == "refuse" or proxy is None:
        raise MissingPricesError(
            f"close: prices are missing for {', '.join(symbols)} in window {window.name} ({window.first} to"
            f" {window.last}); load them, or name the policy 'proxy' and give a benchmark with betas"
        )
    unknown = [symbol for symbol in symbols if symbol not in proxy.betas]
    if unknown:
        raise MissingPricesError(f"betas: none for {', '.join(unknown)}, without prices in {window.name}; give them")
    daily = np.array([proxy.betas[symbol] for symbol in symbols]) * _benchmark_returns(window, proxy, rows, sessions)
    ruined = _where(np.asarray((daily <= -1.0).any(axis=0)), symbols)
    if ruined:
        raise MeasureInputError(
            f"betas: {', '.join(ruined)} would lose 100 % or more on a day of {window.name}; give smaller ones"
        )
    growth: FloatArray = np.vstack([np.zeros(len(symbols)), np.cumprod(1.0 + daily, axis=0) - 1.0])
    return growth


def _benchmark_returns(window: HistoricalWindow, proxy: Proxy, rows: slice, sessions: int) -> FloatArray:
    """(s-1, 1) daily returns of the benchmark in the window."""
    if proxy.benchmark_close.shape != (sessions,):
        raise MeasureInputError(
            f"benchmark_close: shape {proxy.benchmark_close.shape} for {sessions} sessions; give one a session"
        )
    close = proxy.benchmark_close[rows]
    if np.isnan(close).any():
        raise MissingPricesError(
            f"benchmark_close: prices are missing in window {window.name}; load them or choose another benchmark"
        )
    returns: FloatArray = (close[1:] / close[:-1] - 1.0)[:, None]
    return returns


def _worst_point(growth: FloatArray, weights: FloatArray, sessions: DateArray) -> WorstPoint:
    """The first session on which the cumulative loss was deepest."""
    path = np.zeros(len(growth))
    # A loop over positions sums every session in the same order, whatever the shapes, so the choice never varies.
    for weight, column in zip(weights, growth.T, strict=True):
        path += weight * column
    row = int(np.argmin(path))
    shocks = growth[row].copy()
    made = replay(shocks, weights)
    return WorstPoint(sessions[row].astype(date), shocks, made.position, made.total)


def _where(flags: BoolArray, symbols: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(symbols[row] for row in np.flatnonzero(flags))


def _require_prices(name: str, close: FloatArray) -> None:
    usable: BoolArray = np.isnan(close) | ((close > 0.0) & np.isfinite(close))
    if not usable.all():
        raise MeasureInputError(f"{name}: 0, negative or infinite; repair those prices or set them to NaN (missing)")
