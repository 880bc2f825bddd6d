"""Instruments: what can be priced."""

from __future__ import annotations

from datetime import date

from fastapi import APIRouter
from pydantic import Field

from pipeline.store.instruments import INSTRUMENT, read_instrument, read_instruments
from serving.answers import Collection, Resource, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import InstrumentPath, Paged
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/instruments", tags=["market data"])
INSTRUMENTS = Order("instruments", (str, date), lambda one: (one.symbol, one.delisted_on or date.max))


@described_by(INSTRUMENT)
class InstrumentOut(Row):
    """An instrument."""

    symbol: str
    name: str
    kind: str
    sector: str
    currency: str
    exchange: str
    provider: str
    listed_from: date | None = Field(
        description="First day of its first symbol; null if it has had that one from the start."
    )
    delisted_on: date | None = Field(description="Last day of its last symbol; null while it has one.")


class InstrumentAnswer(InstrumentOut, Resource):
    """One instrument."""


@router.get("")
def list_instruments(query: Paged, database: Database) -> Collection[InstrumentOut]:
    """Every instrument, ordered by symbol; those that are no longer listed too."""
    with database.reading_once() as connection:
        found = sorted(read_instruments(connection), key=INSTRUMENTS.key)  # by code point, as cursors compare
        kept, following = query.sliced(found, INSTRUMENTS)
        return Collection[InstrumentOut].of(kept, database.notice(connection), following)


@router.get("/{symbol}")
def get_instrument(symbol: InstrumentPath, database: Database) -> InstrumentAnswer:
    """One instrument."""
    with database.reading_once() as connection:
        return InstrumentAnswer.of(read_instrument(connection, symbol), database.notice(connection))
