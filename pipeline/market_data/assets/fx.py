"""Asset ``fx_rates``: reference rates against the euro."""

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
from pipeline.store.fx_rates import FX_RATE
from pipeline.store.providers import record_provider
from pipeline.store.raw_payloads import keep_payloads
from pipeline.store.writing import Write, concatenated


def fx_figures(rows: Columns) -> dict[str, float]:
    """Figures of a month of rates."""
    rates = rows["units_per_euro"]
    dollar, pound = rates[rows["currency"] == b"USD"], rates[rows["currency"] == b"GBP"]
    return {
        "currencies_count": float(len(np.unique(rows["currency"]))),
        "days_count": float(len(np.unique(rows["session"]))),
        "mean_usd_per_eur": float(dollar.mean()) if len(dollar) else np.nan,
        "mean_gbp_per_eur": float(pound.mean()) if len(pound) else np.nan,
    }


@TableAsset(
    table=FX_RATE,
    location="market_data",
    inputs={},
    figures=fx_figures,
    headline="units_per_euro",
    headline_subject={"currency": "USD"},
    kinds=frozenset({"postgres", "pandas"}),
    scheduled=True,
    pool="fx_vendor",
)
def fx_rates(write: Write, months: MonthRange, fx_provider: ProviderResource, database: DatabaseResource) -> Produced:
    """Daily ECB reference rates of every currency against the euro.

    What is stored of a currency that the provider does not answer for stays.
    """
    provider = fx_provider.provider
    request = FetchRequest("fx_rates", (), months.first, months.end - timedelta(days=1))
    with keeping_refused(database.database, provider.name, write.asset):
        answer = provider.fetch(request)
    rates = answer.fx_rates
    assert rates is not None
    if "bars" not in provider.offers:  # the notice of a provider of bars is about these, and told with them
        record_provider(write.connection, provider.name, provider.notice)
    keep_payloads(write, provider.name, stored(answer.payloads))
    answered = {"currency": rates.currencies, "session": rates.sessions, "units_per_euro": rates.units_per_euro}
    carried = read_rows_of(write.connection, FX_RATE, answer.missing, months)
    return Produced(
        rows=concatenated(FX_RATE, [answered, carried]),
        metadata={"last_session": str(rates.sessions.max()) if len(rates.sessions) else "none"},
        empty_because="the provider has no rates in this month",
    )
