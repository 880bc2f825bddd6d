"""Asset ``interest_rates``: risk-free rates."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from pipeline.base.types import MonthRange
from pipeline.market_data.assets.refusals import keeping_refused, stored
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.providers import FetchRequest
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.resources import DatabaseResource
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.store.carrying import read_rows_of
from pipeline.store.interest_rates import INTEREST_RATE
from pipeline.store.providers import record_provider
from pipeline.store.raw_payloads import keep_payloads
from pipeline.store.writing import Write, concatenated


def interest_figures(rows: Columns) -> dict[str, float]:
    """Figures of a month of rates."""
    rate = rows["annual_rate"]
    return {
        "series_count": float(len(np.unique(rows["series"]))),
        "days_count": float(len(np.unique(rows["session"]))),
        "mean_rate_annual": float(rate.mean()),
        "highest_rate_annual": float(rate.max()),
    }


@TableAsset(
    table=INTEREST_RATE,
    location="market_data",
    inputs={},
    figures=interest_figures,
    headline="annual_rate",
    kinds=frozenset({"postgres", "numpy"}),
    scheduled=True,
    pool="interest_vendor",
)
def interest_rates(
    write: Write, months: MonthRange, interest_provider: ProviderResource, database: DatabaseResource
) -> Produced:
    """Daily risk-free interest rates of every series that the chosen provider has.

    What is stored of a series that the provider does not answer for stays.
    """
    provider = interest_provider.provider
    request = FetchRequest("interest_rates", (), months.first, months.end - timedelta(days=1))
    with keeping_refused(database.database, provider.name, write.asset):
        answer = provider.fetch(request)
    rates = answer.interest_rates
    assert rates is not None
    record_provider(write.connection, provider.name, provider.notice)
    keep_payloads(write, provider.name, stored(answer.payloads))
    answered = {"series": rates.series, "session": rates.sessions, "annual_rate": rates.annual_rate}
    carried = read_rows_of(write.connection, INTEREST_RATE, answer.missing, months)
    return Produced(
        rows=concatenated(INTEREST_RATE, [answered, carried]),
        metadata={"last_session": str(rates.sessions.max()) if len(rates.sessions) else "none"},
        empty_because="the provider has no rates in this month",
    )
