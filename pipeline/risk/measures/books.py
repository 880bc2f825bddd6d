"""What a book of transactions is worth, earned and realised.

Nothing is owed: what trades cost beyond the cash that is there, is counted as paid in on that session. Dividends are
reinvested, since a unit of a price panel grows by them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.types import DateArray, FloatArray, IntArray
from pipeline.risk.measures.errors import MeasureInputError

DAYS_PER_YEAR = 365.0
LARGEST_LOG_RATE = 30.0
"""Logarithm of 1 + a rate per year; a rate beyond e^30 has no use."""
NOTHING_HELD = 1e-9
"""Of the most units that were held: less is what rounding leaves of a position that was sold."""
CASH_TOLERANCE = 1e-9
"""Of all the cash that moved: less is rounding."""


@dataclass(frozen=True, slots=True)
class Trades:
    """Purchases and sales, in the order in which they were made.

    Parameters
    ----------
    rows
        (m,) session of each, as a position among the t; ascending.
    columns
        (m,) instrument of each, as a position among the k.
    units
        (m,) added, negative for sales, in units of the closes.
    paid
        (m,) money paid with the fee, in the book's currency; negative is received.
    """

    rows: IntArray
    columns: IntArray
    units: FloatArray
    paid: FloatArray


@dataclass(frozen=True, slots=True)
class CashFlows:
    """Money paid in and taken out.

    Parameters
    ----------
    rows
        (c,) session of each, as a position among the t.
    amounts
        (c,) paid in, negative if taken out.
    fees
        (c,) that this cost, out of the cash.
    """

    rows: IntArray
    amounts: FloatArray
    fees: FloatArray


@dataclass(frozen=True, slots=True)
class BookHistory:
    """A book on each of t sessions.

    Parameters
    ----------
    units
        (t, k) held after the session.
    value, cash
        (t,) of everything with the cash, and of the cash.
    inflow, outflow
        (t,) paid in, stated or not, and taken out; both positive.
    returns
        (t,) time-weighted, of each session.
    """

    units: FloatArray
    value: FloatArray
    cash: FloatArray
    inflow: FloatArray
    outflow: FloatArray
    returns: FloatArray


def value_book(close: FloatArray, trades: Trades, flows: CashFlows) -> BookHistory:
    """Value a book through time.

    The return of a session is (value + outflow) / (value before + inflow) - 1: what is paid in works from its start,
    what is taken out to its end, so that a first purchase has a base; linked, these are the time-weighted return of
    Bacon (2008), chapter 2: Practical Portfolio Performance Measurement and Attribution, 2nd ed.

    Parameters
    ----------
    close
        (t, k) prices in the book's currency; finite wherever something is held.

    Raises
    ------
    MeasureInputError
        If a price is missing that is needed, more is taken out than there is, or the value falls below 0.
    """
    sessions = len(close)
    units = np.zeros_like(close)
    np.add.at(units, (trades.rows, trades.columns), trades.units)
    units = np.cumsum(units, axis=0)
    units[np.abs(units) <= NOTHING_HELD * np.abs(units).max(axis=0, initial=0.0)] = 0.0
    held = units != 0.0
    if not np.isfinite(close[held]).all():
        raise MeasureInputError("close: missing on a session on which something is held; load more prices")
    paid_in = _by_session(sessions, flows.rows, np.maximum(flows.amounts, 0.0))
    taken = _by_session(sessions, flows.rows, np.maximum(-flows.amounts, 0.0))
    spent = _by_session(sessions, trades.rows, trades.paid) + _by_session(sessions, flows.rows, flows.fees)
    cash, financed = _cash(paid_in, taken, spent)
    value = cash + np.where(held, units * np.where(held, close, 0.0), 0.0).sum(axis=1)
    inflow = paid_in + financed
    return BookHistory(units, value, cash, inflow, taken, _linked(value, inflow, taken))


def money_weighted_return(amounts: FloatArray, dates: DateArray) -> float:
    """Rate per year at which what was paid in became what came out (the internal rate of return, XIRR).

    Solves Σ aᵢ (1 + r)^(-(dᵢ - d₀) / 365) = 0; of several solutions the one nearest to 0. Bacon (2008), chapter 2.

    Parameters
    ----------
    amounts
        (n,) negative is paid in, positive comes out, at last the value.
    dates
        (n,) ascending.

    Returns
    -------
    float
        NaN if all lies on one day, nothing was paid in, or no rate solves it.
    """
    from scipy.optimize import brentq  # noqa: PLC0415 - 0.2 s of every service's start

    years = (dates - dates[0]).astype(np.float64) / DAYS_PER_YEAR if len(dates) else np.empty(0)
    if len(years) == 0 or years[-1] == 0.0 or not (amounts < 0.0).any() or not (amounts > 0.0).any():
        return float("nan")

    def worth(log_rate: float) -> float:
        """All amounts as of the day that makes no factor large: the first for gains, the last for losses."""
        distances = years if log_rate >= 0.0 else years - years[-1]
        return float((amounts * np.exp(-log_rate * distances)).sum())

    # The day does not change the sign, so both sides of 0 are searched with their own.
    bound = 0.125
    while bound <= LARGEST_LOG_RATE:
        for low, high in ((0.0, bound), (-bound, -0.0)):
            if worth(low) * worth(high) <= 0.0:
                return float(np.expm1(brentq(worth, low, high, xtol=1e-14)))
        bound *= 2.0
    return float("nan")


def average_cost(trades: Trades, instruments: int) -> tuple[FloatArray, FloatArray]:
    """Profit that sales realised, and what the units that are left have cost, by the average cost method.

    A purchase adds what it cost; a sale takes its share of the cost with it, and realises the rest of what it brought.
    A short position is the same with signs reversed; a trade through 0 closes one position and opens another at the
    same price. Fees are part of the cost, or less received.

    Returns
    -------
    tuple
        (k,) realised, and (k,) cost of what is held, negative if short. With the value of what is held they add up:
        realised + value - cost = value - Σ paid.
    """
    realised, cost, held = np.zeros(instruments), np.zeros(instruments), np.zeros(instruments)
    for column, units, paid in zip(trades.columns, trades.units, trades.paid, strict=True):
        before = held[column]
        if before == 0.0 and units == 0.0:  # a fee where nothing is held is no cost of anything
            realised[column] -= paid
        elif before * units >= 0.0:
            cost[column] += paid
        else:
            closed = min(1.0, -units / before) if before else 0.0
            share = min(1.0, -before / units)
            realised[column] -= paid * share + cost[column] * closed
            cost[column] = cost[column] * (1.0 - closed) + paid * (1.0 - share)
        held[column] = before + units
    return realised, cost


def _by_session(sessions: int, rows: IntArray, amounts: FloatArray) -> FloatArray:
    """(t,) sums."""
    found = np.zeros(sessions)
    np.add.at(found, rows, amounts)
    return found


def _cash(paid_in: FloatArray, taken: FloatArray, spent: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cash after each session, and what was paid in to finance trades that it did not cover."""
    cash, financed = np.zeros_like(spent), np.zeros_like(spent)
    tolerance = CASH_TOLERANCE * float(np.abs(paid_in).sum() + np.abs(taken).sum() + np.abs(spent).sum())
    before = 0.0
    for row in range(len(spent)):
        there = before + paid_in[row] - min(spent[row], 0.0)
        if taken[row] > there + tolerance:
            raise MeasureInputError(
                f"amount: {taken[row]:.6g} taken out, and there is cash of {there:.6g}; take out less, or sell first"
            )
        left = there - taken[row] - max(spent[row], 0.0)
        financed[row] = max(-left, 0.0)
        before = max(left, 0.0)
        cash[row] = before
    return cash, financed


def _linked(value: FloatArray, inflow: FloatArray, outflow: FloatArray) -> FloatArray:
    """(t,) return of each session; 0 while nothing is there."""
    base, end = np.r_[0.0, value[:-1]] + inflow, value + outflow
    if (base < 0.0).any() or (end < 0.0).any():
        raise MeasureInputError("value: below 0 on a session; hold less short, or pay more in")
    returns = np.zeros_like(value)
    np.divide(end, base, out=returns, where=base > 0.0)
    return np.where(base > 0.0, returns - 1.0, 0.0)
