"""Portfolios: what they hold, their transactions, what they are worth, and their limits."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

from fintech.answers.records import Answer, Record, each, table
from fintech.series import Columns, Series
from pipeline.base.types import Rebalancing

if TYPE_CHECKING:
    import pandas as pd

PORTFOLIOS: Columns = {
    "id": "int",
    **each("text", "slug", "name", "base_currency", "rebalancing"),
    "drift_band": "float",
}
TRANSACTIONS: Columns = {
    "trade_date": "date",
    "id": "int",
    **each("text", "kind", "symbol"),
    **each("float", "quantity", "price", "fee", "amount"),
    "is_short": "truth",
    "recorded_at": "time",
}
VALUES: Columns = {
    "session": "date",
    **each("float", "value", "cash", "inflow", "outflow", "time_weighted_return"),
}
BOOK: Columns = each("text", "symbol") | each("float", "quantity", "value", "cost", "unrealised", "realised")
LIMITS: Columns = {
    **each("text", "measure", "direction"),
    **each("float", "warn", "breach"),
    **each("time", "created_at", "changed_at"),
}
LIMIT_EVENTS: Columns = {
    **each("date", "session", "opened"),
    **each("text", "key", "kind", "measure", "direction", "last_error"),
    **each("float", "value", "warn", "breach"),
    **each("time", "recorded_at", "delivered_at"),
    "attempts": "int",
}


class Position(Record):
    """A holding: a quantity, or a target weight as a fraction."""

    symbol: str
    quantity: float | None = None
    target_weight: float | None = None


class Holdings(Record):
    """A stored portfolio."""

    id: int
    slug: str | None
    name: str
    base_currency: str
    rebalancing: Rebalancing
    drift_band: float | None = None
    created_at: datetime
    benchmark: str | None = None
    keeps_book: bool = False
    positions: tuple[Position, ...]


class Portfolio(Holdings, Answer):
    """A stored portfolio as an answer has it; a change that is given it is refused if another came before."""

    etag: str | None = None


class NewTransaction(Record):
    """A trade, with a symbol and a quantity, or cash, with an amount; a price that is left out is the close."""

    kind: Literal["buy", "sell", "deposit", "withdrawal"]
    trade_date: date
    symbol: str | None = None
    quantity: float | None = None
    price: float | None = None
    fee: float | None = None
    amount: float | None = None
    short: bool | None = None


class Transaction(Record):
    """A stored transaction."""

    id: int
    kind: str
    trade_date: date
    symbol: str | None
    quantity: float | None
    price: float | None
    fee: float
    amount: float | None
    is_short: bool
    recorded_at: datetime


class Recorded(Answer):
    """Numbers of the transactions that were recorded, in the order given, and what is held now."""

    portfolio_id: int
    recorded: tuple[int, ...]
    positions: tuple[Position, ...]


class BookPosition(Record):
    """A position of a portfolio that keeps a book, in the base currency."""

    symbol: str
    quantity: float
    value: float
    cost: float
    unrealised: float
    realised: float


class PortfolioValue(Answer):
    """What a portfolio that keeps a book is worth, has earned, and was worth before."""

    portfolio_id: int
    base_currency: str
    first_session: date
    as_of: date
    pending_transactions: int
    value: float
    cash: float
    paid_in: float
    taken_out: float
    profit: float
    realised: float
    unrealised: float
    time_weighted_return: float
    time_weighted_return_annual: float | None
    money_weighted_return_annual: float | None
    positions: tuple[BookPosition, ...]
    history: Series

    def to_df(self) -> pd.DataFrame:
        """The positions by symbol; `history` has one of its own."""
        return table(self.positions, BOOK, self.told)


class Limit(Record):
    """A limit as it is set: `direction` is the side that is not allowed."""

    measure: str
    direction: Literal["above", "below"]
    warn: float
    breach: float


class StoredLimit(Limit):
    """A limit of a portfolio."""

    created_at: datetime
    changed_at: datetime


class LimitState(Limit):
    """Where a portfolio stands against a limit."""

    status: str
    value: float | None
    headroom: float | None
    reason: str
