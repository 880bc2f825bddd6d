"""Portfolios: made here, computed by the pipeline."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Response
from psycopg import Connection
from pydantic import AllowInfNan, BaseModel, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from pipeline.base.errors import InvalidInputError
from pipeline.base.types import Rebalancing
from pipeline.risk.measures.holdings import Holdings
from pipeline.store.instruments import find_instruments
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
from serving.inputs import Currency, Label, PortfolioPath, Slug, Symbol

MAXIMUM_POSITIONS = 500
NEWEST_PRICES_DAYS = 92
"""How far back the newest session with a price for every position is looked for."""
Quantity = Annotated[float, Strict(), AllowInfNan(False), Field(ge=-1e12, le=1e12)]
Weight = Annotated[float, Strict(), AllowInfNan(False), Field(ge=-100, le=100)]

router = APIRouter(prefix="/portfolios", tags=["portfolios"])


class PositionIn(BaseModel):
    """A holding: units, negative if short, or a share of the value to return to."""

    model_config = ConfigDict(extra="forbid")

    symbol: Symbol = Field(examples=["AAPL"])
    quantity: Quantity | None = Field(None, description="Units held, negative if short.")
    target_weight: Weight | None = Field(None, description="Share of the portfolio's value, as a fraction.")

    @model_validator(mode="after")
    def _require_one_amount(self) -> PositionIn:
        if (self.quantity is None) == (self.target_weight is None):
            raise PydanticCustomError("one_amount", "Give exactly one of quantity and target_weight")
        return self

    @property
    def amount(self) -> float:
        """The one of the two that is given."""
        amount = self.target_weight if self.quantity is None else self.quantity
        assert amount is not None
        return amount


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
    base_currency: Currency = Field("USD", description="ISO 4217 currency of its value and of each instrument.")
    rebalancing: Rebalancing | None = Field(
        None,
        description="When target weights are restored: daily, monthly or quarterly, without a default. "
        "Quantities are held (buy_and_hold).",
    )
    positions: list[PositionIn] = Field(min_length=1, max_length=MAXIMUM_POSITIONS)

    @model_validator(mode="after")
    def _require_consistency(self) -> PortfolioIn:
        symbols = [position.symbol for position in self.positions]
        if len(set(symbols)) < len(symbols):
            raise PydanticCustomError("duplicate_symbol", "positions: a symbol is given twice; sum its positions")
        quantities = [position.quantity for position in self.positions if position.quantity is not None]
        if len(quantities) == len(symbols) and max(quantities) <= 0:
            raise PydanticCustomError(
                "nothing_held", "positions: no quantity is above 0, so the portfolio is never worth anything"
            )
        weighted = {position.target_weight is not None for position in self.positions}
        if len(weighted) > 1:
            raise PydanticCustomError("mixed_amounts", "positions: give quantities or target weights, not both")
        if weighted == {False} and self.rebalancing not in (None, "buy_and_hold"):
            raise PydanticCustomError("rebalancing", "rebalancing: quantities are held; leave it out or buy_and_hold")
        if weighted == {True} and self.rebalancing in (None, "buy_and_hold"):
            raise PydanticCustomError("rebalancing", "rebalancing: target weights need daily, monthly or quarterly")
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
        amounts = [position.amount for position in sorted(self.positions, key=lambda position: position.symbol)]
        Holdings(np.array(amounts, dtype=np.float64), self.policy)


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
        _require_value(connection, resolved)
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
        If a symbol is unknown, or priced in another currency.
    """
    known = find_instruments(connection, [position.symbol for position in portfolio.positions])
    unknown = [position.symbol for position in portfolio.positions if position.symbol not in known]
    if unknown:
        raise InvalidInputError(
            f"positions: no instrument has the symbol {', '.join(unknown[:5])}",
            "GET /api/v1/instruments lists those known.",
        )
    foreign = [instrument for instrument in known.values() if instrument.currency != portfolio.base_currency]
    if foreign:
        raise InvalidInputError(
            f"base_currency: {portfolio.base_currency}, but {foreign[0].symbol} is priced in {foreign[0].currency}",
            "Choose the currency in which every instrument is priced.",
        )
    positions = tuple(
        Position(known[p.symbol].id, p.symbol, quantity=p.quantity, target_weight=p.target_weight)
        for p in portfolio.positions
    )
    return NewPortfolio(portfolio.name, portfolio.policy, positions, portfolio.base_currency, portfolio.slug)


def _require_value(connection: Connection, portfolio: NewPortfolio) -> None:
    """Refuse quantities that are worth nothing on the newest session with a price for each; without one, nothing.

    Raises
    ------
    InvalidInputError
        If their value is not above 0.
    """
    last = read_last_session(connection)
    if portfolio.rebalancing != "buy_and_hold" or last is None:
        return
    start, end = last - timedelta(days=NEWEST_PRICES_DAYS), last + timedelta(days=1)
    panel = read_price_panel(connection, [position.instrument_id for position in portfolio.positions], start, end)
    complete = np.flatnonzero(np.isfinite(panel.close).all(axis=1))
    if len(complete) == 0:
        return
    value = float(panel.close[complete[-1]] @ [position.amount for position in portfolio.positions])
    if value <= 0:
        raise InvalidInputError(
            f"positions: worth {value:.6g} at the closes of {panel.sessions[complete[-1]]}, which is not above 0",
            "Hold less short, or more long.",
        )
