"""Portfolios: made here, computed by the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from fastapi import APIRouter, Response
from psycopg import Connection
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.base.errors import InvalidInputError
from pipeline.base.types import Rebalancing
from pipeline.risk.measures.holdings import Holdings
from pipeline.store.portfolios import (
    PORTFOLIO,
    POSITION,
    NewPortfolio,
    Position,
    create_portfolio,
    read_portfolio,
    read_portfolios,
)
from pipeline.store.prices import read_last_session, read_price_panel
from serving.answers import Collection, Resource, Row, described_by
from serving.deps import Database
from serving.errors import problem_responses
from serving.inputs import Currency, Label, PortfolioPath, Slug
from serving.positions import (
    MAXIMUM_POSITIONS,
    PositionIn,
    amounts_of,
    known_instruments,
    require_consistency,
    require_rates,
    units_of,
)

NEWEST_PRICES_DAYS = 92
"""How far back the newest session with a price for every position is looked for."""

router = APIRouter(prefix="/portfolios", tags=["portfolios"])


class PortfolioIn(BaseModel):
    """A portfolio to store: quantities, which are held, or target weights, which a policy restores."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Two stocks",
                    "slug": "two-stocks",
                    "rebalancing": "monthly",
                    "positions": [
                        {"symbol": "AAPL", "target_weight": 0.6},
                        {"symbol": "MSFT", "target_weight": 0.4},
                    ],
                }
            ]
        },
    )

    name: Label
    slug: Slug | None = Field(None, description="Short name for addresses; unique.")
    base_currency: Currency = Field("USD", description="ISO 4217 currency of its value; other prices are converted.")
    rebalancing: Rebalancing | None = Field(
        None,
        description="When target weights are restored: daily, monthly or quarterly, without a default. "
        "Quantities are held (buy_and_hold).",
    )
    positions: list[PositionIn] = Field(min_length=1, max_length=MAXIMUM_POSITIONS)

    @model_validator(mode="after")
    def _require_consistency(self) -> PortfolioIn:
        require_consistency(self.positions, self.rebalancing)
        return self

    @property
    def policy(self) -> Rebalancing:
        """The policy, which for quantities may be left out."""
        return self.rebalancing or "buy_and_hold"

    def require_holdable(self) -> None:
        """Refuse amounts that nothing can be computed from, by the rule that computes.

        Raises
        ------
        MeasureInputError
            If target weights do not sum to 1.
        """
        # In the order in which the store reads them: a sum at the edge of the tolerance depends on it.
        ordered = sorted(self.positions, key=lambda position: position.symbol)
        Holdings(amounts_of(ordered), self.policy)


@described_by(POSITION)
class PositionOut(Row):
    """A holding."""

    symbol: str
    quantity: float | None
    target_weight: float | None


@described_by(PORTFOLIO)
class PortfolioOut(Row):
    """A stored portfolio."""

    id: int
    slug: str | None
    name: str
    base_currency: str
    rebalancing: Rebalancing
    created_at: datetime
    positions: list[PositionOut]


class PortfolioAnswer(PortfolioOut, Resource):
    """One portfolio."""


@router.get("")
def list_portfolios(database: Database) -> Collection[PortfolioOut]:
    """Every portfolio with its positions, ordered by id."""
    with database.reading() as connection:
        return Collection[PortfolioOut](data=read_portfolios(connection), notice=database.notice(connection))


@router.get("/{reference}")
def get_portfolio(reference: PortfolioPath, database: Database) -> PortfolioAnswer:
    """One portfolio."""
    with database.reading() as connection:
        return PortfolioAnswer.of(read_portfolio(connection, reference), database.notice(connection))


@router.post("", status_code=201, responses=problem_responses(409))
def post_portfolio(portfolio: PortfolioIn, database: Database, response: Response) -> PortfolioAnswer:
    """Store a portfolio; the pipeline computes its daily results with its next run."""
    portfolio.require_holdable()
    with database.writing() as connection:
        resolved = _resolved(connection, portfolio)
        _require_value(connection, resolved, portfolio.positions)
        portfolio_id = create_portfolio(connection, resolved)
        stored = read_portfolio(connection, str(portfolio_id))
        answer = PortfolioAnswer.of(stored, database.notice(connection))
    response.headers["Location"] = f"/api/v1/portfolios/{portfolio_id}"
    return answer


def _resolved(connection: Connection, portfolio: PortfolioIn) -> NewPortfolio:
    """The portfolio as the store takes it.

    Raises
    ------
    InvalidInputError
        If a symbol is unknown, or priced in a currency that cannot be converted.
    """
    known = known_instruments(connection, [position.symbol for position in portfolio.positions])
    require_rates(connection, list(known.values()), portfolio.base_currency)
    positions = tuple(
        Position(known[p.symbol].id, p.symbol, quantity=p.quantity, target_weight=p.target_weight)
        for p in portfolio.positions
    )
    return NewPortfolio(portfolio.name, portfolio.policy, positions, portfolio.base_currency, portfolio.slug)


def _require_value(connection: Connection, portfolio: NewPortfolio, given: Sequence[PositionIn]) -> None:
    """Refuse quantities that are worth nothing on the newest session with a price for each; without one, nothing.

    They are taken as of the newest session, whose splits and dividends their owner knows.

    Raises
    ------
    InvalidInputError
        If their value is not above 0.
    """
    last = read_last_session(connection)
    if portfolio.rebalancing != "buy_and_hold" or last is None:
        return
    start, end = last - timedelta(days=NEWEST_PRICES_DAYS), last + timedelta(days=1)
    ids, currency = [position.instrument_id for position in portfolio.positions], portfolio.base_currency
    panel = read_price_panel(connection, ids, start, end, currency=currency)
    if len(panel.sessions) == 0:
        return
    close = panel.columns(ids, currency)
    complete = np.flatnonzero(np.isfinite(close).all(axis=1))
    if len(complete) == 0:
        return
    value = float(close[complete[-1]] @ units_of(connection, given, ids, panel.sessions[-1]))
    if value <= 0:
        raise InvalidInputError(
            f"positions: worth {value:.6g} at the closes of {panel.sessions[complete[-1]]}, which is not above 0",
            "Hold less short, or more long.",
        )
