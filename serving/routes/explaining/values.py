"""Why a portfolio is worth what it is: each position's quantity × price × exchange rate, and the cash of a book.

Positions that are stated have no history: at an earlier session it is what today's positions were worth then. A book
is valued from all its transactions up to the session.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from psycopg import Connection

from pipeline.base.errors import NotFoundError
from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.books import value_book
from pipeline.risk.measures.holdings import HeldPortfolio, hold
from pipeline.store.corporate_actions import read_growth
from pipeline.store.instruments import read_price_scales
from pipeline.store.point_in_time import NOW
from pipeline.store.portfolios import Portfolio, growth_on, read_portfolio
from pipeline.store.price_origins import read_given_closes
from pipeline.store.prices import PricePanel, read_last_session, read_price_panel
from serving.deps import Database
from serving.inputs import PortfolioPath, Symbol
from serving.routes.books import LOOK_BACK_DAYS, Book
from serving.routes.explaining.books import BOOK_FIGURES, book_definition, book_figures, book_inputs, read_book_at
from serving.routes.explaining.contributions import WEIGHT, contribution_again, position_of
from serving.routes.explaining.documented import path_of, words_of_field
from serving.routes.explaining.envelope import AskedSession, DefinitionOut, ExplanationOut, InputsOut, Parameter
from serving.routes.explaining.figures import Figure, explanation, known_figure, not_stored
from serving.routes.explaining.input_forms import ValuedOut
from serving.routes.explaining.prices import (
    currencies_of,
    days_of,
    held_window,
    ids_of,
    inputs_out,
    name_of,
    portfolio_inputs,
    read_known_panel,
    symbols_of,
)
from serving.routing import ComputingRoute

VALUE = "value"
STATED_FIGURES = (VALUE, WEIGHT)
VALUE_FIGURES = tuple(dict.fromkeys((*STATED_FIGURES, *BOOK_FIGURES)))
REACHING_SESSIONS = 60
"""A quarter, after which weights were last set, whatever the policy."""

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["portfolios"])


@router.get("/{reference}/value/explain")
def explain_value(
    reference: PortfolioPath,
    database: Database,
    measure: Annotated[
        str, Query(description=f"Of a book one of {', '.join(BOOK_FIGURES)}; of stated positions value or weight.")
    ] = VALUE,
    symbol: Annotated[Symbol | None, Query(description="Position whose weight is asked.", examples=["AAPL"])] = None,
    session: AskedSession = None,
) -> ExplanationOut:
    """Explain what a portfolio is worth, the weight of a position in it, or a figure of its book."""
    known_figure(measure, VALUE_FIGURES)
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        if measure == WEIGHT:
            found = _weight(connection, portfolio, symbol, session)
        elif portfolio.keeps_book:
            found = _book(connection, portfolio, known_figure(measure, BOOK_FIGURES), session)
        else:
            known_figure(measure, STATED_FIGURES)
            found = _value(connection, portfolio, session)
        return explanation(connection, found.figure, found.inputs, found.again, database.notice(connection))


@dataclass(frozen=True, slots=True)
class _Found:
    """What an explanation is made of."""

    figure: Figure
    inputs: InputsOut
    again: float | None


def _value(connection: Connection, portfolio: Portfolio, session: date | None) -> _Found:
    """What stated quantities are worth."""
    if any(position.quantity is None for position in portfolio.positions) or not portfolio.positions:
        raise NotFoundError(
            f"{name_of(portfolio)} states target weights, so it has no value of its own",
            "Ask for measure=weight with the symbol of a position.",
        )
    panel, row = _panel_at(connection, portfolio, session)
    close = panel.columns(ids_of(portfolio), portfolio.base_currency)
    rows = np.full(len(portfolio.positions), row)
    units = _Units(ids_of(portfolio), symbols_of(portfolio), portfolio.amounts, rows)
    positions = _valued(connection, panel, units, portfolio.base_currency)
    value = math.fsum((close[row] * portfolio.amounts).tolist())
    inputs = InputsOut(
        sessions=days_of(panel.sessions[row : row + 1]), close={}, exchange_rates={}, positions=positions
    )
    figure = _figure(portfolio, ids_of(portfolio), inputs.sessions[-1], value, _DEFINITIONS[VALUE], {})
    return _Found(figure, inputs, math.fsum(position.value for position in positions))


def _weight(connection: Connection, portfolio: Portfolio, symbol: str | None, session: date | None) -> _Found:
    """The share that a position has at a close."""
    position = position_of(portfolio, symbol or "")
    place = portfolio.positions.index(position)
    panel, row = _panel_at(connection, portfolio, session)
    close = panel.columns(ids_of(portfolio), portfolio.base_currency)
    known = np.flatnonzero(np.isfinite(close).all(axis=1))
    inputs = portfolio_inputs(panel, portfolio, None, 1)
    assert inputs.holdings is not None  # a portfolio's
    served = hold(close[known], panel.sessions[known], inputs.holdings).weights[-1][place]
    day = panel.sessions[row].astype(date)
    figure = _figure(portfolio, ids_of(portfolio), day, float(served), _DEFINITIONS[WEIGHT], {"position": place})
    out = inputs_out(inputs, held_window(inputs, 1))
    return _Found(figure, out, contribution_again(inputs, WEIGHT, place, 1))


def _book(connection: Connection, portfolio: Portfolio, measure: str, session: date | None) -> _Found:
    """A figure of a book."""
    book = read_book_at(connection, portfolio, session)
    served = book_figures(book.close, book)
    inputs = book_inputs(book)
    close = np.array([*inputs.close.values()], dtype=np.float64).reshape(len(book.ids), len(book.sessions)).T
    again = book_figures(close, book)
    parameters: dict[str, Parameter] = {"transactions": len(book.trades.rows) + len(book.flows.rows)}
    if measure == VALUE:
        positions = _held(connection, book, portfolio)
        cash = again["cash"] or 0.0
        inputs = inputs.model_copy(update={"positions": positions, "cash": cash})
        again[VALUE] = math.fsum([*(position.value for position in positions), cash])
    figure = _figure(
        portfolio, list(book.ids), inputs.sessions[-1], served[measure], book_definition(measure), parameters
    )
    return _Found(figure, inputs, again[measure])


def _held(connection: Connection, book: Book, portfolio: Portfolio) -> list[ValuedOut]:
    """What a book holds at its last session, each at its last price up to it."""
    units = value_book(book.close, book.trades, book.flows).units[-1]
    held = np.flatnonzero(units)
    if len(held) == 0:
        return []
    ids, days = [book.ids[column] for column in held], days_of(book.sessions)
    first, last = days[0] - timedelta(days=LOOK_BACK_DAYS), days[-1] + timedelta(days=1)
    panel = read_price_panel(connection, ids, first, last, currency=portfolio.base_currency)
    known = np.isfinite(panel.columns(ids, portfolio.base_currency))
    rows: IntArray = len(known) - 1 - np.argmax(known[::-1], axis=0)
    symbols = [book.symbols[column] for column in held]
    return _valued(connection, panel, _Units(ids, symbols, units[held], rows), portfolio.base_currency)


@dataclass(frozen=True, slots=True)
class _Units:
    """What is held of each of k instruments, in units of a panel, and the row of its price."""

    ids: Sequence[int]
    symbols: Sequence[str]
    units: FloatArray
    rows: IntArray


def _valued(connection: Connection, panel: PricePanel, held: _Units, base: str) -> list[ValuedOut]:
    """Positions at their prices as they were given, which the panel has no part in."""
    ids = list(held.ids)
    days = days_of(panel.sessions[held.rows])
    given, growth = read_given_closes(connection, ids, days), read_growth(connection, ids)
    scales = read_price_scales(connection, ids)
    valued = []
    for place, (number, currency) in enumerate(zip(ids, currencies_of(panel, ids, base), strict=True)):
        close = given[number]
        price = (close.close_adjusted if close.close is None else close.close) or 0.0
        price *= scales.get(number, 1.0)
        quantity = float(held.units[place]) * growth_on(growth, number, panel.sessions[held.rows[place]])
        rates = np.broadcast_to(panel.exchange.rate(currency, base), len(panel.sessions))
        rate = float(rates[held.rows[place]])
        valued.append(
            ValuedOut(
                symbol=held.symbols[place],
                quantity=quantity,
                session=days[place],
                price=price,
                currency=currency,
                exchange_rate=rate,
                value=quantity * price * rate,
            )
        )
    return valued


def _panel_at(connection: Connection, portfolio: Portfolio, session: date | None) -> tuple[PricePanel, int]:
    """Prices up to a session, the newest by default, and the last row on which every position has one.

    Raises
    ------
    NotFoundError
        If a position has none on the session.
    """
    last = session or read_last_session(connection)
    if last is not None and portfolio.positions:
        panel = read_known_panel(connection, ids_of(portfolio), None, last, NOW, REACHING_SESSIONS)
        known = np.isfinite(panel.columns(ids_of(portfolio), portfolio.base_currency)).all(axis=1)
        rows = np.flatnonzero(known)
        if len(rows) and session in (None, panel.sessions[rows[-1]].astype(date)):
            return panel, int(rows[-1])
    name = name_of(portfolio)
    raise not_stored(name, "price of every position", session, f"portfolios/{name}")


def _figure(
    portfolio: Portfolio,
    ids: list[int],
    session: date,
    value: float | None,
    definition: DefinitionOut,
    parameters: dict[str, Parameter],
) -> Figure:
    parameters = {"base_currency": portfolio.base_currency, "rebalancing": portfolio.rebalancing, **parameters}
    reason = "the book is too young, or no rate solves it"
    return Figure(name_of(portfolio), ids, session, value, reason, None, definition, parameters)


_DEFINITIONS = {
    VALUE: DefinitionOut(
        name=VALUE,
        function=path_of(read_price_panel),
        meaning="What the positions are worth at the close.",
        unit="base currency",
        formula="Σ quantity × price × exchange_rate",
        source=path_of(PricePanel),
        parameters={},
    ),
    WEIGHT: DefinitionOut(
        name=WEIGHT,
        function=path_of(hold),
        meaning="Share of the position in what the portfolio is worth at the close.",
        unit="fraction of value",
        formula=words_of_field(HeldPortfolio, "weights"),
        source=path_of(hold),
        parameters={},
    ),
}
