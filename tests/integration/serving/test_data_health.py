"""The gateway tells how the data stands; every service, how its connections are."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from pipeline.base.due_times import ASSETS_DUE
from pipeline.store import incidents as store
from pipeline.store.data_health import REGULAR_ASSETS
from pipeline.store.incidents import FailedRun
from pipeline.store.materializations import begin, finish, record_partitions
from serving.deps import POOL_SIZE
from serving.observability import data_health
from tests.integration.serving.metrics import samples
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import Seeded

MONTHS = (date(2022, 11, 1), date(2022, 12, 1))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered."""
    monkeypatch.setattr(data_health, "READ_SECONDS", 0.0)


def test_the_gateway_tells_of_what_is_stale_failed_and_held(own_seeded: Seeded, serve: Serve, at_once: None) -> None:
    with own_seeded.database.connect() as connection:
        number = begin(connection, "prices", "run", "code")
        record_partitions(connection, number, "prices", dict.fromkeys(MONTHS, 1), MONTHS)
        finish(connection, number)
    client = serve(own_seeded.database.url).client
    assert samples(client, "fintech_data_health_up") == {(): 1}
    assert samples(client, "fintech_asset_stale")["prices",] == 0
    failed = samples(client, "fintech_failed_partitions")
    assert set(failed) == {(asset,) for asset in REGULAR_ASSETS - {"interest_rates"}}
    assert set(failed.values()) == {0}
    now = datetime.now(UTC)
    since = ASSETS_DUE.since(now)
    late = since - timedelta(hours=2)
    with own_seeded.database.connect() as connection:
        connection.execute("UPDATE materialization SET finished_at = %s WHERE id = %s", [late, number])
        parts = tuple(("fx_rates", month) for month in MONTHS)
        assert store.record_failed_run(connection, FailedRun("run", parts, True, now + timedelta(days=1), now)) == 2
        store.note_success(connection, "schedule", "every_night", late)
        store.note_success(connection, "sensor", "run_failures", late)
        writer = connection.execute("SELECT max(id) FROM materialization").fetchone()
        connection.execute(
            "INSERT INTO quarantine (provider, symbol, session, rule, payload, materialization_id)"
            " VALUES ('vendor', 'X', '2022-12-01', 'spike', '{}', %s)",
            writer,
        )
    assert samples(client, "fintech_asset_stale")["prices",] == 1
    assert samples(client, "fintech_asset_last_write_timestamp_seconds")["prices",] == late.timestamp()
    assert samples(client, "fintech_asset_due_since_timestamp_seconds") == {(): since.timestamp()}
    assert samples(client, "fintech_failed_partitions")["fx_rates",] == 2
    assert samples(client, "fintech_schedule_last_success_timestamp_seconds")["every_night",] == late.timestamp()
    assert samples(client, "fintech_schedule_due_since_timestamp_seconds").keys() == {
        ("after_new_york_close",),
        ("every_night",),
    }
    assert samples(client, "fintech_sensor_last_tick_timestamp_seconds")["run_failures",] == late.timestamp()
    assert samples(client, "fintech_quarantined_rows")["vendor", "held"] == 1


def test_messages_in_vain_are_counted_of_every_portfolio(own_seeded: Seeded, serve: Serve, at_once: None) -> None:
    client = serve(own_seeded.database.url).client
    with own_seeded.database.connect() as connection:
        connection.execute(
            "INSERT INTO limit_event (key, portfolio_id, kind, measure, direction, session, opened, last_error)"
            " SELECT 'k', min(id), 'WARN', 'beta', 'above', '2022-12-01', '2022-12-01', 'refused' FROM portfolio"
        )
    assert samples(client, "fintech_alerts_undelivered") == {(): 1}


def test_what_was_read_is_told_again_for_a_while(own_seeded: Seeded, serve: Serve) -> None:
    client = serve(own_seeded.database.url).client
    before = samples(client, "fintech_incidents_open")
    with own_seeded.database.connect() as connection:
        connection.execute("INSERT INTO incident VALUES ('k', 'stale_asset', 'prices', 'It is stale.', '{}')")
    assert samples(client, "fintech_incidents_open") == before == {("run_failure",): 0, ("stale_asset",): 0}


def test_without_a_schema_the_rest_is_told(new_empty_database, serve: Serve) -> None:
    client = serve(new_empty_database()).client
    assert samples(client, "fintech_data_health_up") == {(): 0}
    assert samples(client, "fintech_failed_partitions") == {}
    assert samples(client, "fintech_postgres_up") == {(): 1}


def test_the_other_services_tell_nothing_of_the_data(own_seeded: Seeded, serve: Serve) -> None:
    client = serve(own_seeded.database.url, service="python-risk-engine").client
    assert samples(client, "fintech_data_health_up") == {}
    assert samples(client, "fintech_pool_max_connections")["requests",] == POOL_SIZE
    client.get("/api/v1/portfolios")
    assert samples(client, "fintech_pool_used_connections")["requests",] == 0
    assert samples(client, "fintech_pool_waiting_requests") == {("requests",): 0, ("computing",): 0}
    assert samples(client, "fintech_pool_refusals_total") == {("requests",): 0, ("computing",): 0}


def test_the_bound_of_the_service_level_is_one_of_the_histograms(own_seeded: Seeded, serve: Serve) -> None:
    client = serve(own_seeded.database.url).client
    client.get("/health")
    assert ("0.2", "/health") in samples(client, "fintech_http_request_seconds_bucket")
