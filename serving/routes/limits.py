"""Limits on portfolios: set here, judged by the pipeline, told as events."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import AllowInfNan, BaseModel, BeforeValidator, ConfigDict, Field, Strict

from pipeline.base.errors import InvalidInputError
from pipeline.risk.measures.limited import LIMITED_MEASURES
from pipeline.risk.measures.limits import Direction, Limit, check_limits
from pipeline.store.limits import (
    LIMIT_EVENT,
    PORTFOLIO_LIMIT,
    NewLimit,
    read_events,
    read_limits,
    replace_limits,
)
from pipeline.store.portfolios import read_portfolio
from serving.answers import Collection, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import Paged, PortfolioPath, Windowed, require_number
from serving.routing import ThreadedRoute

MOST_LIMITS = 64
Bound = Annotated[float, Strict(), AllowInfNan(False), BeforeValidator(require_number), Field(ge=-1e12, le=1e12)]

router = APIRouter(route_class=ThreadedRoute, prefix="/portfolios", tags=["limits"])
LIMITS = Order("limits", (str, str), lambda limit: (limit.measure, limit.direction))
EVENTS = Order(
    "limit_event", (date, datetime, str), lambda event: (event.session, event.recorded_at, event.key), is_reversed=True
)


class LimitIn(BaseModel):
    """A limit to set."""

    model_config = ConfigDict(extra="forbid")

    measure: str = Field(description=f"One of {', '.join(LIMITED_MEASURES)}.", examples=["var_99_1d"], max_length=64)
    direction: Direction = Field(
        description="Side that is not allowed: above for a loss or a weight, below for a drawdown, which is negative."
    )
    warn: Bound = Field(description="Value that is warned of; reaching it counts.", examples=[0.03])
    breach: Bound = Field(description="Value that breaches the limit; reaching it counts.", examples=[0.04])


class LimitsIn(BaseModel):
    """All limits of a portfolio: they take the place of those that were set before."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"limits": [{"measure": "var_99_1d", "direction": "above", "warn": 0.03, "breach": 0.04}]}]
        },
    )

    limits: list[LimitIn] = Field(max_length=MOST_LIMITS)

    def checked(self) -> list[NewLimit]:
        """The limits as the store takes them, by the rules that judge them.

        Raises
        ------
        InvalidInputError
            For a measure that is not known.
        MeasureInputError
            For a warning beyond its breach, or two limits on one side of a measure.
        """
        for given in self.limits:
            if given.measure not in LIMITED_MEASURES:
                raise InvalidInputError(
                    f"measure: {given.measure!r} is not known", f"Choose one of {', '.join(LIMITED_MEASURES)}."
                )
        limits = tuple(Limit(given.measure, given.warn, given.breach, given.direction) for given in self.limits)
        check_limits({}, limits)
        return [NewLimit(limit.measure, limit.direction, limit.warn, limit.breach) for limit in limits]


@described_by(PORTFOLIO_LIMIT)
class LimitOut(Row):
    """A limit."""

    measure: str
    direction: Direction
    warn: float
    breach: float
    created_at: datetime
    changed_at: datetime


@described_by(LIMIT_EVENT)
class LimitEventOut(Row):
    """Something that was told about a limit."""

    key: str
    kind: str
    measure: str
    direction: Direction
    session: date
    opened: date
    value: float | None
    warn: float | None
    breach: float | None
    recorded_at: datetime
    delivered_at: datetime | None
    attempts: int
    last_error: str | None


@router.get("/{reference}/limits")
def list_limits(reference: PortfolioPath, query: Paged, database: Database) -> Collection[LimitOut]:
    """The limits of a portfolio, by measure."""
    with database.reading() as connection:
        rows = read_limits(connection, read_portfolio(connection, reference).id)
        kept, following = query.sliced(sorted(rows, key=LIMITS.key), LIMITS)
        return Collection[LimitOut].of(kept, database.notice(connection), following)


@router.put("/{reference}/limits")
def put_limits(reference: PortfolioPath, limits: LimitsIn, database: Database) -> Collection[LimitOut]:
    """Set all limits of a portfolio; they are judged at its newest session within a minute, and after each load."""
    checked = limits.checked()
    with database.writing() as connection:
        portfolio = read_portfolio(connection, reference)
        replace_limits(connection, portfolio.id, checked)
        database.record(
            connection, "limits.set", f"portfolio:{portfolio.id}", {"limits": [asdict(limit) for limit in checked]}
        )
        rows = read_limits(connection, portfolio.id)
        return Collection[LimitOut](data=rows, notice=database.notice(connection))


@router.delete("/{reference}/limits", status_code=204)
def delete_limits(reference: PortfolioPath, database: Database) -> None:
    """Take away all limits of a portfolio; an episode that was open ends."""
    with database.writing() as connection:
        portfolio = read_portfolio(connection, reference)
        replace_limits(connection, portfolio.id, [])
        database.record(connection, "limits.set", f"portfolio:{portfolio.id}", {"limits": []})


@router.get("/{reference}/limit-events")
def list_limit_events(reference: PortfolioPath, query: Windowed, database: Database) -> Collection[LimitEventOut]:
    """The newest events inside a window, oldest first, with the state of their delivery."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        rows = read_events(connection, portfolio.id, query.page(EVENTS))
        return Collection[LimitEventOut].page(rows, query.limit, EVENTS, database.notice(connection))
