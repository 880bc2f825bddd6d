"""The figures of a book from its transactions and closes, as they are served and as they follow from an answer."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import numpy as np
from psycopg import Connection

from pipeline.base.errors import NotFoundError
from pipeline.base.types import FloatArray
from pipeline.risk.measures.books import (
    BookHistory,
    CashFlows,
    Trades,
    average_cost,
    money_weighted_return,
    value_book,
)
from pipeline.risk.measures.performance import SESSIONS_PER_YEAR
from pipeline.store.portfolios import Portfolio
from pipeline.store.transactions import read_transactions
from serving.routes.books import Book, read_book
from serving.routes.explaining.documented import Documented, path_of, sources_of, words_of
from serving.routes.explaining.envelope import DefinitionOut, InputsOut
from serving.routes.explaining.figures import not_stored
from serving.routes.explaining.input_forms import BookInputsOut, CashFlowOut, TradeOut
from serving.routes.explaining.prices import by_symbol, days_of, name_of


def read_book_at(connection: Connection, portfolio: Portfolio, session: date | None) -> Book:
    """The book up to a session; None means the newest.

    Raises
    ------
    NotFoundError
        If it has no value on the session.
    """
    book = read_book(connection, read_transactions(connection, [portfolio.id]), portfolio.base_currency)
    if book is None:
        raise NotFoundError(
            "The portfolio has no transaction up to the newest session with a price",
            f"POST /api/v1/portfolios/{portfolio.id}/transactions records them; prices are loaded by 'fintech run'.",
        )
    if session is None:
        return book
    found = np.flatnonzero(book.sessions == np.datetime64(session, "D"))
    if len(found) == 0:
        raise not_stored(name_of(portfolio), "value", session, f"portfolios/{name_of(portfolio)}/value")
    return _up_to(book, int(found[0]) + 1)


def book_figures(close: FloatArray, book: Book) -> dict[str, float | None]:
    """Every figure of a book at its last session.

    Parameters
    ----------
    close
        (t, k) as in `Book`.
    """
    history = value_book(close, book.trades, book.flows)
    realised, cost = average_cost(book.trades, len(book.ids))
    units, last = history.units[-1], close[-1]
    worth = np.where(units != 0.0, units * np.where(units != 0.0, last, 0.0), 0.0)
    paid_in, taken_out = float(history.inflow.sum()), float(history.outflow.sum())
    linked, count = float(np.prod(1.0 + history.returns) - 1.0), len(history.value)
    return {
        "value": float(history.value[-1]),
        "cash": float(history.cash[-1]),
        "paid_in": paid_in,
        "taken_out": taken_out,
        "profit": float(history.value[-1]) + taken_out - paid_in,
        "realised": math.fsum(realised.tolist()),
        "unrealised": math.fsum((worth - cost).tolist()),
        "time_weighted_return": linked,
        "time_weighted_return_annual": (
            (1.0 + linked) ** (SESSIONS_PER_YEAR / count) - 1.0 if count >= SESSIONS_PER_YEAR else None
        ),
        "money_weighted_return_annual": _money_weighted(book, history),
    }


BOOK_FIGURES = (
    "value",
    "cash",
    "paid_in",
    "taken_out",
    "profit",
    "realised",
    "unrealised",
    "time_weighted_return",
    "time_weighted_return_annual",
    "money_weighted_return_annual",
)
"""What `book_figures` gives."""


def book_inputs(book: Book) -> InputsOut:
    """A book as an answer has it. A close before the first price of something is given as 0: nothing is held of it."""
    close = np.where(np.isfinite(book.close), book.close, 0.0)
    days, trades, flows = days_of(book.sessions), book.trades, book.flows
    return InputsOut(
        sessions=days,
        close=by_symbol(book.symbols, close),
        exchange_rates={},
        book=BookInputsOut(
            trades=[
                TradeOut(session=days[row], symbol=book.symbols[column], units=units, paid=paid)
                for row, column, units, paid in zip(
                    trades.rows.tolist(),
                    trades.columns.tolist(),
                    trades.units.tolist(),
                    trades.paid.tolist(),
                    strict=True,
                )
            ],
            flows=[
                CashFlowOut(session=days[row], amount=amount, fee=fee)
                for row, amount, fee in zip(
                    flows.rows.tolist(), flows.amounts.tolist(), flows.fees.tolist(), strict=True
                )
            ],
        ),
    )


def book_definition(figure: str) -> DefinitionOut:
    """A figure of a book in words."""
    function = _FUNCTIONS.get(figure, value_book)
    return DefinitionOut(
        name=figure,
        function=path_of(function),
        meaning=_MEANINGS[figure],
        unit="fraction" if "return" in figure else "base currency",
        formula=f"{_FORMULAS[figure]} {words_of(function)}",
        source=sources_of(function),
        parameters={},
    )


def _up_to(book: Book, count: int) -> Book:
    """The first sessions of a book."""
    trades, flows = book.trades, book.flows
    kept, flowing = trades.rows < count, flows.rows < count
    return replace(
        book,
        sessions=book.sessions[:count],
        close=book.close[:count],
        trades=Trades(trades.rows[kept], trades.columns[kept], trades.units[kept], trades.paid[kept]),
        flows=CashFlows(flows.rows[flowing], flows.amounts[flowing], flows.fees[flowing]),
    )


def _money_weighted(book: Book, history: BookHistory) -> float | None:
    amounts = history.outflow - history.inflow
    amounts[-1] += history.value[-1]
    rate = money_weighted_return(amounts, book.sessions)
    return rate if math.isfinite(rate) else None


_FUNCTIONS: dict[str, Documented] = {
    "realised": average_cost,
    "unrealised": average_cost,
    "money_weighted_return_annual": money_weighted_return,
}
_MEANINGS = {
    "value": "What everything is worth, with the cash.",
    "cash": "Cash that is there.",
    "paid_in": "All that was ever paid in.",
    "taken_out": "All that was ever taken out.",
    "profit": "Value and what was taken out, less what was paid in.",
    "realised": "Profit that sales realised, fees taken off.",
    "unrealised": "Value of what is held, less what it cost.",
    "time_weighted_return": "Return of all sessions, linked.",
    "time_weighted_return_annual": f"Linked return per {SESSIONS_PER_YEAR} sessions.",
    "money_weighted_return_annual": "Internal rate of return, per 365 days.",
}
_FORMULAS = {
    "value": "Σ quantity × price × exchange_rate + cash.",
    "cash": "Σ (inflow - outflow - what trades and fees cost).",
    "paid_in": "Σ inflow.",
    "taken_out": "Σ outflow.",
    "profit": "value + taken_out - paid_in.",
    "realised": "Σ realised over everything that was traded.",
    "unrealised": "Σ (units × close - cost) over everything that is held.",
    "time_weighted_return": "Π (1 + return of a session) - 1.",
    "time_weighted_return_annual": f"(1 + time_weighted_return) ** ({SESSIONS_PER_YEAR} / sessions) - 1.",
    "money_weighted_return_annual": "Of -inflow + outflow on each session, and the value on the last.",
}
