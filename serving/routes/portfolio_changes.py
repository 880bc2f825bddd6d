"""Changing and deleting portfolios: changes of one take turns, and If-Match has one refused that comes too late."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from psycopg import Connection
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException

from pipeline.base.errors import ConflictError, InvalidInputError
from pipeline.base.types import Policy, Rebalancing
from pipeline.store.portfolio_changes import (
    Changed,
    change_portfolio,
    delete_portfolio,
    lock_portfolio,
    replace_positions,
)
from pipeline.store.portfolios import Portfolio, read_portfolio
from serving.caching.conditional import is_current
from serving.deps import Connections, Database
from serving.errors import problem_responses
from serving.inputs import Label, PortfolioPath, Slug, Symbol
from serving.positions import (
    BAND_MEANING,
    MAXIMUM_POSITIONS,
    DriftBand,
    PositionIn,
    policy_after,
    require_band,
    require_replaceable,
    with_band,
)
from serving.routes.portfolios import (
    PortfolioAnswer,
    benchmark_id_of,
    require_holdable,
    resolved_positions,
    tag_of,
)
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/portfolios", tags=["portfolios"])

IfMatch = Annotated[
    str | None,
    Header(
        max_length=1_000,
        description="ETag of the portfolio as the caller knows it: refused with 412 if it has changed since.",
    ),
]


class PortfolioPatch(BaseModel):
    """What to change of a portfolio; what is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "Core holdings", "benchmark": "SP500"}]}
    )

    name: Label | None = Field(None, description="Its new name.")
    slug: Slug | None = Field(None, description="Its new short name; null takes it away.")
    benchmark: Symbol | None = Field(None, description="What it is measured against; null for the market index.")
    rebalancing: Rebalancing | None = Field(None, description="When target weights are restored.")
    drift_band: DriftBand | None = Field(None, description=BAND_MEANING)

    @model_validator(mode="after")
    def _require_change(self) -> PortfolioPatch:
        if not self.model_fields_set:
            raise PydanticCustomError(
                "no_change", "Give at least one of name, slug, benchmark, rebalancing and drift_band"
            )
        for field in ("name", "rebalancing", "drift_band"):
            if field in self.model_fields_set and getattr(self, field) is None:
                message = f"{field}: null is none; give one, or leave it out to keep it"
                raise PydanticCustomError("no_value", "{message}", {"message": message})
        if self.rebalancing is not None:
            require_band(self.rebalancing, self.drift_band)
        return self

    def policy_of(self, portfolio: Portfolio) -> Policy:
        """The policy after the change.

        Raises
        ------
        InvalidInputError
            If it does not go with the positions, or the portfolio's has no drift band.
        """
        before = portfolio.policy
        if self.rebalancing is None:
            return before if self.drift_band is None else with_band(before, self.drift_band)
        if "buy_and_hold" in (self.rebalancing, before.rebalancing) and self.rebalancing != before.rebalancing:
            raise InvalidInputError(
                f"rebalancing: {self.rebalancing} does not go with these positions, which are"
                f" {'held' if before.rebalancing == 'buy_and_hold' else 'target weights'}",
                f"PUT /api/v1/portfolios/{portfolio.id}/positions replaces them, and takes a rebalancing.",
            )
        return Policy(self.rebalancing, self.drift_band)


