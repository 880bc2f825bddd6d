"""Portfolios: made here, computed by the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from fastapi import APIRouter, Response
from psycopg import Connection
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException

from pipeline.base.errors import InvalidInputError
from pipeline.base.types import Policy, Rebalancing
from pipeline.risk.measures.holdings import Holdings
from pipeline.store.access import OVERSEEING
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
from serving.answers.cursors import Order
from serving.caching.conditional import entity_tag
from serving.callers import Caller
from serving.deps import Database
from serving.errors import problem_responses
from serving.inputs import Currency, Label, Paged, PortfolioPath, Slug, Symbol
from serving.positions import (
    BAND_MEANING,
    MAXIMUM_POSITIONS,
    DriftBand,
    PositionIn,
    amounts_of,
    known_instruments,
    require_band,
    require_consistency,
    require_rates,
    units_of,
)
from serving.routing import ThreadedRoute

NEWEST_PRICES_DAYS = 92
"""How far back the newest session with a price for every position is looked for."""

router = APIRouter(route_class=ThreadedRoute, prefix="/portfolios", tags=["portfolios"])
PORTFOLIOS = Order("portfolios", (int,), lambda portfolio: (portfolio.id,))


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
        description="When target weights are restored: daily, monthly, quarterly, or by a drift_band at a close that"
        " is outside of it; without a default. Quantities are held (buy_and_hold).",
    )
    drift_band: DriftBand | None = Field(None, description=BAND_MEANING)
    positions: list[PositionIn] | None = Field(
        None,
        min_length=1,
        max_length=MAXIMUM_POSITIONS,
        description="Left out, the portfolio keeps a book: its positions follow from its transactions.",
    )
    benchmark: Symbol | None = Field(
        None, description="Symbol of the instrument that it is measured against; null for the market index."
    )
    shared: bool = Field(
        False, description="Whether it belongs to everybody instead of who makes it; for operators and admins."
    )

    @model_validator(mode="after")
    def _require_consistency(self) -> PortfolioIn:
        if self.positions is not None:
            require_consistency(self.positions, self.rebalancing, self.drift_band)
        elif self.rebalancing not in (None, "buy_and_hold"):
            raise PydanticCustomError(
                "rebalancing",
                "rebalancing: without positions it keeps a book, which is held; leave it out, or give target weights",
            )
        else:
            require_band(self.rebalancing, self.drift_band)
        return self

    @property
    def policy(self) -> Policy:
        """The policy, which for quantities may be left out."""
        return Policy(self.rebalancing or "buy_and_hold", self.drift_band)


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
    drift_band: float | None = None
    created_at: datetime
    benchmark: str | None = Field(None, description="Symbol of what it is measured against; null for the market index.")
    keeps_book: bool = False
    positions: list[PositionOut]


class PortfolioAnswer(PortfolioOut, Resource):
    """One portfolio."""


@router.get("")
def list_portfolios(query: Paged, database: Database) -> Collection[PortfolioOut]:
    """Every portfolio with its positions, ordered by id."""
    with database.reading() as connection:
        kept, following = query.sliced(read_portfolios(connection), PORTFOLIOS)
        return Collection[PortfolioOut].of(kept, database.notice(connection), following)


@router.get("/{reference}")
def get_portfolio(reference: PortfolioPath, database: Database, response: Response) -> PortfolioAnswer:
    """One portfolio. Its ETag, sent as If-Match with a change, has the change refused if another came before."""
    with database.reading() as connection:
        answer = PortfolioAnswer.of(read_portfolio(connection, reference), database.notice(connection))
    response.headers["ETag"] = tag_of(answer)
    return answer


def tag_of(answer: PortfolioAnswer) -> str:
    """The validator of a portfolio: another one as soon as anything that is told of it changes."""
    return entity_tag(answer.model_dump_json().encode()).decode()


@router.post("", status_code=201, responses=problem_responses(409))
def post_portfolio(portfolio: PortfolioIn, database: Database, response: Response) -> PortfolioAnswer:
    """Store a portfolio; the pipeline computes its daily results with its next run."""
    if portfolio.positions is not None:
        require_holdable(portfolio.positions, portfolio.policy)
    owner_id = _owner_of(portfolio, database.caller)
    with database.writing() as connection:
        resolved = _resolved(connection, portfolio, owner_id)
        portfolio_id = create_portfolio(connection, resolved)
        stored = read_portfolio(connection, str(portfolio_id))
        detail = {"name": stored.name, "slug": stored.slug, "positions": len(stored.positions), "owner": owner_id}
        database.record(connection, "portfolio.create", f"portfolio:{portfolio_id}", detail)
        answer = PortfolioAnswer.of(stored, database.notice(connection))
    response.headers["Location"] = f"/api/v1/portfolios/{portfolio_id}"
    response.headers["ETag"] = tag_of(answer)
    return answer


def _owner_of(portfolio: PortfolioIn, caller: Caller | None) -> int | None:
    """Number of the user whom a new portfolio belongs to; None for everybody.

    Raises
    ------
    HTTPException
        403 if the caller may not make one for everybody.
    """
    if caller is None or (portfolio.shared and caller.role not in OVERSEEING):
        raise HTTPException(403, "shared: only operators and admins make portfolios of everybody.")
    return None if portfolio.shared else caller.user_id


def _resolved(connection: Connection, portfolio: PortfolioIn, owner_id: int | None) -> NewPortfolio:
    """The portfolio as the store takes it; errors as in `resolved_positions` and `benchmark_id_of`."""
    currency, given = portfolio.base_currency, portfolio.positions
    positions = () if given is None else resolved_positions(connection, given, portfolio.policy, currency)
    benchmark_id = None if portfolio.benchmark is None else benchmark_id_of(connection, portfolio.benchmark, currency)
    return NewPortfolio(
        portfolio.name,
        portfolio.policy.rebalancing,
        positions,
        currency,
        portfolio.slug,
        owner_id,
        benchmark_id,
        keeps_book=given is None,
        drift_band=portfolio.policy.drift_band,
    )


def benchmark_id_of(connection: Connection, symbol: str, base_currency: str) -> int:
    """Number of the instrument that a portfolio is to be measured against.

    Raises
    ------
    InvalidInputError
        If it is unknown, or priced in a currency that cannot be converted.
    """
    try:
        instrument = known_instruments(connection, [symbol])[symbol]
        require_rates(connection, [instrument], base_currency)
    except InvalidInputError as error:
        raise InvalidInputError(f"benchmark: {error.cause.removeprefix('positions: ')}", error.remedy) from error
    return instrument.id


def require_holdable(positions: Sequence[PositionIn], policy: Policy) -> None:
    """Refuse amounts that nothing can be computed from, by the rule that computes.

    Raises
    ------
    MeasureInputError
        If target weights do not sum to 1.
    """
    # In the order in which the store reads them: a sum at the edge of the tolerance depends on it.
    ordered = sorted(positions, key=lambda position: position.symbol)
    Holdings(amounts_of(ordered), *policy)


def resolved_positions(
    connection: Connection, given: Sequence[PositionIn], policy: Policy, base_currency: str
) -> tuple[Position, ...]:
    """Positions as the store takes them.

    Raises
    ------
    InvalidInputError
        If a symbol is unknown, or priced in a currency that cannot be converted, or quantities are worth nothing.
    """
    known = known_instruments(connection, [position.symbol for position in given])
    require_rates(connection, list(known.values()), base_currency)
    if policy.rebalancing == "buy_and_hold":
        _require_value(connection, [known[position.symbol].id for position in given], base_currency, given)
    return tuple(
        Position(known[p.symbol].id, p.symbol, quantity=p.quantity, target_weight=p.target_weight) for p in given
    )


def _require_value(connection: Connection, ids: Sequence[int], currency: str, given: Sequence[PositionIn]) -> None:
    """Refuse quantities that are worth nothing on the newest session with a price for each; without one, nothing.

    They are taken as of the newest session, whose splits and dividends their owner knows.

    Raises
    ------
    InvalidInputError
        If their value is not above 0.
    """
    last = read_last_session(connection)
    if last is None:
        return
    start, end = last - timedelta(days=NEWEST_PRICES_DAYS), last + timedelta(days=1)
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
