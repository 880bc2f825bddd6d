"""Foreign exchange reference rates."""

from __future__ import annotations

from datetime import date

from fastapi import APIRouter

from pipeline.base.errors import NotFoundError
from pipeline.store.fx_rates import FX_RATE, read_fx_rates
from pipeline.store.reading import LATEST
from serving.answers import Collection, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import CurrencyPath, KnownWindowed
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/fx-rates", tags=["market data"])

RATES = Order.of_series(FX_RATE, "currency")


@described_by(FX_RATE)
class FxRateOut(Row):
    """A reference rate against the euro."""

    session: date
    units_per_euro: float | None


@router.get("/{currency}")
def list_fx_rates(currency: CurrencyPath, query: KnownWindowed, database: Database) -> Collection[FxRateOut]:
    """The newest rates of a currency inside a window, oldest first; with `known_at`, as they were known then."""
    with database.reading(as_known=query.known_at is not None) as connection:
        rates = read_fx_rates(connection, currency, query.page(RATES), query.known)
        if not rates and not read_fx_rates(connection, currency, LATEST):
            raise NotFoundError(
                f"There are no rates of {currency} against the euro", "Give another ISO 4217 currency, such as USD."
            )
        return Collection[FxRateOut].page(rates, query.limit, RATES, database.notice(connection))
