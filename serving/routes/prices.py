"""Daily prices of an instrument."""

from __future__ import annotations

from datetime import date

from fastapi import APIRouter
from pydantic import Field

from pipeline.store.instruments import read_instrument
from pipeline.store.outdating import PRICE_SERIES
from pipeline.store.prices import PRICE, read_bars
from pipeline.store.served_series import read_series_of_instrument
from serving.answers import Collection, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import InstrumentPath, KnownWindowed
from serving.routing import ThreadedRoute
from serving.stored_series import passed_through

router = APIRouter(route_class=ThreadedRoute, prefix="/instruments", tags=["market data"])

BARS = Order.of_series(PRICE, "instrument_id")


@described_by(PRICE)
class BarOut(Row):
    """A daily bar; null where the provider has no such number."""

    session: date
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    close_adjusted: float | None = Field(
        description="Close, adjusted for later splits and dividends [currency of the instrument]"
    )


@router.get("/{symbol}/prices")
@passed_through(Collection[BarOut], PRICE_SERIES, "symbol", read_series_of_instrument)
def list_prices(symbol: InstrumentPath, query: KnownWindowed, database: Database) -> Collection[BarOut]:
    """The newest bars inside a window, oldest first; with `known_at`, as they were known then."""
    with database.reading(as_known=query.known_at is not None) as connection:
        instrument = read_instrument(connection, symbol)
        bars = read_bars(connection, instrument.id, query.page(BARS), query.known)
        return Collection[BarOut].page(bars, query.limit, BARS, database.notice(connection))
