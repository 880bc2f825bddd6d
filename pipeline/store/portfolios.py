"""Portfolios and their positions: made by users, read by the pipeline."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from psycopg import Connection
from psycopg.errors import UniqueViolation
from sqlalchemy import (
    Boolean,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKeyConstraint,
    Identity,
    Integer,
    String,
    Table,
    Text,
    func,
    text,
)

from pipeline.base.calendars import NEW_YORK_TIME_ZONE
from pipeline.base.errors import ConflictError, NotFoundError
from pipeline.base.types import REBALANCING_POLICIES, FloatArray, Policy, Rebalancing
from pipeline.store import materializations
from pipeline.store.corporate_actions import Growth, read_growth
from pipeline.store.point_in_time import NOW, Knowledge
from pipeline.store.schema import METADATA, Unit, column
from pipeline.store.transactions import StoredTransaction, read_transactions

PORTFOLIOS_INPUT = "portfolios"
"""Asset key under which a change of the portfolios is recorded as an input of the pipeline."""

PORTFOLIO = Table(
    "portfolio",
    METADATA,
    column("id", Integer(), "Number of the portfolio.", primary_key=True, server_default=Identity(always=True)),
    column("slug", Text(), "Short name in addresses, if it has one.", unique=True),
    column("name", Text(), "Name as the owner wrote it.", nullable=False),
    column("base_currency", String(3), "ISO 4217 currency of its value.", nullable=False),
    column("rebalancing", Text(), "When it returns to its target weights.", nullable=False),
    column("created_at", DateTime(timezone=True), "When it was made.", nullable=False, server_default=func.now()),
    column("owner_id", Integer(), "User whom it belongs to; empty if it is everybody's.", index=True),
    column("benchmark_id", Integer(), "Instrument that it is measured against; empty for the market index."),
    column(
        "positions_at",
        DateTime(timezone=True),
        "When its positions were last stated; empty if it was when the portfolio was made.",
    ),
    column(
        "keeps_book",
        Boolean(),
        "Whether its positions follow from its transactions.",
        nullable=False,
        server_default=text("false"),
    ),
    column(
        "drift_band",
        Double(),
        "By how much a weight may leave its target; empty for every policy but drift_band.",
        Unit("fraction of value"),
    ),
    CheckConstraint(f"rebalancing IN {REBALANCING_POLICIES}", name="rebalancing"),
    CheckConstraint(
        "(rebalancing = 'drift_band') = (drift_band IS NOT NULL) AND drift_band > 0 AND drift_band < 1",
        name="drift_band",
    ),
    comment="Portfolios.",
)

POSITION = Table(
    "position",
    METADATA,
    column("portfolio_id", Integer(), "Portfolio.", nullable=False, primary_key=True, autoincrement=False),
    column("instrument_id", Integer(), "Instrument.", nullable=False, primary_key=True, autoincrement=False),
    column("quantity", Double(), "Units held, negative if short.", Unit("units")),
    column("target_weight", Double(), "Share of the value to return to.", Unit("fraction of value")),
    CheckConstraint("num_nonnulls(quantity, target_weight) = 1", name="quantity_or_weight"),
    comment="What a portfolio holds: units, or target weights.",
)
PORTFOLIO.append_constraint(ForeignKeyConstraint(["owner_id"], ["app_user.id"]))
PORTFOLIO.append_constraint(ForeignKeyConstraint(["benchmark_id"], ["instrument.id"]))
# Users write these few rows, so references are enforced here, unlike on bulk result tables (ADR 0003).
POSITION.append_constraint(ForeignKeyConstraint(["portfolio_id"], ["portfolio.id"], ondelete="CASCADE"))
POSITION.append_constraint(ForeignKeyConstraint(["instrument_id"], ["instrument.id"]))


@dataclass(frozen=True, slots=True)
class Position:
    """A holding: `quantity` units, or a `target_weight`; exactly one of them.

    Parameters
    ----------
    quantity
        As its owner stated it, in units of the day on which the positions were stated; of a book in those of the last
        trade's day.
    growth
        What one unit held since the instrument's first action had become by that day; 1 without actions.
    """

    instrument_id: int
    symbol: str
    quantity: float | None = None
    target_weight: float | None = None
    growth: float = 1.0

    @property
    def amount(self) -> float:
        """The target weight, or the quantity in the units whose value the closes of a price panel are.

        What an instrument pays later is reinvested; the units of the panel stay as many.
        """
        if self.quantity is not None:
            return self.quantity / self.growth
        assert self.target_weight is not None
        return self.target_weight


@dataclass(frozen=True, slots=True)
class NewPortfolio:
    """A portfolio before it has a number."""

    name: str
    rebalancing: Rebalancing
    positions: tuple[Position, ...]
    base_currency: str = "USD"
    slug: str | None = None
    owner_id: int | None = None
    benchmark_id: int | None = None
    keeps_book: bool = False
    drift_band: float | None = None


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A stored portfolio.

    Parameters
    ----------
    positions
        None are held by a book without trades, or one that has sold everything.
    benchmark_id, benchmark
        Number and symbol of what it is measured against; None for the market index.
    keeps_book
        Whether the positions follow from its transactions.
    drift_band
        By how much a weight may leave its target; None for every policy but ``drift_band``.
    """

    id: int
    slug: str | None
    name: str
    base_currency: str
    rebalancing: Rebalancing
    created_at: datetime
    positions: tuple[Position, ...]
    benchmark_id: int | None = None
    benchmark: str | None = None
    keeps_book: bool = False
    drift_band: float | None = None

    @property
    def policy(self) -> Policy:
        """When it returns to its target weights."""
        return Policy(self.rebalancing, self.drift_band)

    @property
    def amounts(self) -> FloatArray:
        """(n,) target weights or units of a price panel, in the order of the positions."""
        return np.array([position.amount for position in self.positions], dtype=np.float64)


