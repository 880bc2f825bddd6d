"""Risk-free interest rates."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import StringConstraints

from pipeline.base.errors import NotFoundError
from pipeline.store.interest_rates import INTEREST_RATE, read_interest_rates
from pipeline.store.reading import LATEST
from serving.answers import Collection, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import KnownWindowed
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/interest-rates", tags=["market data"])

RATES = Order.of_series(INTEREST_RATE, "series")

SeriesPath = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z0-9]{1,32}$"),
    Path(description="Series of the provider.", examples=["DTB3"]),
]


@described_by(INTEREST_RATE)
class InterestRateOut(Row):
    """A rate of one day."""

    session: date
    annual_rate: float


@router.get("/{series}")
def list_interest_rates(series: SeriesPath, query: KnownWindowed, database: Database) -> Collection[InterestRateOut]:
    """The newest rates of a series inside a window, oldest first; with `known_at`, as they were known then."""
    with database.reading(as_known=query.known_at is not None) as connection:
        rates = read_interest_rates(connection, series, query.page(RATES), query.known)
        if not rates and not read_interest_rates(connection, series, LATEST):
            raise NotFoundError(
                f"There are no rates of the series {series}", "Choose a provider of them: FINTECH_INTEREST_PROVIDER."
            )
        return Collection[InterestRateOut].page(rates, query.limit, RATES, database.notice(connection))
