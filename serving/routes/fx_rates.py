"""Foreign exchange reference rates."""

from __future__ import annotations

from datetime import date

from fastapi import APIRouter
from pydantic import Field

from pipeline.base.errors import NotFoundError
from pipeline.store.fx_rates import FX_RATE, read_fx_rates
from pipeline.store.reading import LATEST
from pipeline.store.series import read_series
from serving.answers import Collection, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import CurrencyPath, KnownWindowed, Paged
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/fx-rates", tags=["market data"])

RATES = Order.of_series(FX_RATE, "currency")
CURRENCIES = Order("fx_currencies", (str,), lambda row: (row.currency,))


@described_by(FX_RATE)
class FxCurrencyOut(Row):
    """A currency with reference rates against the euro."""

    currency: str
    first_session: date = Field(description="Session of its oldest rate.")
    last_session: date = Field(description="Session of its newest rate.")


@described_by(FX_RATE)
class FxRateOut(Row):
    """A reference rate against the euro."""

    session: date
    units_per_euro: float | None


@router.get("")
def list_fx_currencies(query: Paged, database: Database) -> Collection[FxCurrencyOut]:
    """Every currency that has rates against the euro, by code."""
    with database.reading() as connection:
        found = [
            FxCurrencyOut(currency=each.name, first_session=each.first_session, last_session=each.last_session)
            for each in read_series(connection, FX_RATE)
        ]
        kept, following = query.sliced(found, CURRENCIES)
        return Collection[FxCurrencyOut].of(kept, database.notice(connection), following)


@router.get("/{currency}")
def list_fx_rates(currency: CurrencyPath, query: KnownWindowed, database: Database) -> Collection[FxRateOut]:
    """The newest rates of a currency inside a window, oldest first; with `known_at`, as they were known then."""
    with database.reading(as_known=query.known_at is not None) as connection:
        rates = read_fx_rates(connection, currency, query.page(RATES), query.known)
        if not rates and not read_fx_rates(connection, currency, LATEST):
            raise NotFoundError(
                f"There are no rates of {currency} against the euro",
                "GET /api/v1/fx-rates lists the currencies that have.",
            )
        return Collection[FxRateOut].page(rates, query.limit, RATES, database.notice(connection))