_READ = """
SELECT portfolio.id, slug, portfolio.name, base_currency, rebalancing, created_at, benchmark_id, benchmark.symbol,
    keeps_book, drift_band, coalesce(positions_at, created_at)
FROM portfolio LEFT JOIN instrument AS benchmark ON benchmark.id = benchmark_id
"""
NOTHING_HELD = 1e-9
"""Of the most units that a book held: less is what rounding leaves of a position that was sold."""


def create_portfolio(connection: Connection, portfolio: NewPortfolio) -> int:
    """Store a portfolio and mark the pipeline's portfolio results as out of date.

    Returns
    -------
    int
        Number of the new portfolio.

    Raises
    ------
    ConflictError
        If the slug is taken.
    """
    try:
        row = connection.execute(
            "INSERT INTO portfolio"
            " (slug, name, base_currency, rebalancing, owner_id, benchmark_id, keeps_book, drift_band)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
            [
                portfolio.slug,
                portfolio.name,
                portfolio.base_currency,
                portfolio.rebalancing,
                portfolio.owner_id,
                portfolio.benchmark_id,
                portfolio.keeps_book,
                portfolio.drift_band,
            ],
        ).fetchone()
    except UniqueViolation as error:
        raise slug_taken(portfolio.slug) from error
    assert row is not None
    insert_positions(connection, row[0], portfolio.positions)
    materializations.touch(connection, PORTFOLIOS_INPUT, run_id="portfolio created", code_version="")
    return int(row[0])


def slug_taken(slug: str | None) -> ConflictError:
    """What is said where another portfolio has the slug."""
    return ConflictError(f"The slug {slug!r} is taken", "Choose another one.")


def insert_positions(connection: Connection, portfolio_id: int, positions: Collection[Position]) -> None:
    """Store positions of a portfolio that has none."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO position (portfolio_id, instrument_id, quantity, target_weight) VALUES (%s, %s, %s, %s)",
            [(portfolio_id, p.instrument_id, p.quantity, p.target_weight) for p in positions],
        )


def read_portfolios(connection: Connection) -> list[Portfolio]:
    """Every portfolio with its positions, ordered by id."""
    return _with_positions(connection, connection.execute(f"{_READ} ORDER BY portfolio.id").fetchall(), NOW)


def read_portfolio(connection: Connection, reference: str, known: Knowledge = NOW) -> Portfolio:
    """The portfolio of an id or a slug, its units by the splits and dividends of that knowledge.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    row = connection.execute(f"{_READ} WHERE portfolio.id::text = %s OR slug = %s", [reference, reference]).fetchone()
    if row is None:
        raise NotFoundError(f"No portfolio has the id or slug {reference!r}", "GET /api/v1/portfolios lists yours.")
    return _with_positions(connection, [row], known)[0]


