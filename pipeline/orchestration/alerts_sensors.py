"""Sensors ``run_failures`` and ``stale_assets``: what went wrong is stored as an incident, and told once.

They stand in one location and watch all of them. Both are on by default, and harmless without a receiver: incidents
are stored then, and told once one is set, unless they were over a day before.
"""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself (dagster #8540).
from datetime import UTC, datetime

import dagster as dg

from pipeline.base.settings import env_name, load_settings
from pipeline.orchestration.alerts_incidents import (
    OUTBOX,
    close_failures,
    judge_freshness,
    note_schedules,
    record_failure,
)
from pipeline.orchestration.alerts_resource import AlertsResource
from pipeline.orchestration.alerts_sending import deliver
from pipeline.orchestration.resources import DatabaseResource
from pipeline.store import incidents as store
from pipeline.store.data_health import regular_assets

MOST_FAILURES = 50
"""Failures that one tick looks at; the next goes on."""
RESOURCES = {"database", "alerts"}


@dg.sensor(
    name="run_failures",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    required_resource_keys=RESOURCES,
    description="Opens an incident for each run of any location that failed and is not repeated, closes it once later"
    " runs have done what it left undone, and posts both to the webhook: at least once, with a key.",
)
def run_failures(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Note, close and tell; no run is asked for.

    Dagster's own run-failure sensor goes on when its function fails, so a failure that is noticed while Postgres is
    away would be told to nobody (read in dagster 1.13.27, `RunStatusSensorDefinition`). Here the cursor moves only
    with what was stored; what is read twice is stored once.
    """
    database: DatabaseResource = context.resources.database
    cursor = _newest_failure(context.instance) if context.cursor is None else int(context.cursor)
    failures = context.instance.fetch_run_status_changes(
        dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_FAILURE, after_storage_id=cursor),
        limit=MOST_FAILURES,
        ascending=True,
    ).records
    with database.database.connect() as connection:
        store.take_turn(connection)
        opened = 0
        for failure in failures:
            run = context.instance.get_run_by_id(failure.run_id)
            if run is not None:  # it may have been deleted
                opened += record_failure(connection, context.instance, run, failure.event_log_entry)
        closed = close_failures(connection, context.instance)
        note_schedules(connection, context.instance)
        store.note_success(connection, "sensor", "run_failures", datetime.now(UTC))
    cursor = max([cursor, *(failure.storage_id for failure in failures)])
    return dg.SensorResult(
        skip_reason=f"{opened} incidents opened, {closed} closed; {_told(context, database)}", cursor=str(cursor)
    )


@dg.sensor(
    name="stale_assets",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    required_resource_keys=RESOURCES,
    description="Opens an incident for each asset that was not written by 21:00 New York on a weekday, closes it when"
    " it is written, and posts both to the webhook: at least once, with a key.",
)
def stale_assets(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Judge, note and tell; no run is asked for."""
    database: DatabaseResource = context.resources.database
    regular = regular_assets(has_interest_rates=load_settings().interest_provider is not None)
    now = datetime.now(UTC)
    with database.database.connect() as connection:
        store.take_turn(connection)
        stale = judge_freshness(connection, regular, now)
        store.note_success(connection, "sensor", "stale_assets", now)
    return dg.SensorResult(skip_reason=f"{len(stale)} assets are stale; {_told(context, database)}")


SENSORS = (run_failures, stale_assets)


def _newest_failure(instance: dg.DagsterInstance) -> int:
    """Where the first tick begins: what failed before the platform watched is history."""
    newest = instance.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, limit=1).records
    return newest[0].storage_id if newest else 0


def _told(context: dg.SensorEvaluationContext, database: DatabaseResource) -> str:
    """Tell what waits, and say what came of it."""
    alerts: AlertsResource = context.resources.alerts
    receiver = alerts.receiver
    if receiver is None:
        return f"{env_name('alert_webhook_url')} is not set: incidents wait"
    round_ = deliver(database.database, OUTBOX, receiver)
    for failure in round_.failures:
        context.log.warning(f"not delivered, tried again with the next tick: {failure}")
    return f"{round_.delivered} messages delivered, {len(round_.failures)} not"
