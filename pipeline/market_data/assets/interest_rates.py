"""Asset ``interest_rates``: risk-free rates."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import MonthRange
from pipeline.market_data.assets.rates import provided_rates
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.providers import FetchResult
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.resources import DatabaseResource
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.store.interest_rates import INTEREST_RATE
from pipeline.store.writing import Write


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
    return provided_rates(write, months, interest_provider, database, "interest_rates", INTEREST_RATE, interest_columns)


def interest_columns(answer: FetchResult) -> Columns:
    """The provider's rates as columns of the table."""
    rates = answer.interest_rates
    assert rates is not None
    return {"series": rates.series, "session": rates.sessions, "annual_rate": rates.annual_rate}
