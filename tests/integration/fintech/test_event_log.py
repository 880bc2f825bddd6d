"""The driver's event log: the same records as Dagster's own, of a run over a range of partitions."""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself (dagster #8540).
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from sqlalchemy import create_engine, text

from pipeline.base.types import MonthRange
from pipeline.orchestration.partitions import MONTHLY, range_tags
from pipeline.store.engine import sqlalchemy_url
from tests.integration.orchestration.conftest import AUTUMN

LOUD_MONTH = "2022-11-01"
MONTHS = ("2022-10-01", LOUD_MONTH, "2022-12-01")

SAME = {
    "events": "SELECT dagster_event_type, asset_key, step_key, partition, count(*) FROM event_logs"
    " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
    "assets": "SELECT asset_key, last_run_id IS NOT NULL, last_materialization_timestamp IS NOT NULL,"
    " last_materialization::json #>> '{event_log_entry,dagster_event,event_specific_data,materialization,partition}'"
    " FROM asset_keys ORDER BY 1",
    "tags": "SELECT asset_key, key, count(*), count(DISTINCT event_id) FROM asset_event_tags"
    " GROUP BY 1, 2 ORDER BY 1, 2",
    "newest": "SELECT asset_key, partition, max(id) = (SELECT max(id) FROM event_logs l WHERE l.asset_key = e.asset_key"
    " AND l.dagster_event_type = 'ASSET_MATERIALIZATION') FROM event_logs e"
    " WHERE dagster_event_type = 'ASSET_MATERIALIZATION' GROUP BY 1, 2 ORDER BY 1, 2",
}


def monthly_asset(name: str, *, fails: bool = False) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        partitions_def=MONTHLY,
        backfill_policy=dg.BackfillPolicy.single_run(),
        code_version="1",
        check_specs=[dg.AssetCheckSpec("plausible", asset=name, blocking=True)],
    )
    def made(context: dg.AssetExecutionContext) -> Iterator[Any]:
        if fails:
            raise dg.Failure("no")
        context.add_asset_metadata({"loud": 1}, partition_key=LOUD_MONTH)
        yield dg.AssetCheckResult(passed=True, check_name="plausible")
        yield dg.MaterializeResult(metadata={"rows": 3})

    definition: dg.AssetsDefinition = made
    return definition


def instance_of(storage: dict[str, Any]) -> Any:
    return dg.instance_for_test(overrides={"storage": storage})


def run(instance: dg.DagsterInstance, months: MonthRange, *assets: dg.AssetsDefinition) -> None:
    job = dg.Definitions(assets=assets).resolve_implicit_global_asset_job_def()
    job.execute_in_process(
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        instance=instance,
        tags=range_tags(months),
        raise_on_error=False,
    )


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")


@pytest.fixture
def storages(new_empty_database: Callable[[], str]) -> dict[str, dict[str, Any]]:
    """Dagster's own storage and the driver's, each on a database of its own."""
    own, bulk = (sqlalchemy_url(new_empty_database(), "psycopg2") for _ in range(2))
    custom = {"module": "fintech.event_log", "class": "DriverStorage", "config": {"postgres_url": bulk}}
    return {"postgres": {"postgres": {"postgres_url": own}}, "driver": {"custom": custom}}


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return rows


def urls(storages: dict[str, dict[str, Any]]) -> tuple[str, str]:
    return storages["postgres"]["postgres"]["postgres_url"], storages["driver"]["custom"]["config"]["postgres_url"]


@pytest.mark.usefixtures("batches")
def test_the_records_are_dagsters_own(storages: dict[str, dict[str, Any]]) -> None:
    for storage in storages.values():
        with instance_of(storage) as instance:
            run(instance, AUTUMN, monthly_asset("first"), monthly_asset("second"))
    own, bulk = urls(storages)
    for name, query in SAME.items():
        rows = ask(own, query)
        assert rows, name
        assert ask(bulk, query) == rows, name


@pytest.mark.usefixtures("batches")
def test_every_month_has_its_metadata_and_is_materialized(storages: dict[str, dict[str, Any]]) -> None:
    with instance_of(storages["driver"]) as instance:
        run(instance, AUTUMN, monthly_asset("first"))
        records = instance.fetch_materializations(dg.AssetKey("first"), limit=10).records
        found = {record.partition_key: record.asset_materialization.metadata for record in records}
        assert {month: "loud" in metadata for month, metadata in found.items()} == {
            month: month == LOUD_MONTH for month in MONTHS
        }
        statuses = instance.get_status_by_partition(dg.AssetKey("first"), MONTHS, MONTHLY)
    assert set((statuses or {}).values()) == {AssetPartitionStatus.MATERIALIZED}


@pytest.mark.usefixtures("batches")
def test_a_failed_run_leaves_its_months_failed(storages: dict[str, dict[str, Any]]) -> None:
    with instance_of(storages["driver"]) as instance:
        run(instance, AUTUMN, monthly_asset("first", fails=True))
        statuses = instance.get_status_by_partition(dg.AssetKey("first"), MONTHS, MONTHLY)
    assert set((statuses or {}).values()) == {AssetPartitionStatus.FAILED}


@pytest.mark.usefixtures("batches")
def test_a_check_is_planned_once_a_run_and_no_plan_stays_open(storages: dict[str, dict[str, Any]]) -> None:
    with instance_of(storages["driver"]) as instance:
        run(instance, AUTUMN, monthly_asset("first"))
        run(instance, AUTUMN, monthly_asset("first"))
    query = "SELECT execution_status, partition, count(*) FROM asset_check_executions GROUP BY 1, 2"
    assert ask(urls(storages)[1], query) == [("SUCCEEDED", None, 2)]
