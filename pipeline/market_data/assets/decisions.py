"""Sensor ``quarantine_decided``: a decision on a refused row loads its month again."""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself (dagster #8540).
import json

import dagster as dg

from pipeline.base.types import MonthRange
from pipeline.orchestration.partitions import range_tags
from pipeline.orchestration.resources import DatabaseResource
from pipeline.store.quarantine import SeenDecisions, read_unseen_decisions


@dg.sensor(
    name="quarantine_decided",
    asset_selection=dg.AssetSelection.assets("prices"),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    required_resource_keys={"database"},
    description="Loads the prices of a month again once a refused row of it was released or rejected.",
)
def quarantine_decided(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Ask for one run a month that was decided on since the last look; the cursor is what has been seen."""
    database: DatabaseResource = context.resources.database
    with database.database.connect() as connection:
        decisions, seen = read_unseen_decisions(connection, seen_of(context.cursor))
    if not decisions:
        return dg.SkipReason("no refused row was decided on since the last look")
    last_of = {decision.session.replace(day=1): decision.id for decision in decisions}
    requests = [
        dg.RunRequest(run_key=f"decision-{last}-{month}", tags=range_tags(MonthRange(month, month)))
        for month, last in sorted(last_of.items())
    ]
    return dg.SensorResult(run_requests=requests, cursor=cursor_of(seen))


def seen_of(cursor: str | None) -> SeenDecisions:
    """What a cursor says; one of an earlier version is the number of the last decision alone."""
    known = json.loads(cursor or "0")
    if isinstance(known, int):
        return SeenDecisions(known)
    return SeenDecisions(known["settled"], frozenset(known["later"]))


def cursor_of(seen: SeenDecisions) -> str:
    """What has been seen, as Dagster keeps it."""
    return json.dumps({"settled": seen.settled, "later": sorted(seen.later)})
