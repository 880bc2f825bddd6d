"""Stored risk measures of an instrument."""

from __future__ import annotations

from fastapi import APIRouter

from pipeline.store.instrument_risk import INSTRUMENT_RISK, read_instrument_risk
from pipeline.store.instruments import read_instrument
from pipeline.store.outdating import RISK_SERIES
from pipeline.store.served_series import read_series_of_instrument
from serving.answers import Collection
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import InstrumentPath, Windowed
from serving.measures import RiskOut
from serving.routing import ThreadedRoute
from serving.stored_series import passed_through

router = APIRouter(route_class=ThreadedRoute, prefix="/instruments", tags=["risk"])
ROWS = Order.of_series(INSTRUMENT_RISK, "instrument_id")


@router.get("/{symbol}/risk")
@passed_through(Collection[RiskOut], RISK_SERIES, "symbol", read_series_of_instrument)
def list_instrument_risk(symbol: InstrumentPath, query: Windowed, database: Database) -> Collection[RiskOut]:
    """The newest rolling 252-session measures inside a window, oldest first."""
    with database.reading() as connection:
        instrument = read_instrument(connection, symbol)
        rows = read_instrument_risk(connection, instrument.id, query.page(ROWS))
        return Collection[RiskOut].page(rows, query.limit, ROWS, database.notice(connection))
