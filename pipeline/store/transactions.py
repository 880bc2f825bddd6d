"""What was bought, sold, paid in and taken out of portfolios that keep a book; their positions follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, get_args

from psycopg import Connection
from psycopg.rows import class_row
from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    Double,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    func,
    text,
)

from pipeline.base.errors import NotFoundError
from pipeline.store.schema import METADATA, PRICE_UNIT, Unit, column

Kind = Literal["buy", "sell", "deposit", "withdrawal"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MONEY = Unit("currency")

PORTFOLIO_TRANSACTION = Table(
    "portfolio_transaction",
    METADATA,
    column("id", Integer(), "Number of the transaction.", primary_key=True, server_default=Identity(always=True)),
    column("portfolio_id", Integer(), "Portfolio.", nullable=False),
    column("kind", Text(), "buy, sell, deposit or withdrawal.", nullable=False),
    column("trade_date", Date(), "Day on which it was made.", nullable=False),
    column("instrument_id", Integer(), "What was traded; empty for cash."),
    column("quantity", Double(), "Units traded, as units were on that day; empty for cash.", Unit("units", minimum=0)),
    column("price", Double(), "Paid for one unit, without the fee; empty takes the close.", PRICE_UNIT),
    column(
        "fee",
        Double(),
        "Paid beside it, in the currency of what was traded; of cash in the base currency.",
        MONEY,
        nullable=False,
        server_default="0",
    ),
    column("amount", Double(), "Cash paid in or taken out, in the base currency; empty for trades.", MONEY),
    column(
        "is_short",
        Boolean(),
        "Whether a sale may leave less than nothing.",
        nullable=False,
        server_default=text("false"),
    ),
    column("recorded_at", DateTime(timezone=True), "When it was recorded.", nullable=False, server_default=func.now()),
    CheckConstraint(f"kind IN {KINDS}", name="kind"),
    CheckConstraint(
        "CASE WHEN kind IN ('buy', 'sell') THEN num_nulls(instrument_id, quantity) = 0 AND amount IS NULL"
        " ELSE num_nonnulls(instrument_id, quantity, price) = 0 AND amount IS NOT NULL END",
        name="parts",
    ),
    Index(None, "portfolio_id", "trade_date"),
    comment="What was bought, sold, paid in and taken out, of portfolios that keep a book.",
)
# Users write these few rows, so references are enforced here, unlike on bulk result tables (ADR 0003).
PORTFOLIO_TRANSACTION.append_constraint(ForeignKeyConstraint(["portfolio_id"], ["portfolio.id"], ondelete="CASCADE"))
PORTFOLIO_TRANSACTION.append_constraint(ForeignKeyConstraint(["instrument_id"], ["instrument.id"]))


@dataclass(frozen=True, slots=True)
class NewTransaction:
    """A transaction before it is stored: a trade has an instrument and a quantity, cash an amount."""

    kind: Kind
    trade_date: date
    instrument_id: int | None = None
    quantity: float | None = None
    price: float | None = None
    fee: float = 0.0
    amount: float | None = None
    is_short: bool = False


@dataclass(frozen=True, slots=True)
class StoredTransaction:
    """A stored transaction.

    Parameters
    ----------
    symbol
        Of what was traded; None for cash.
    """

    id: int
    portfolio_id: int
    kind: Kind
    trade_date: date
    instrument_id: int | None
    symbol: str | None
    quantity: float | None
    price: float | None
    fee: float
    amount: float | None
    is_short: bool
    recorded_at: datetime

    @property
    def units(self) -> float:
        """Units added, of the trade date; negative for a sale, 0 for cash."""
        return (self.quantity or 0.0) * (-1.0 if self.kind == "sell" else 1.0)


def record_transactions(connection: Connection, portfolio_id: int, new: Iterable[NewTransaction]) -> list[int]:
    """Store transactions of a portfolio, in the order given; their numbers."""
    numbers = []
    for one in new:
        row = connection.execute(
            "INSERT INTO portfolio_transaction (portfolio_id, kind, trade_date, instrument_id, quantity, price, fee,"
            " amount, is_short) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
            [
                portfolio_id,
                one.kind,
                one.trade_date,
                one.instrument_id,
                one.quantity,
                one.price,
                one.fee,
                one.amount,
                one.is_short,
            ],
        ).fetchone()
        assert row is not None
        numbers.append(int(row[0]))
    return numbers


def remove_transaction(connection: Connection, portfolio_id: int, number: int) -> None:
    """Take a transaction back.

    Raises
    ------
    NotFoundError
        If the portfolio has no such transaction.
    """
    removed = connection.execute(
        "DELETE FROM portfolio_transaction WHERE portfolio_id = %s AND id = %s", [portfolio_id, number]
    )
    if removed.rowcount == 0:
        raise NotFoundError(
            f"The portfolio has no transaction {number}", "GET /api/v1/portfolios/{reference}/transactions lists them."
        )


def read_transactions(connection: Connection, portfolio_ids: Sequence[int]) -> list[StoredTransaction]:
    """The transactions of portfolios: by portfolio, then by day, then as they were recorded."""
    with connection.cursor(row_factory=class_row(StoredTransaction)) as cursor:
        return cursor.execute(
            """
            SELECT trade.id, portfolio_id, trade.kind, trade_date, instrument_id, symbol, quantity, price, fee, amount,
                is_short, recorded_at
            FROM portfolio_transaction AS trade LEFT JOIN instrument ON instrument.id = instrument_id
            WHERE portfolio_id = ANY(%s) ORDER BY portfolio_id, trade_date, trade.id
            """,
            [list(portfolio_ids)],
        ).fetchall()
