"""``interest_rates`` where no provider of them is chosen: nothing makes it, and what reads it knows its months."""

from __future__ import annotations

import dagster as dg

from pipeline.orchestration.partitions import MONTHLY
from pipeline.orchestration.table_assets import asset_attributes
from pipeline.store.interest_rates import INTEREST_RATE, INTEREST_RATES

_ATTRIBUTES = asset_attributes(INTEREST_RATES, INTEREST_RATE, "market_data", frozenset({"postgres"}), {})

interest_rates = dg.AssetSpec(
    INTEREST_RATES,
    description="Risk-free interest rates: FINTECH_INTEREST_PROVIDER chooses no provider of them.",
    partitions_def=MONTHLY,
    **{name: value for name, value in _ATTRIBUTES.items() if name not in ("name", "freshness_policy")},
)
