"""Daily prices of an instrument."""

from __future__ import annotations

from datetime import date

from fastapi import APIRouter

from pipeline.store.instruments import read_instrument
from pipeline.store.prices import PRICE, read_bars
from serving.answers import Collection, Row, described_by
from serving.deps import Database
from serving.inputs import SymbolPath, Windowed

router = APIRouter(prefix="/instruments", tags=["market data"])


@described_by(PRICE)
class BarOut(Row):
    """A daily price."""

    session: date
    close_adjusted: float | None


@router.get("/{symbol}/prices")
def list_prices(symbol: SymbolPath, query: Windowed, database: Database) -> Collection[BarOut]:
    """The newest prices inside a window, oldest first."""
    with database.reading() as connection:
        instrument = read_instrument(connection, symbol)
        bars = read_bars(connection, instrument.id, query.window)
        return Collection[BarOut](data=bars, notice=database.notice(connection))
