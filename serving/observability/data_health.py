"""Metrics of the data: what is stale, failed, held back or late.

The gateway tells them for the whole platform: it is there in every shape of deployment, and says them once. They are
read from the store's own tables, so they are told while Dagster is down, too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg import Connection

from pipeline.base.due_times import ASSETS_DUE, SCHEDULES_DUE
from pipeline.base.errors import DatabaseError
from pipeline.store.data_health import DataHealth, read_data_health, stale_assets

logger = logging.getLogger("serving")

READ_SECONDS = 15.0
"""How long what was read is told again, however often it is asked for; also that it could not be read."""
STATES = ("held", "released", "rejected")

Reading = Callable[[], AbstractContextManager[Connection]]


class DataHealthCollector(Collector):
    """Reads how the data stands when it is asked for, and remembers it for `READ_SECONDS`.

    Parameters
    ----------
    reading
        Opens a connection that sees every portfolio's rows.
    regular
        Assets that are written every weekday.
    """

    def __init__(self, reading: Reading, regular: frozenset[str]) -> None:
        self._reading = reading
        self._regular = regular
        self._lock = threading.Lock()
        self._known: DataHealth | None = None
        self._until = float("-inf")

    def collect(self) -> Iterator[Metric]:
        """The metrics as they were last read."""
        with self._lock:  # who asks meanwhile waits for the same answer
            if time.monotonic() >= self._until:
                self._known = self._read()
                self._until = time.monotonic() + READ_SECONDS
            known = self._known
        yield GaugeMetricFamily("fintech_data_health_up", "Whether the data's state could be read.", known is not None)
        if known is not None:
            yield from metrics_of(known, self._regular, datetime.now(UTC))

    def _read(self) -> DataHealth | None:
        try:
            with self._reading() as connection:
                return read_data_health(connection)
        except DatabaseError as error:
            logger.warning("metrics of the data cannot be read: %s", error)
            return None


def metrics_of(health: DataHealth, regular: frozenset[str], now: datetime) -> Iterator[Metric]:
    """What is told of the data's state at a moment."""
    written = {asset: at for asset, at in health.written_at.items() if asset in regular}
    stale = stale_assets(health.written_at, regular, now)
    yield _moments("fintech_asset_last_write_timestamp_seconds", "When an asset was last written.", "asset", written)
    yield GaugeMetricFamily(
        "fintech_asset_due_since_timestamp_seconds",
        "Since when every regular asset must have been written.",
        ASSETS_DUE.since(now).timestamp(),
    )
    yield _numbers(
        "fintech_asset_stale",
        "1 for an asset that was not written since it had to be.",
        "asset",
        {asset: asset in stale for asset in written},
    )
    yield GaugeMetricFamily(
        "fintech_assets_never_written", "Regular assets that were never written.", len(regular - written.keys())
    )
    failed = {asset: health.failed_partitions.get(asset, 0) for asset in regular | health.failed_partitions.keys()}
    yield _numbers("fintech_failed_partitions", "Partitions that a failed run left undone.", "asset", failed)
    yield _quarantined(health)
    yield from _runs(health, now)
    yield _numbers("fintech_incidents_open", "Incidents that are not over.", "kind", _by_kind(health.open_incidents))
    yield GaugeMetricFamily(
        "fintech_alerts_undelivered", "Messages that the receiver of alerts was offered in vain.", health.undelivered
    )


def _runs(health: DataHealth, now: datetime) -> Iterator[Metric]:
    due = {schedule: due.since(now) for schedule, due in SCHEDULES_DUE.items()}
    yield _moments(
        "fintech_schedule_last_success_timestamp_seconds",
        "When the last run that a schedule started and that succeeded ended.",
        "schedule",
        health.schedules,
    )
    yield _moments(
        "fintech_schedule_due_since_timestamp_seconds",
        "Since when a run of a schedule must have succeeded.",
        "schedule",
        due,
    )
    yield _moments(
        "fintech_sensor_last_tick_timestamp_seconds",
        "When a sensor that watches runs and data last ended a tick.",
        "sensor",
        health.sensors,
    )


def _quarantined(health: DataHealth) -> Metric:
    family = GaugeMetricFamily(
        "fintech_quarantined_rows", "Refused rows by what was decided of them.", labels=["provider", "state"]
    )
    for provider in sorted({provider for provider, _ in health.quarantined}):
        for state in STATES:
            family.add_metric([provider, state], health.quarantined.get((provider, state), 0))
    return family


def _by_kind(counts: Mapping[str, int]) -> dict[str, int]:
    return {kind: counts.get(kind, 0) for kind in ("run_failure", "stale_asset")}


def _moments(name: str, text: str, label: str, moments: Mapping[str, datetime]) -> Metric:
    return _numbers(name, text, label, {key: moment.timestamp() for key, moment in moments.items()})


def _numbers(name: str, text: str, label: str, numbers: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, number in sorted(numbers.items()):
        family.add_metric([key], number)
    return family
