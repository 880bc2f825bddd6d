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
    """A Dagster instance whose storage is the database of that address, set as `fintech.driving` does.

    With a connection and a round trip for each event, a test of the whole history spends three quarters on them.
    """
    storage = {"postgres": {"postgres_url": sqlalchemy_url(address, "psycopg2")}}
    with pytest.MonkeyPatch.context() as patch, dg.instance_for_test(overrides={"storage": storage}) as instance:
        patch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
        instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=3_600, max_overflow=4)
        yield instance


AUTUMN = MonthRange(date(2022, 10, 1), date(2022, 12, 1))


@pytest.fixture(scope="session")
def dagster_tables(new_empty_database: Callable[[], str]) -> str:
    """Address of a storage of Dagster without any run: making its tables takes as long as a small run."""
    address = new_empty_database()
    with postgres_instance(address):
        return address


@pytest.fixture
def platform(
    new_database: Callable[[], Database], copy_of: Callable[[str], str], dagster_tables: str
) -> Iterator[Platform]:
    with postgres_instance(copy_of(dagster_tables)) as instance:
        yield Platform(new_database(), instance)


@pytest.fixture(scope="session")
def two_years(
    new_database: Callable[[], Database], copy_of: Callable[[str], str], dagster_tables: str
) -> tuple[str, str]:
    """Addresses of a database with instruments and two years of prices, and of the storage of the runs that made it."""
    database, storage = new_database(), copy_of(dagster_tables)
    with postgres_instance(storage) as instance:
        platform = Platform(database, instance)
        platform.materialize("market_data", ["instruments"])
        platform.materialize("market_data", ["prices", "fx_rates"], MonthRange(date(2021, 1, 1), AUTUMN.last))
    return database.url, storage


@pytest.fixture
def priced(two_years: tuple[str, str], copy_of: Callable[[str], str]) -> Iterator[Platform]:
    """A platform with instruments and two years of prices."""
    database, storage = two_years
    with postgres_instance(copy_of(storage)) as instance:
        yield Platform(Database(copy_of(database)), instance)
