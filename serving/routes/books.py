"""A book as the core takes it: its transactions on the sessions of its prices, in its own currency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from psycopg import Connection

from pipeline.base.types import BoolArray, DateArray, FloatArray
from pipeline.risk.measures.books import CashFlows, Trades
from pipeline.store.corporate_actions import Growth, read_growth
from pipeline.store.instruments import benchmark_of, read_instruments
from pipeline.store.portfolios import growth_on
from pipeline.store.prices import PricePanel, read_last_session, read_price_panel
from pipeline.store.transactions import StoredTransaction

LOOK_BACK_DAYS = 31
"""How far before the first transaction a price is looked for."""


@dataclass(frozen=True, slots=True)
class Book:
    """A book up to the newest session.

    Parameters
    ----------
    sessions
        (t,) from the first transaction on.
    close
        (t, k) the last known price up to each session, in the base currency; NaN before the first.
    ids, symbols
        (k,) of everything that was ever traded.
    pending
        Transactions after the newest session: they are held, and count in the value from their session on.
    without_price
        Transactions of something that has no price yet on their session.
    growth
        By which a unit of today is more units of a price panel.
    """

    sessions: DateArray
    close: FloatArray
    ids: tuple[int, ...]
    symbols: tuple[str, ...]
    trades: Trades
    flows: CashFlows
    pending: tuple[StoredTransaction, ...]
    without_price: tuple[StoredTransaction, ...]
    growth: dict[int, Growth]


def read_book(connection: Connection, transactions: Sequence[StoredTransaction], currency: str) -> Book | None:
    """The book of transactions, which are ordered by day; None without a session since the first of them.

    Raises
    ------
    NotFoundError
        If there is no exchange rate of a currency.
    """
    last = read_last_session(connection)
    if last is None or not transactions or transactions[0].trade_date > last:
        return None
    traded = {t.instrument_id: t.symbol or "" for t in transactions if t.instrument_id is not None}
    ids, first = list(traded), transactions[0].trade_date
    panel = _read_panel(connection, ids, first, last, currency)
    close = _filled(panel.columns(ids, currency) if ids else np.empty((len(panel.sessions), 0)))
    begin = int(np.searchsorted(panel.sessions, np.datetime64(first, "D")))
    sessions = panel.sessions[begin:]
    if len(sessions) == 0:
        return None
    growth = read_growth(connection, ids) if ids else {}
    days = np.array([t.trade_date for t in transactions], dtype="datetime64[D]")
    rows = np.searchsorted(sessions, days)
    counted = rows < len(sessions)
    without_price: list[StoredTransaction] = []
    made: list[tuple[int, int, float, float]] = []
    cash: list[tuple[int, float, float]] = []
    rates = _rates(connection, panel, ids, currency, begin)
    for transaction, row in zip(transactions, rows.tolist(), strict=True):
        if row >= len(sessions):
            continue
        if transaction.instrument_id is None:
            amount = (transaction.amount or 0.0) * (1.0 if transaction.kind == "deposit" else -1.0)
            cash.append((row, amount, transaction.fee))
            continue
        column = ids.index(transaction.instrument_id)
        price = close[begin + row, column]
        if not np.isfinite(price) or not np.isfinite(rates[row, column]):
            without_price.append(transaction)
            continue
        grown = growth_on(growth, transaction.instrument_id, np.datetime64(transaction.trade_date, "D"))
        units = transaction.units / grown
        money = (
            units * price if transaction.price is None else transaction.units * transaction.price * rates[row, column]
        )
        made.append((row, column, units, money + transaction.fee * rates[row, column]))
    return Book(
        sessions,
        close[begin:],
        tuple(ids),
        tuple(traded.values()),
        _trades(made),
        CashFlows(
            np.array([one[0] for one in cash], dtype=np.int64),
            np.array([one[1] for one in cash], dtype=np.float64),
            np.array([one[2] for one in cash], dtype=np.float64),
        ),
        _chosen(transactions, ~counted),
        tuple(without_price),
        growth,
    )


def _read_panel(connection: Connection, ids: list[int], first: date, last: date, currency: str) -> PricePanel:
    """Prices from a month before the first transaction, on the market's sessions, whatever was traded."""
    start, end = first - timedelta(days=LOOK_BACK_DAYS), last + timedelta(days=1)
    market = benchmark_of(read_instruments(connection))
    read = list(dict.fromkeys([*ids, *([market.id] if market else [])]))
    return read_price_panel(connection, read, start, end, currency=currency)


def _trades(made: list[tuple[int, int, float, float]]) -> Trades:
    return Trades(
        np.array([one[0] for one in made], dtype=np.int64),
        np.array([one[1] for one in made], dtype=np.int64),
        np.array([one[2] for one in made], dtype=np.float64),
        np.array([one[3] for one in made], dtype=np.float64),
    )


def _rates(connection: Connection, panel: PricePanel, ids: list[int], currency: str, begin: int) -> FloatArray:
    """(t, k) of each instrument's currency in the book's."""
    own = {instrument.id: instrument.currency for instrument in read_instruments(connection) if instrument.id in ids}
    count = len(panel.sessions)
    columns = [np.broadcast_to(panel.exchange.rate(own[number], currency), count) for number in ids]
    return _filled(np.column_stack(columns) if columns else np.empty((count, 0)))[begin:]


def _filled(values: FloatArray) -> FloatArray:
    """Each column's last known value up to each row; NaN before its first."""
    rows = np.where(np.isfinite(values), np.arange(len(values))[:, None], -1)
    newest = np.maximum.accumulate(rows, axis=0) if len(values) else rows
    filled: FloatArray = np.where(
        newest >= 0, np.take_along_axis(values, np.maximum(newest, 0), axis=0) if len(values) else values, np.nan
    )
    return filled


def _chosen(transactions: Sequence[StoredTransaction], mask: BoolArray) -> tuple[StoredTransaction, ...]:
    return tuple(t for t, kept in zip(transactions, mask.tolist(), strict=True) if kept)
