"""Instruments: what can be priced."""

from __future__ import annotations

from fastapi import APIRouter

from pipeline.store.instruments import INSTRUMENT, read_instrument, read_instruments
from serving.answers import Collection, Resource, Row, described_by
from serving.deps import Database
from serving.inputs import SymbolPath

router = APIRouter(prefix="/instruments", tags=["market data"])


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


class InstrumentAnswer(InstrumentOut, Resource):
    """One instrument."""


@router.get("")
def list_instruments(database: Database) -> Collection[InstrumentOut]:
    """Every instrument, ordered by symbol."""
    with database.reading() as connection:
        return Collection[InstrumentOut](data=read_instruments(connection), notice=database.notice(connection))


@router.get("/{symbol}")
def get_instrument(symbol: SymbolPath, database: Database) -> InstrumentAnswer:
    """One instrument."""
    with database.reading() as connection:
        return InstrumentAnswer.of(read_instrument(connection, symbol), database.notice(connection))
