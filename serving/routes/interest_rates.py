"""Risk-free interest rates."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field, StringConstraints

from pipeline.base.errors import NotFoundError
from pipeline.store.interest_rates import INTEREST_RATE, read_interest_rates
from pipeline.store.reading import LATEST
from pipeline.store.series import read_series
from serving.answers import Collection, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import KnownWindowed, Paged
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/interest-rates", tags=["market data"])

RATES = Order.of_series(INTEREST_RATE, "series")
SERIES = Order("interest_rate_series", (str,), lambda row: (row.series,))

SeriesPath = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z0-9]{1,32}$"),
    Path(description="Series of the provider.", examples=["DTB3"]),
]


@described_by(INTEREST_RATE)
class RateSeriesOut(Row):
    """A series of rates."""

    series: str
    first_session: date = Field(description="Day of its oldest rate.")
    last_session: date = Field(description="Day of its newest rate.")


@described_by(INTEREST_RATE)
class InterestRateOut(Row):
    """A rate of one day."""

    session: date
    annual_rate: float


@router.get("")
def list_interest_rate_series(query: Paged, database: Database) -> Collection[RateSeriesOut]:
    """Every series that has rates, by name."""
    with database.reading() as connection:
        found = [
            RateSeriesOut(series=each.name, first_session=each.first_session, last_session=each.last_session)
            for each in read_series(connection, INTEREST_RATE)
        ]
        kept, following = query.sliced(found, SERIES)
        return Collection[RateSeriesOut].of(kept, database.notice(connection), following)


@router.get("/{series}")
def list_interest_rates(series: SeriesPath, query: KnownWindowed, database: Database) -> Collection[InterestRateOut]:
    """The newest rates of a series inside a window, oldest first; with `known_at`, as they were known then."""
    with database.reading(as_known=query.known_at is not None) as connection:
        rates = read_interest_rates(connection, series, query.page(RATES), query.known)
        if not rates and not read_interest_rates(connection, series, LATEST):
            raise NotFoundError(
                f"There are no rates of the series {series}",
                "GET /api/v1/interest-rates lists the series that have; FINTECH_INTEREST_PROVIDER says who gives them.",
            )
        return Collection[InterestRateOut].page(rates, query.limit, RATES, database.notice(connection))