class PositionsIn(BaseModel):
    """Positions that take the place of all that a portfolio had."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"positions": [{"symbol": "AAPL", "quantity": 120}]}]}
    )

    positions: list[PositionIn] = Field(
        min_length=1, max_length=MAXIMUM_POSITIONS, description="Quantities count in the units of today."
    )
    rebalancing: Rebalancing | None = Field(
        None, description="Of target weights; null keeps that of the portfolio. Quantities are held (buy_and_hold)."
    )
    drift_band: DriftBand | None = Field(
        None, description="Of drift_band: fraction of value by which a weight may leave its target."
    )

    @model_validator(mode="after")
    def _require_consistency(self) -> PositionsIn:
        require_replaceable(self.positions, self.rebalancing, self.drift_band)
        return self


@router.patch("/{reference}", responses=problem_responses(409, 412))
def patch_portfolio(
    reference: PortfolioPath,
    patch: PortfolioPatch,
    database: Database,
    response: Response,
    if_match: IfMatch = None,
) -> PortfolioAnswer:
    """Rename a portfolio, or change its benchmark or rebalancing; the next run computes what that changes."""
    with database.writing() as connection:
        portfolio = locked(connection, database, reference, if_match)
        change_portfolio(connection, portfolio.id, _values(connection, portfolio, patch))
        detail = patch.model_dump(include=patch.model_fields_set)
        return _changed(connection, database, portfolio.id, "portfolio.change", detail, response)


@router.put("/{reference}/positions", responses=problem_responses(409, 412))
def put_positions(
    reference: PortfolioPath,
    given: PositionsIn,
    database: Database,
    response: Response,
    if_match: IfMatch = None,
) -> PortfolioAnswer:
    """Replace all positions of a portfolio; a portfolio that keeps a book takes transactions instead."""
    with database.writing() as connection:
        portfolio = locked(connection, database, reference, if_match)
        if portfolio.keeps_book:
            raise ConflictError(
                "positions: they follow from the transactions of this portfolio",
                f"POST /api/v1/portfolios/{portfolio.id}/transactions records what was traded.",
            )
        policy = policy_after(given.positions, given.rebalancing, given.drift_band, portfolio.policy)
        require_holdable(given.positions, policy)
        positions = resolved_positions(connection, given.positions, policy, portfolio.base_currency)
        replace_positions(connection, portfolio.id, positions, policy)
        detail = {"positions": [p.model_dump(exclude_none=True) for p in given.positions], **policy._asdict()}
        return _changed(connection, database, portfolio.id, "portfolio.positions", detail, response)


@router.delete("/{reference}", status_code=204, responses=problem_responses(412))
def remove_portfolio(reference: PortfolioPath, database: Database, if_match: IfMatch = None) -> None:
    """Delete a portfolio for good, with its transactions and limits; its results are not answered any more."""
    with database.writing() as connection:
        portfolio = locked(connection, database, reference, if_match)
        delete_portfolio(connection, portfolio.id)
        detail = {"name": portfolio.name, "slug": portfolio.slug, "positions": len(portfolio.positions)}
        database.record(connection, "portfolio.delete", f"portfolio:{portfolio.id}", detail)


def locked(connection: Connection, database: Connections, reference: str, if_match: str | None) -> Portfolio:
    """A portfolio that nobody else changes before the end of the transaction.

    Raises
    ------
    NotFoundError
        If the caller sees none.
    HTTPException
        403 if the caller may only read it, 412 if it is not the one that the caller knows.
    """
    number = read_portfolio(connection, reference).id
    may_change = lock_portfolio(connection, number)
    portfolio = read_portfolio(connection, str(number))  # as the change before this one left it
    if not may_change:
        raise HTTPException(403, "reference: the portfolio is everybody's, and only operators and admins change it.")
    if if_match is not None:
        tag = tag_of(PortfolioAnswer.of(portfolio, database.notice(connection)))
        if not is_current(if_match.encode("latin-1", "replace"), tag.encode()):
            raise HTTPException(
                412,
                f"If-Match: the portfolio has changed since; GET /api/v1/portfolios/{number} has it as it is, and its"
                " ETag.",
            )
    return portfolio


def _values(connection: Connection, portfolio: Portfolio, patch: PortfolioPatch) -> dict[Changed, Any]:
    """The columns to set.

    Raises
    ------
    InvalidInputError
        If the policy does not go with the positions, or the benchmark cannot be used.
    """
    values: dict[Changed, Any] = {}
    given = patch.model_fields_set
    if "name" in given:
        values["name"] = patch.name
    if "slug" in given:
        values["slug"] = patch.slug
    policy = patch.policy_of(portfolio)
    if policy != portfolio.policy:
        values |= {"rebalancing": policy.rebalancing, "drift_band": policy.drift_band}
    if "benchmark" in given:
        symbol = patch.benchmark
        chosen = None if symbol is None else benchmark_id_of(connection, symbol, portfolio.base_currency)
        if chosen != portfolio.benchmark_id:
            values["benchmark_id"] = chosen
    return values


def _changed(
    connection: Connection,
    database: Connections,
    portfolio_id: int,
    action: str,
    detail: dict[str, Any],
    response: Response,
) -> PortfolioAnswer:
    """Note a change in the audit log, and answer with the portfolio as it is now."""
    database.record(connection, action, f"portfolio:{portfolio_id}", detail)
    answer = PortfolioAnswer.of(read_portfolio(connection, str(portfolio_id)), database.notice(connection))
    response.headers["ETag"] = tag_of(answer)
    return answer
