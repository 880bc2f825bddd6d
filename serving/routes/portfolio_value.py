"""What a book was worth on each session, what it earned, and what of that is realised."""

from __future__ import annotations

import math
from datetime import date
from typing import Literal

import numpy as np
from fastapi import APIRouter
from pydantic import Field

from pipeline.base.errors import ConflictError, NotFoundError
from pipeline.base.types import FloatArray
from pipeline.risk.measures.books import BookHistory, average_cost, money_weighted_return, value_book
from pipeline.risk.measures.performance import SESSIONS_PER_YEAR
from pipeline.store.portfolios import Portfolio, growth_on, read_portfolio
from pipeline.store.reading import Window
from pipeline.store.transactions import read_transactions
from serving.answers import Collection, Resource, Row
from serving.answers.cursors import Order
from serving.deps import Connections, Database
from serving.errors import problem_responses
from serving.inputs import Latest, PortfolioPath, Windowed
from serving.routes.books import Book, read_book
from serving.routing import ComputingRoute

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["portfolios"])

HISTORY = Order("portfolio_value", (date,), lambda row: (row.session,), is_reversed=True)


class ValueRow(Row):
    """A book at the close of a session, in the base currency."""

    session: date
    value: float = Field(description="Of everything, with the cash.")
    cash: float
    inflow: float = Field(description="Paid in: deposits, and what trades cost beyond the cash that was there.")
    outflow: float = Field(description="Taken out.")
    time_weighted_return: float = Field(description="Of the session: (value + outflow) / (value before + inflow) - 1.")


class BookPositionOut(Row):
    """Something that was ever traded, in the base currency."""

    symbol: str
    quantity: float = Field(description="Units held, as units are at `as_of`; dividends are reinvested.")
    value: float
    cost: float = Field(description="Of the units held, by the average cost method, with fees.")
    unrealised: float = Field(description="Value less cost.")
    realised: float = Field(description="By its sales, fees taken off.")


class PortfolioValueOut(Resource):
    """The value, the profit and the returns of a book, from its first transaction to its newest session."""

    portfolio_id: int
    base_currency: str
    first_session: date
    as_of: date
    pending_transactions: int = Field(description="Made after as_of: held already, and valued from their session on.")
    value: float
    cash: float
    paid_in: float = Field(description="All that was ever paid in.")
    taken_out: float = Field(description="All that was ever taken out.")
    profit: float = Field(description="Value and what was taken out, less what was paid in.")
    realised: float
    unrealised: float
    cost_method: Literal["average_cost"] = "average_cost"
    time_weighted_return: float = Field(description="Of all sessions, linked [fraction]")
    time_weighted_return_annual: float | None = Field(description="Per 252 sessions; null for less than a year.")
    money_weighted_return_annual: float | None = Field(
        description="Internal rate of return, per 365 days [fraction]; null where no rate solves it."
    )
    positions: list[BookPositionOut]
    history: list[ValueRow] = Field(description="The newest sessions inside the window, oldest first.")
    history_cursor: str | None = Field(
        description="`cursor` of GET …/value/history for the earlier ones of the same window; null if there are none."
    )


@router.get("/{reference}/value", responses=problem_responses(409))
def get_portfolio_value(reference: PortfolioPath, query: Latest, database: Database) -> PortfolioValueOut:
    """What a portfolio that keeps a book was worth and earned; the window chooses sessions of the history alone."""
    portfolio, book, notice = _read(reference, database)
    window = Window(query.start, query.last, query.limit + 1)
    return valued(portfolio, book, window).model_copy(update={"notice": notice})


@router.get("/{reference}/value/history", responses=problem_responses(409))
def list_portfolio_value(reference: PortfolioPath, query: Windowed, database: Database) -> Collection[ValueRow]:
    """What a portfolio that keeps a book was worth on the newest sessions inside a window, oldest first."""
    window = query.page(HISTORY)
    _, book, notice = _read(reference, database)
    history = value_book(book.close, book.trades, book.flows)
    return Collection[ValueRow].page(_rows(book, history, window), query.limit, HISTORY, notice)


