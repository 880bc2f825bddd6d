"""Job ``forget_old_payloads``: answers of vendors are kept for 90 days."""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself (dagster #8540).
import dagster as dg

from pipeline.base.calendars import NEW_YORK_TIME_ZONE
from pipeline.orchestration.resources import DatabaseResource
from pipeline.store import raw_payloads


@dg.op(required_resource_keys={"database"})
def delete_old_payloads(context: dg.OpExecutionContext) -> None:
    """Delete the answers that no vendor has given for 90 days."""
    database: DatabaseResource = context.resources.database
    with database.database.connect() as connection:
        count = raw_payloads.forget_old_payloads(connection)
    context.log.info(f"{count} answers of vendors were older than {raw_payloads.KEPT.days} days and are deleted.")


@dg.job(description="Delete the answers of vendors that are no longer kept.")
def forget_old_payloads() -> None:
    """One op; Dagster reads this function once, to see which."""
    delete_old_payloads()


every_night = dg.ScheduleDefinition(
    name="every_night",
    job=forget_old_payloads,
    cron_schedule="0 3 * * *",
    execution_timezone=NEW_YORK_TIME_ZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day at 03:00 New York: answers of vendors that are no longer kept are deleted.",
)
