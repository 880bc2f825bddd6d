"""Transactions of portfolios that keep a book: their positions follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Request
from psycopg import Connection
from starlette.concurrency import run_in_threadpool

from pipeline.base.errors import ConflictError, InvalidInputError
from pipeline.risk.measures.books import value_book
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.store.corporate_actions import read_growth
from pipeline.store.instruments import Instrument, find_instruments
from pipeline.store.portfolio_changes import note_change
from pipeline.store.portfolios import NOTHING_HELD, Portfolio, growth_on, read_portfolio
from pipeline.store.transactions import (
    NewTransaction,
    StoredTransaction,
    read_transactions,
    record_transactions,
    remove_transaction,
)
from serving.answers import Collection
from serving.answers.cursors import Order
from serving.deps import Connections, Database
from serving.errors import problem_responses
from serving.inputs import Paged, PortfolioPath
from serving.positions import require_rates
from serving.routes.books import read_book
from serving.routes.portfolio_changes import IfMatch, locked
from serving.routes.transaction_forms import (
    REQUEST_BODY,
    HoldingOut,
    RecordedOut,
    TransactionIn,
    TransactionOut,
    parsed,
    refuse_rows,
)
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/portfolios", tags=["portfolios"])
TRANSACTIONS = Order("transactions", (date, int), lambda row: (row.trade_date, row.id))

NumberPath = Annotated[int, Path(description="Number of a transaction.", examples=[1])]


@router.get("/{reference}/transactions")
def list_transactions(reference: PortfolioPath, query: Paged, database: Database) -> Collection[TransactionOut]:
    """The transactions of a portfolio, by day; none of one whose positions are stated."""
    with database.reading() as connection:
        rows = read_transactions(connection, [read_portfolio(connection, reference).id])
        kept, following = query.sliced(rows, TRANSACTIONS)
        return Collection[TransactionOut].of(kept, database.notice(connection), following)


@router.post(
    "/{reference}/transactions", status_code=201, responses=problem_responses(409, 412), openapi_extra=REQUEST_BODY
)
async def post_transactions(
    reference: PortfolioPath, request: Request, database: Database, if_match: IfMatch = None
) -> RecordedOut:
    """Record transactions, as JSON or as a CSV file: all of them, or none where one is refused."""
    given = parsed(await request.body(), request.headers.get("content-type", ""))
    return await run_in_threadpool(_recorded, database, reference, given, if_match)


@router.delete("/{reference}/transactions/{number}", status_code=204, responses=problem_responses(409, 412))
def delete_transaction(
    reference: PortfolioPath, number: NumberPath, database: Database, if_match: IfMatch = None
) -> None:
    """Take a transaction back that was recorded by mistake."""
    with database.writing() as connection:
        portfolio = _locked_book(connection, database, reference, if_match)
        if not 0 < number < 2**31:
            number = 0  # no transaction has it, and the store says so
        remove_transaction(connection, portfolio.id, number)
        _require_sound(connection, portfolio, {})
        note_change(connection, "transaction removed")
        database.record(connection, "transactions.remove", f"portfolio:{portfolio.id}", {"transaction": number})


def _recorded(
    database: Connections, reference: str, given: Sequence[TransactionIn], if_match: str | None
) -> RecordedOut:
    with database.writing() as connection:
        portfolio = _locked_book(connection, database, reference, if_match)
        new = _resolved(connection, portfolio, given)
        numbers = record_transactions(connection, portfolio.id, new)
        _require_sound(connection, portfolio, {number: place for place, number in enumerate(numbers)})
        note_change(connection, "transactions recorded")
        detail = {"transactions": len(numbers), "first": numbers[0], "last": numbers[-1]}
        database.record(connection, "transactions.record", f"portfolio:{portfolio.id}", detail)
        held = read_portfolio(connection, str(portfolio.id)).positions
        return RecordedOut(
            portfolio_id=portfolio.id,
            recorded=numbers,
            positions=[HoldingOut.model_validate(position) for position in held],
            notice=database.notice(connection),
        )


def _locked_book(connection: Connection, database: Connections, reference: str, if_match: str | None) -> Portfolio:
    portfolio = locked(connection, database, reference, if_match)
    if not portfolio.keeps_book:
        raise ConflictError(
            "transactions: the positions of this portfolio are stated, and follow from no transactions",
            f"PUT /api/v1/portfolios/{portfolio.id}/positions replaces them; a portfolio that is made without"
            " positions takes transactions.",
        )
    return portfolio


def _resolved(connection: Connection, portfolio: Portfolio, given: Sequence[TransactionIn]) -> list[NewTransaction]:
    """The transactions as the store takes them.

    Raises
    ------
    RequestValidationError
        Naming each row with a day that has not come, an unknown symbol, or a currency without a rate.
    """
    today = datetime.now(UTC).date()
    known = find_instruments(connection, sorted({one.symbol for one in given if one.symbol is not None}))
    errors: dict[int, str] = {}
    for place, one in enumerate(given):
        instrument = known.get(one.symbol) if one.symbol is not None else None
        if one.trade_date > today:
            errors[place] = f"trade_date: {one.trade_date} has not come; record it once it is made"
        elif one.symbol is not None and instrument is None:
            errors[place] = f"symbol: no instrument has the symbol {one.symbol}; GET /api/v1/instruments lists them"
        elif instrument is not None:
            said = _without_rate(connection, instrument, portfolio.base_currency)
            if said is not None:
                errors[place] = said
    refuse_rows(errors)
    return [_new(one, known) for one in given]


def _without_rate(connection: Connection, instrument: Instrument, currency: str) -> str | None:
    if instrument.currency == currency:
        return None
    try:
        require_rates(connection, [instrument], currency)
    except InvalidInputError as error:
        return f"symbol: {error.cause.removeprefix('positions: ')}"
    return None


def _new(one: TransactionIn, known: dict[str, Instrument]) -> NewTransaction:
    return NewTransaction(
        one.kind,
        one.trade_date,
        None if one.symbol is None else known[one.symbol].id,
        one.quantity,
        one.price,
        one.fee,
        one.amount,
        one.short,
    )


def _require_sound(connection: Connection, portfolio: Portfolio, places: dict[int, int]) -> None:
    """Refuse a book that sells what it has not, takes out what is not there, or trades what has no price.

    Parameters
    ----------
    places
        Number of each new transaction → its place among those given; the others were recorded before.

    Raises
    ------
    RequestValidationError
        Naming the new rows.
    ConflictError
        If it is an earlier transaction that does not go with the change.
    """
    transactions = read_transactions(connection, [portfolio.id])
    errors = _oversold(connection, transactions)
    if not errors:
        book = read_book(connection, transactions, portfolio.base_currency)
        if book is not None:
            errors = {
                t.id: f"trade_date: {t.symbol} has no price in {portfolio.base_currency} in the month up to"
                f" {t.trade_date}; record a later day, or load its prices"
                for t in book.without_price
            }
            if not errors:
                try:
                    value_book(book.close, book.trades, book.flows)
                except MeasureInputError as error:
                    raise InvalidInputError(f"transactions: {error}", "Nothing was recorded.") from error
    refuse_rows({places[number]: said for number, said in errors.items() if number in places})
    for number, said in errors.items():
        raise ConflictError(f"transaction {number} does not go with that: {said}", "Nothing was changed.")


def _oversold(connection: Connection, transactions: Sequence[StoredTransaction]) -> dict[int, str]:
    """Sales of more than was held on their day, unless a sale of that instrument may be short."""
    ids = sorted({t.instrument_id for t in transactions if t.instrument_id is not None})
    growth = read_growth(connection, ids) if ids else {}
    may_be_short = {t.instrument_id for t in transactions if t.is_short}
    held: dict[int, float] = {}
    most: dict[int, float] = {}
    errors: dict[int, str] = {}
    for one in transactions:
        number = one.instrument_id
        if number is None:
            continue
        grown = growth_on(growth, number, np.datetime64(one.trade_date, "D"))
        before = held.get(number, 0.0)
        held[number] = before + one.units / grown
        most[number] = max(most.get(number, 0.0), abs(held[number]))
        if held[number] < -NOTHING_HELD * most[number] and one.units < 0.0 and number not in may_be_short:
            errors[one.id] = (
                f"quantity: {one.quantity:.10g} of {one.symbol} sold on {one.trade_date}, and {before * grown:.10g}"
                " were held; sell fewer, or say short: true"
            )
    return errors
