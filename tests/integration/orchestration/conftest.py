"""Dagster on real Postgres storage, and the four locations with a test's database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from typing import Any

import dagster as dg
import pytest

from pipeline.base.types import MonthRange
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.orchestration.partitions import range_tags
from pipeline.orchestration.resources import DatabaseResource
from pipeline.store.engine import Database, sqlalchemy_url


@dataclass(frozen=True)
class Platform:
    """A database and a Dagster instance."""

    database: Database
    instance: dg.DagsterInstance

    def materialize(
        self,
        location: str,
        assets: list[str],
        months: MonthRange | None = None,
        *,
        may_fail: bool = False,
        **resources: Any,
    ) -> Any:
        """Run assets of a location as production defines them."""
        overrides: dict[str, Any] = {"database": DatabaseResource(url=self.database.url), **resources}
        if location == "market_data":
            overrides.setdefault("provider", ProviderResource(name="bundled"))
        definitions = import_module(f"pipeline.{location}.definitions").build_definitions(overrides)
        return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            instance=self.instance,
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            tags=range_tags(months) if months else None,
            raise_on_error=not may_fail,
        )

    def rows(self, query: str) -> list[tuple]:
        """Rows of a query."""
        with self.database.connect() as connection:
            return connection.execute(query).fetchall()


@contextmanager
def postgres_instance(address: str) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance whose storage is the database of that address."""
    storage = {"postgres": {"postgres_url": sqlalchemy_url(address, "psycopg2")}}
    with dg.instance_for_test(overrides={"storage": storage}) as instance:
        yield instance


@pytest.fixture
def platform(new_database: Callable[[], Database], new_empty_database: Callable[[], str]) -> Iterator[Platform]:
    with postgres_instance(new_empty_database()) as instance:
        yield Platform(new_database(), instance)


AUTUMN = MonthRange(date(2022, 10, 1), date(2022, 12, 1))


@pytest.fixture
def priced(platform: Platform) -> Platform:
    """A platform with instruments and two years of prices."""
    two_years = MonthRange(date(2021, 1, 1), AUTUMN.last)
    platform.materialize("market_data", ["instruments"])
    platform.materialize("market_data", ["prices", "fx_rates"], two_years)
    return platform
