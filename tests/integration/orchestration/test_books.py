"""Every fetched row is accounted for, and a person's decision on a refused row counts with the next load."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from pipeline.market_data.assets.decisions import quarantine_decided
from pipeline.market_data.definitions import build_definitions
from pipeline.market_data.providers import FetchRequest, FetchResult
from pipeline.market_data.providers.bundled import BundledProvider
from pipeline.orchestration.resources import DatabaseResource
from pipeline.store.ingest_runs import read_ingest_runs
from pipeline.store.quarantine import decide, read_quarantine
from tests.integration.orchestration.conftest import AUTUMN, Platform
from tests.integration.orchestration.test_materializing import SpoiltResource


def load(platform: Platform) -> None:
    platform.materialize("market_data", ["prices"], AUTUMN, provider=SpoiltResource(name="bundled"))


@pytest.fixture
def spoilt(platform: Platform) -> Platform:
    """Prices of which three rows are in quarantine."""
    platform.materialize("market_data", ["instruments"])
    load(platform)
    return platform


def test_the_books_of_each_load_close(spoilt: Platform) -> None:
    load(spoilt)
    with spoilt.database.connect() as connection:
        again, first = read_ingest_runs(connection)
    assert first.fetched == 61 * 26
    assert (first.inserted, first.quarantined) == (61 * 26 - 3, 3)
    assert (again.inserted, again.revised, again.unchanged) == (0, 0, 61 * 26 - 3)


def test_a_released_row_is_accepted_by_the_next_load(spoilt: Platform) -> None:
    with spoilt.database.connect() as connection:
        spike = next(row for row in read_quarantine(connection) if row.rule == "spike")
        decide(connection, spike.symbol, spike.session, "released", "an analyst", "a real move")
    load(spoilt)
    stored = spoilt.rows(f"SELECT close_adjusted FROM price WHERE session = '{spike.session}' ORDER BY instrument_id")
    assert spike.payload["close_adjusted"] in {row[0] for row in stored}
    with spoilt.database.connect() as connection:
        assert {row.rule: row.state for row in read_quarantine(connection)} == {
            "not_a_session": "held",
            "not_positive": "held",
            "spike": "released",
        }
        newest = read_ingest_runs(connection, limit=1)[0]
    assert (newest.inserted, newest.quarantined) == (1, 2)


def test_a_rejected_row_stays_out(spoilt: Platform) -> None:
    with spoilt.database.connect() as connection:
        spike = next(row for row in read_quarantine(connection) if row.rule == "spike")
        decide(connection, spike.symbol, spike.session, "rejected", "an analyst", "a typing error")
    load(spoilt)
    with spoilt.database.connect() as connection:
        assert {row.rule: row.state for row in read_quarantine(connection)}["spike"] == "rejected"
        assert read_ingest_runs(connection, limit=1)[0].quarantined == 3


def test_the_provider_is_asked_for_what_is_needed(platform: Platform) -> None:
    asked: list[FetchRequest] = []

    class Listening(BundledProvider):
        def fetch(self, request: FetchRequest) -> FetchResult:
            asked.append(request)
            return super().fetch(request)

    class ListeningResource(SpoiltResource):
        @property
        def provider(self) -> BundledProvider:
            return Listening()

    platform.materialize("market_data", ["instruments"])
    platform.materialize("market_data", ["prices"], AUTUMN, provider=ListeningResource(name="bundled"))
    assert asked == [FetchRequest("bars", (), date(2022, 4, 1), date(2023, 1, 31))]


def looked(platform: Platform, cursor: str | None) -> SensorExecutionData:
    """What the sensor asks for."""
    context = dg.build_sensor_context(
        cursor=cursor,
        resources={"database": DatabaseResource(url=platform.database.url)},
        instance=platform.instance,
        definitions=build_definitions(),
    )
    return quarantine_decided.evaluate_tick(context)


def test_a_decision_asks_for_one_run_of_its_month(spoilt: Platform) -> None:
    assert looked(spoilt, None).skip_message
    with spoilt.database.connect() as connection:
        for row in read_quarantine(connection):
            decide(connection, row.symbol, row.session, "rejected", "an analyst", "wrong")
    asked = looked(spoilt, None)
    assert [request.tags["dagster/asset_partition_range_start"] for request in asked.run_requests] == ["2022-11-01"]
    assert looked(spoilt, asked.cursor).skip_message
    assert looked(spoilt, "2").run_requests[0].run_key == "decision-3-2022-11-01"  # a cursor of an earlier version
    assert looked(spoilt, "3").skip_message


def test_a_decision_that_is_committed_late_asks_for_its_month_too(spoilt: Platform) -> None:
    with spoilt.database.connect() as connection:
        late, early, _ = read_quarantine(connection)
    with spoilt.database.connect() as slow:
        decide(slow, late.symbol, late.session, "rejected", "an analyst", "takes long")
        with spoilt.database.connect() as connection:
            decide(connection, early.symbol, early.session, "rejected", "an analyst", "wrong")
        first = looked(spoilt, None)
        assert [request.run_key for request in first.run_requests] == ["decision-2-2022-11-01"]
        assert looked(spoilt, first.cursor).skip_message
    second = looked(spoilt, first.cursor)
    assert [request.run_key for request in second.run_requests] == ["decision-1-2022-11-01"]
    assert looked(spoilt, second.cursor).skip_message
