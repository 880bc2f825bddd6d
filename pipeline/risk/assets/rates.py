"""The risk-free rates that risk assets measure by."""

from __future__ import annotations

from psycopg import Connection

from pipeline.base.types import MonthRange
from pipeline.risk.measures.risk_free import SERIES_OF, RateSeries, rates_by_currency
from pipeline.store.interest_rates import read_rate_quotes


def read_rates(connection: Connection, months: MonthRange, months_back: int) -> dict[str, RateSeries]:
    """Currency → its risk-free rates, for returns of `months` and of the months before that an asset looks back to.

    A month more is read: on the first session the rate may be one of the fortnight before.
    """
    quotes = read_rate_quotes(connection, list(SERIES_OF.values()), months.back(months_back + 1), months.end)
    return rates_by_currency(quotes)
