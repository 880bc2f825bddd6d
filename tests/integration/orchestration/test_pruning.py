"""Old events go, and everything that Dagster says of an asset stays as it was."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from sqlalchemy import text

from pipeline.orchestration.event_retention import delete_events, old_events
from pipeline.orchestration.partitions import MONTHLY
from pipeline.orchestration.resources import DatabaseResource
from tests.integration.orchestration.conftest import AUTUMN, Platform

PRICES = dg.AssetKey("prices")
KEPT = timedelta(days=90)


def ask(instance: dg.DagsterInstance, query: str) -> list[Any]:
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        found = connection.execute(text(query))
        return [tuple(row) for row in found] if found.returns_rows else []


def age(instance: dg.DagsterInstance, days: int) -> None:
    """Make everything that many days older."""
    ask(instance, f"UPDATE event_logs SET timestamp = timestamp - interval '{days} days'")
    ask(instance, f"UPDATE asset_check_executions SET create_timestamp = create_timestamp - interval '{days} days'")


def said_of(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What Dagster's pages, its automation and its staleness read of an asset."""
    storage = instance.event_log_storage
    checks = [dg.AssetCheckKey(PRICES, name) for (name,) in ask(instance, CHECKS)]
    summaries = storage.get_asset_check_summary_records(checks)
    return {
        "materialised": storage.get_materialized_partitions(PRICES),
        "newest": storage.get_latest_storage_id_by_partition(PRICES, dg.DagsterEventType.ASSET_MATERIALIZATION),
        "tags": storage.get_latest_tags_by_partition(
            PRICES, dg.DagsterEventType.ASSET_MATERIALIZATION, ["dagster/data_version"]
        ),
        "attempts": storage.get_latest_asset_partition_materialization_attempts_without_materializations(PRICES),
        "statuses": instance.get_status_by_partition(PRICES, MONTHLY.get_partition_keys()[-60:], MONTHLY),
        "last": instance.get_latest_materialization_event(PRICES),
        "checks": {key: record.last_check_execution_record for key, record in summaries.items()},
    }


CHECKS = "SELECT DISTINCT check_name FROM asset_check_executions WHERE asset_key = '[\"prices\"]'"


@pytest.fixture
def aged(priced: Platform) -> Platform:
    """Prices that were written twice, and failed once, long ago."""
    priced.materialize("market_data", ["prices"], AUTUMN)
    assert not priced.materialize("risk", ["instrument_risk"], AUTUMN, may_fail=True, database=_nowhere()).success
    age(priced.instance, 100)
    return priced


def _nowhere() -> Any:
    return DatabaseResource(url="postgresql://u@127.0.0.1:1/nowhere")


def test_what_is_materialised_stays_so(aged: Platform) -> None:
    before = said_of(aged.instance)
    assert len(before["materialised"]) == 24
    assert before["checks"]
    [(events,)] = ask(aged.instance, "SELECT count(*) FROM event_logs")
    old = old_events(aged.instance, KEPT)
    assert ask(aged.instance, "SELECT count(*) FROM event_logs") == [(events,)]  # counting deletes nothing
    delete_events(aged.instance, old)
    assert said_of(aged.instance) == before
    [(left,)] = ask(aged.instance, "SELECT count(*) FROM event_logs")
    assert left == events - len(old.events) < events / 2
    assert ask(aged.instance, "SELECT count(*) FROM event_logs WHERE asset_key IS NULL") == [(0,)]
    assert old_events(aged.instance, KEPT) == type(old)([], [])


def test_only_the_newest_of_a_partition_stays(aged: Platform) -> None:
    written = (
        "SELECT count(*) FROM event_logs"
        " WHERE dagster_event_type = 'ASSET_MATERIALIZATION' AND asset_key = '[\"prices\"]'"
    )
    assert ask(aged.instance, written) == [(24 + 3,)]
    delete_events(aged.instance, old_events(aged.instance, KEPT))
    assert ask(aged.instance, written) == [(24,)]
    assert ask(
        aged.instance,
        "SELECT count(*) FROM asset_event_tags t LEFT JOIN event_logs e ON e.id = event_id WHERE e.id IS NULL",
    ) == [(0,)]


def test_a_failed_attempt_stays_failed(aged: Platform) -> None:
    failed = dg.AssetKey("instrument_risk")
    statuses = lambda: aged.instance.get_status_by_partition(failed, [f"{AUTUMN.first}"], MONTHLY)  # noqa: E731
    assert statuses() == {f"{AUTUMN.first}": AssetPartitionStatus.FAILED}
    delete_events(aged.instance, old_events(aged.instance, KEPT))
    ask(aged.instance, "UPDATE asset_keys SET cached_status_data = NULL")  # asked of the log again
    assert statuses() == {f"{AUTUMN.first}": AssetPartitionStatus.FAILED}


def test_the_log_is_asked_again_without_its_cache(aged: Platform) -> None:
    before = said_of(aged.instance)["statuses"]
    delete_events(aged.instance, old_events(aged.instance, KEPT))
    ask(aged.instance, "UPDATE asset_keys SET cached_status_data = NULL")
    assert said_of(aged.instance)["statuses"] == before
    assert AssetPartitionStatus.MATERIALIZED in before.values()


def test_what_is_young_stays(priced: Platform) -> None:
    assert old_events(priced.instance, KEPT) == type(old_events(priced.instance, KEPT))([], [])


def test_events_of_a_run_that_goes_on_stay(aged: Platform) -> None:
    [(run,)] = ask(aged.instance, "SELECT run_id FROM event_logs ORDER BY id LIMIT 1")
    ask(aged.instance, f"UPDATE runs SET status = 'STARTED' WHERE run_id = '{run}'")
    of_run = f"SELECT count(*) FROM event_logs WHERE run_id = '{run}'"
    [(before,)] = ask(aged.instance, of_run)
    delete_events(aged.instance, old_events(aged.instance, KEPT))
    assert ask(aged.instance, of_run) == [(before,)]


def test_other_storages_are_refused() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert old_events(instance, KEPT).events == []