def _with_positions(connection: Connection, rows: Sequence[tuple[Any, ...]], known: Knowledge) -> list[Portfolio]:
    """Portfolios of rows of `_READ`."""
    held = _read_positions(connection, {row[0]: row[-1] for row in rows if not row[8]}, known)
    held |= _read_books(connection, [row[0] for row in rows if row[8]], known)
    return [Portfolio(*(*row[:6], held.get(row[0], ()), *row[6:10])) for row in rows]


def _read_books(connection: Connection, ids: Sequence[int], known: Knowledge) -> dict[int, tuple[Position, ...]]:
    """The positions of books: what their trades have left."""
    if not ids:
        return {}
    trades = [trade for trade in read_transactions(connection, ids) if trade.instrument_id is not None]
    growth = read_growth(connection, sorted({trade.instrument_id or 0 for trade in trades}), known) if trades else {}
    by_book: dict[int, list[StoredTransaction]] = {}
    for trade in trades:
        by_book.setdefault(trade.portfolio_id, []).append(trade)
    return {number: positions_of_trades(book, growth) for number, book in by_book.items()}


def positions_of_trades(trades: Sequence[StoredTransaction], growth: Mapping[int, Growth]) -> tuple[Position, ...]:
    """What trades have left, by symbol; units grow by splits and by dividends, which are reinvested.

    Parameters
    ----------
    trades
        By day.
    """
    running: dict[int, Position] = {}
    most: dict[int, float] = {}
    for trade in trades:
        number = trade.instrument_id
        if number is None:
            continue
        grown = growth_on(growth, number, np.datetime64(trade.trade_date, "D"))
        before = running.get(number)
        held = 0.0 if before is None else (before.quantity or 0.0) * (grown / before.growth)
        quantity = held + trade.units
        running[number] = Position(number, trade.symbol or "", quantity=quantity, growth=grown)
        most[number] = max(most.get(number, 0.0) * (1.0 if before is None else grown / before.growth), abs(quantity))
    left = [p for p in running.values() if abs(p.quantity or 0.0) > NOTHING_HELD * most[p.instrument_id]]
    return tuple(sorted(left, key=lambda position: (position.symbol, position.instrument_id)))


def _read_positions(
    connection: Connection, stated: Mapping[int, datetime], known: Knowledge
) -> dict[int, tuple[Position, ...]]:
    """The stated positions of portfolios by when they were stated."""
    rows = connection.execute(
        """
        SELECT portfolio_id, instrument_id, symbol, quantity, target_weight
        FROM position JOIN instrument ON instrument.id = instrument_id
        WHERE portfolio_id = ANY(%s) ORDER BY portfolio_id, symbol, instrument_id
        """,
        [list(stated)],
    ).fetchall()
    counted = sorted({row[1] for row in rows if row[3] is not None})
    growth = read_growth(connection, counted, known) if counted else {}
    found: dict[int, list[Position]] = {}
    for portfolio_id, instrument_id, symbol, quantity, weight in rows:
        grown = growth_on(growth, instrument_id, np.datetime64(_day_of(stated[portfolio_id]), "D"))
        found.setdefault(portfolio_id, []).append(Position(instrument_id, symbol, quantity, weight, grown))
    return {portfolio_id: tuple(positions) for portfolio_id, positions in found.items()}


@contextmanager
def noting_changed_units(connection: Connection) -> Iterator[None]:
    """Mark the portfolios as changed if a corporate action that is written meanwhile changes what they held.

    An action that arrives after a portfolio was made, and whose ex-date lies before that, changes the units that its
    quantities stand for, and with them its weights in every month.
    """
    before = _read_amounts(connection)
    yield
    if _read_amounts(connection) != before:
        materializations.touch(connection, PORTFOLIOS_INPUT, run_id="corporate action of the past", code_version="")


def _read_amounts(connection: Connection) -> dict[int, list[float]]:
    return {portfolio.id: portfolio.amounts.tolist() for portfolio in read_portfolios(connection)}


def growth_on(growth: Mapping[int, Growth], instrument_id: int, day: np.datetime64) -> float:
    """What one unit has become by a day; 1 for an instrument without actions."""
    if instrument_id not in growth:
        return 1.0
    return float(growth[instrument_id].at(np.array([day], dtype="datetime64[D]"))[0])


def _day_of(moment: datetime) -> date:
    """Its day in New York, wherever the server stands: a quantity stated in the evening knows no split of tomorrow."""
    return moment.astimezone(ZoneInfo(NEW_YORK_TIME_ZONE)).date()
