"""Which assets are stale, and which are regular."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest

from pipeline.store.data_health import REGULAR_ASSETS, regular_assets, stale_assets

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
DUE = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
"""15:00 in New York on the day before."""


def test_stale_is_what_was_written_before_it_was_due() -> None:
    moment = timedelta(microseconds=1)
    written = {
        "prices": DUE - moment,
        "fx_rates": DUE,
        "covariance": DUE - timedelta(days=9),
        "portfolios": DUE - moment,
    }
    assert stale_assets(written, frozenset({"prices", "fx_rates", "covariance", "instruments"}), NOW) == [
        "covariance",
        "prices",
    ]


def test_interest_rates_are_regular_where_a_provider_is_set() -> None:
    assert regular_assets(has_interest_rates=True) == REGULAR_ASSETS
    assert regular_assets(has_interest_rates=False) == REGULAR_ASSETS - {"interest_rates"}


def test_every_asset_that_dagster_holds_to_be_fresh_is_regular(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINTECH_INTEREST_PROVIDER", "fred")
    fresh = set()
    for location in ("market_data", "risk", "simulation", "forecast"):
        definitions = import_module(f"pipeline.{location}.definitions").build_definitions()
        specs = definitions.resolve_all_asset_specs()
        fresh |= {spec.key.to_user_string() for spec in specs if spec.freshness_policy is not None}
    assert fresh == REGULAR_ASSETS
