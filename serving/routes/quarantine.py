"""Rows that a data-quality rule refused, and a person's decision on them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from pipeline.store.quarantine import QUARANTINE, QUARANTINE_DECISION, Decision, ParsedRow, decide, read_quarantine
from serving.answers import Collection, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.errors import problem_responses
from serving.inputs import IsoDate, Label, PageQuery, SymbolPath
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/quarantine", tags=["market data"])

ROWS = Order("quarantine", (date, str, str, str), lambda row: (row.session, row.symbol, row.rule, row.provider))

State = Literal["held", "released", "rejected"]
SessionPath = Annotated[IsoDate, Path(description="Date of the row.", examples=["2022-11-07"])]


class QuarantineQuery(PageQuery):
    """Which rows to answer with."""

    state: State | None = Field(None, description="Only rows of this state.")


@described_by(QUARANTINE)
class QuarantinedOut(Row):
    """A refused row."""

    provider: str
    symbol: str
    session: date
    rule: str
    payload: ParsedRow
    state: str


@described_by(QUARANTINE_DECISION)
class DecisionOut(Row):
    """A decision on a refused row."""

    id: int
    provider: str
    symbol: str
    session: date
    rule: str
    decision: str
    decided_by: str
    note: str
    decided_at: datetime


class ReviewIn(BaseModel):
    """Who decides, and why; both are kept for good."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"decided_by": "an analyst", "note": "checked with the exchange"}]},
    )

    decided_by: Label = Field(examples=["an analyst"])
    note: Label = Field(examples=["checked with the exchange"])


@router.get("")
def list_quarantine(query: Annotated[QuarantineQuery, Query()], database: Database) -> Collection[QuarantinedOut]:
    """Refused rows, the newest session first."""
    with database.reading() as connection:
        rows = read_quarantine(connection, query.state, query.limit + 1, ROWS.decoded(query.cursor))
        return Collection[QuarantinedOut].page(rows, query.limit, ROWS, database.notice(connection))


@router.post("/{symbol}/{session}/release", responses=problem_responses(409))
def release(symbol: SymbolPath, session: SessionPath, why: ReviewIn, database: Database) -> Collection[DecisionOut]:
    """Accept what was refused of a symbol and session; the pipeline loads that month again."""
    return _decided(database, symbol, session, "released", why)


@router.post("/{symbol}/{session}/reject")
def reject(symbol: SymbolPath, session: SessionPath, why: ReviewIn, database: Database) -> Collection[DecisionOut]:
    """Keep out what was refused of a symbol and session."""
    return _decided(database, symbol, session, "rejected", why)


def _decided(
    database: Database, symbol: str, session: date, decision: Decision, why: ReviewIn
) -> Collection[DecisionOut]:
    with database.writing() as connection:
        made = decide(connection, symbol, session, decision, why.decided_by, why.note)
        detail = {"decided_by": why.decided_by, "note": why.note, "rules": [row.rule for row in made]}
        database.record(connection, f"quarantine.{decision}", f"{symbol}:{session}", detail)
        return Collection[DecisionOut](data=made, notice=database.notice(connection))
