"""Portfolios and their positions: made by users, read by the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
from psycopg import Connection
from psycopg.errors import UniqueViolation
from sqlalchemy import (
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
)

from pipeline.base.calendars import NEW_YORK_TIME_ZONE
from pipeline.base.errors import ConflictError, NotFoundError
from pipeline.base.types import REBALANCING_POLICIES, FloatArray, Rebalancing
from pipeline.store import materializations
from pipeline.store.corporate_actions import Growth, read_growth
from pipeline.store.point_in_time import NOW, Knowledge
from pipeline.store.schema import METADATA, Unit, column

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
    CheckConstraint(f"rebalancing IN {REBALANCING_POLICIES}", name="rebalancing"),
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
# Users write these few rows, so references are enforced here, unlike on bulk result tables (ADR 0003).
POSITION.append_constraint(ForeignKeyConstraint(["portfolio_id"], ["portfolio.id"], ondelete="CASCADE"))
POSITION.append_constraint(ForeignKeyConstraint(["instrument_id"], ["instrument.id"]))


@dataclass(frozen=True, slots=True)
class Position:
    """A holding: `quantity` units, or a `target_weight`; exactly one of them.

    Parameters
    ----------
    quantity
        As its owner stated it, in units of the day on which the portfolio was made.
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


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A stored portfolio."""

    id: int
    slug: str | None
    name: str
    base_currency: str
    rebalancing: Rebalancing
    created_at: datetime
    positions: tuple[Position, ...]

    @property
    def amounts(self) -> FloatArray:
        """(n,) target weights or units of a price panel, in the order of the positions."""
        return np.array([position.amount for position in self.positions], dtype=np.float64)


_COLUMNS = "id, slug, name, base_currency, rebalancing, created_at"


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
            "INSERT INTO portfolio (slug, name, base_currency, rebalancing) VALUES (%s, %s, %s, %s) RETURNING id",
            [portfolio.slug, portfolio.name, portfolio.base_currency, portfolio.rebalancing],
        ).fetchone()
    except UniqueViolation as error:
        raise ConflictError(f"The slug {portfolio.slug!r} is taken", "Choose another one.") from error
    assert row is not None
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO position (portfolio_id, instrument_id, quantity, target_weight) VALUES (%s, %s, %s, %s)",
            [(row[0], p.instrument_id, p.quantity, p.target_weight) for p in portfolio.positions],
        )
    materializations.touch(connection, PORTFOLIOS_INPUT, run_id="portfolio created", code_version="")
    return int(row[0])


def read_portfolios(connection: Connection) -> list[Portfolio]:
    """Every portfolio with its positions, ordered by id."""
    portfolios = connection.execute(f"SELECT {_COLUMNS} FROM portfolio ORDER BY id").fetchall()
    positions = _read_positions(connection, {row[0]: row[-1] for row in portfolios}, NOW)
    return [Portfolio(*(*row, positions.get(row[0], ()))) for row in portfolios]


def read_portfolio(connection: Connection, reference: str, known: Knowledge = NOW) -> Portfolio:
    """The portfolio of an id or a slug, its units by the splits and dividends of that knowledge.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM portfolio WHERE id::text = %s OR slug = %s", [reference, reference]
    ).fetchone()
    if row is None:
        raise NotFoundError(f"No portfolio has the id or slug {reference!r}", "GET /api/v1/portfolios lists yours.")
    return Portfolio(*(*row, _read_positions(connection, {row[0]: row[-1]}, known).get(row[0], ())))


def _read_positions(
    connection: Connection, created: Mapping[int, datetime], known: Knowledge
) -> dict[int, tuple[Position, ...]]:
    """The positions of portfolios by when these were made."""
    rows = connection.execute(
        """
        SELECT portfolio_id, instrument_id, symbol, quantity, target_weight
        FROM position JOIN instrument ON instrument.id = instrument_id
        WHERE portfolio_id = ANY(%s) ORDER BY portfolio_id, symbol, instrument_id
        """,
        [list(created)],
    ).fetchall()
    counted = sorted({row[1] for row in rows if row[3] is not None})
    growth = read_growth(connection, counted, known) if counted else {}
    found: dict[int, list[Position]] = {}
    for portfolio_id, instrument_id, symbol, quantity, weight in rows:
        grown = growth_on(growth, instrument_id, np.datetime64(_day_of(created[portfolio_id]), "D"))
        found.setdefault(portfolio_id, []).append(Position(instrument_id, symbol, quantity, weight, grown))
    return {portfolio_id: tuple(positions) for portfolio_id, positions in found.items()}


def growth_on(growth: Mapping[int, Growth], instrument_id: int, day: np.datetime64) -> float:
    """What one unit has become by a day; 1 for an instrument without actions."""
    if instrument_id not in growth:
        return 1.0
    return float(growth[instrument_id].at(np.array([day], dtype="datetime64[D]"))[0])


def _day_of(moment: datetime) -> date:
    """Its day in New York, wherever the server stands: a quantity stated in the evening knows no split of tomorrow."""
    return moment.astimezone(ZoneInfo(NEW_YORK_TIME_ZONE)).date()