def _read(reference: str, database: Connections) -> tuple[Portfolio, Book, str | None]:
    """A portfolio with its book, and the notice.

    Raises
    ------
    ConflictError
        If it keeps none.
    NotFoundError
        If nothing of it happened up to the newest session, or there is no such portfolio.
    """
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        if not portfolio.keeps_book:
            raise ConflictError(
                "reference: the positions of this portfolio are stated, so it has no history of its own",
                "A portfolio that is made without positions takes transactions, and has one;"
                f" GET /api/v1/portfolios/{portfolio.id}/report has the performance of today's holdings.",
            )
        book = read_book(connection, read_transactions(connection, [portfolio.id]), portfolio.base_currency)
        notice = database.notice(connection)
    if book is None:
        raise NotFoundError(
            "The portfolio has no transaction up to the newest session with a price",
            f"POST /api/v1/portfolios/{portfolio.id}/transactions records them; prices are loaded by 'fintech run'.",
        )
    return portfolio, book, notice


def valued(portfolio: Portfolio, book: Book, window: Window) -> PortfolioValueOut:
    """A book as it is served.

    Parameters
    ----------
    window
        Of the history, with one row more than is served.

    Raises
    ------
    MeasureInputError
        If it is worth less than nothing on a session.
    """
    history = value_book(book.close, book.trades, book.flows)
    positions = _positions(book, history)
    linked = float(np.prod(1.0 + history.returns) - 1.0)
    count, paid_in, taken_out = len(history.value), float(history.inflow.sum()), float(history.outflow.sum())
    rows, earlier = HISTORY.cut(_rows(book, history, window), window.limit - 1)
    # The first session's return is of a part of a day; from its close on there are so many.
    annual = (1.0 + linked) ** (SESSIONS_PER_YEAR / count) - 1.0 if count >= SESSIONS_PER_YEAR else None
    return PortfolioValueOut(
        portfolio_id=portfolio.id,
        base_currency=portfolio.base_currency,
        first_session=book.sessions[0].astype(date),
        as_of=book.sessions[-1].astype(date),
        pending_transactions=len(book.pending),
        value=float(history.value[-1]),
        cash=float(history.cash[-1]),
        paid_in=paid_in,
        taken_out=taken_out,
        profit=float(history.value[-1]) + taken_out - paid_in,
        realised=math.fsum(position.realised for position in positions),
        unrealised=math.fsum(position.unrealised for position in positions),
        time_weighted_return=linked,
        time_weighted_return_annual=annual,
        money_weighted_return_annual=_money_weighted(book, history),
        positions=positions,
        history=list(rows),
        history_cursor=earlier,
    )


def _positions(book: Book, history: BookHistory) -> list[BookPositionOut]:
    realised, cost = average_cost(book.trades, len(book.ids))
    units: FloatArray = history.units[-1]
    return [
        BookPositionOut(
            symbol=symbol,
            quantity=float(units[k]) * growth_on(book.growth, number, book.sessions[-1]),
            value=_worth(float(units[k]), float(book.close[-1, k])),
            cost=float(cost[k]),
            unrealised=_worth(float(units[k]), float(book.close[-1, k])) - float(cost[k]),
            realised=float(realised[k]),
        )
        for k, (number, symbol) in enumerate(zip(book.ids, book.symbols, strict=True))
    ]


def _worth(units: float, close: float) -> float:
    return units * close if units else 0.0


def _money_weighted(book: Book, history: BookHistory) -> float | None:
    amounts = history.outflow - history.inflow
    amounts[-1] += history.value[-1]
    rate = money_weighted_return(amounts, book.sessions)
    return rate if math.isfinite(rate) else None


def _rows(book: Book, history: BookHistory, window: Window) -> list[ValueRow]:
    """The newest sessions inside a window, at most its limit, oldest first."""
    start, stop = 0, len(book.sessions)
    if window.start is not None:
        start = _place(book, window.start)
    if window.end is not None:
        stop = _place(book, window.end, side="right")
    if window.before is not None:
        stop = min(stop, _place(book, window.before[0]))
    kept = range(max(start, stop - window.limit), stop)
    return [
        ValueRow(
            session=book.sessions[row].astype(date),
            value=float(history.value[row]),
            cash=float(history.cash[row]),
            inflow=float(history.inflow[row]),
            outflow=float(history.outflow[row]),
            time_weighted_return=float(history.returns[row]),
        )
        for row in kept
    ]


def _place(book: Book, day: date, side: Literal["left", "right"] = "left") -> int:
    """How many sessions lie before a day; with `side` right, up to it."""
    return int(np.searchsorted(book.sessions, np.datetime64(day, "D"), side=side))
