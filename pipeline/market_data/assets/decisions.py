"""Sensor ``quarantine_decided``: a decision on a refused row loads its month again."""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself (dagster #8540).
import dagster as dg

from pipeline.base.types import MonthRange
from pipeline.orchestration.partitions import range_tags
from pipeline.orchestration.resources import DatabaseResource
from pipeline.store.quarantine import read_decisions


@dg.sensor(
    name="quarantine_decided",
    asset_selection=dg.AssetSelection.assets("prices"),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    required_resource_keys={"database"},
    description="Loads the prices of a month again once a refused row of it was released or rejected.",
)
def quarantine_decided(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Ask for one run a month that was decided on since the last look; the cursor is the last decision seen."""
    database: DatabaseResource = context.resources.database
    with database.database.connect() as connection:
        decisions = read_decisions(connection, after=int(context.cursor or 0))
    if not decisions:
        return dg.SkipReason("no refused row was decided on since the last look")
    last = decisions[-1].id
    months = sorted({decision.session.replace(day=1) for decision in decisions})
    requests = [
        dg.RunRequest(run_key=f"decision-{last}-{month}", tags=range_tags(MonthRange(month, month))) for month in months
    ]
    return dg.SensorResult(run_requests=requests, cursor=str(last))
