"""Asset ``fx_rates``: reference rates against the euro."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import MonthRange
from pipeline.market_data.assets.rates import provided_rates
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.providers import FetchResult
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.resources import DatabaseResource
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.store.fx_rates import FX_RATE
from pipeline.store.writing import Write


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
    return provided_rates(write, months, fx_provider, database, "fx_rates", FX_RATE, fx_columns)


def fx_columns(answer: FetchResult) -> Columns:
    """The provider's rates as columns of the table."""
    rates = answer.fx_rates
    assert rates is not None
    return {"currency": rates.currencies, "session": rates.sessions, "units_per_euro": rates.units_per_euro}
