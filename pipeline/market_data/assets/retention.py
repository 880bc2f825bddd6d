"""Job ``prune``: what is no longer kept goes every night."""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself (dagster #8540).
from datetime import timedelta

import dagster as dg

from pipeline.base.calendars import NEW_YORK_TIME_ZONE
from pipeline.base.settings import load_settings
from pipeline.orchestration.event_retention import delete_events, old_events
from pipeline.orchestration.resources import DatabaseResource
from pipeline.store import retention
from pipeline.store.audit import Actor


@dg.op(required_resource_keys={"database"})
def delete_old_rows(context: dg.OpExecutionContext) -> None:
    """Delete what the platform's own tables no longer keep."""
    database: DatabaseResource = context.resources.database
    rules = retention.retentions(load_settings().audit_days)
    for name, rows in retention.prune(database.database, rules, Actor(f"run {context.run_id}")).items():
        context.log.info(f"{rows} {name} are deleted.")


@dg.op
def delete_old_events(context: dg.OpExecutionContext) -> None:
    """Delete Dagster's events that no asset's standing rests on."""
    days = load_settings().event_log_days
    old = old_events(context.instance, timedelta(days=days))
    delete_events(context.instance, old)
    context.log.info(f"{len(old.events)} events and {len(old.checks)} evaluations older than {days} days are deleted.")


@dg.job(description="Delete what is no longer kept: docs/RUNBOOK.md, Retention.")
def prune() -> None:
    """Two ops, neither of which waits for the other; Dagster reads this function once, to see which."""
    delete_old_rows()
    delete_old_events()


every_night = dg.ScheduleDefinition(
    name="every_night",
    job=prune,
    cron_schedule="0 3 * * *",
    execution_timezone=NEW_YORK_TIME_ZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day at 03:00 New York: vendors' answers, old events and other rows that are no longer kept go.",
)
