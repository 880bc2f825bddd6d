"""Monthly partitions: 33 years are 396 keys, and the daily schedule rewrites the current one (ADR 0001)."""

from __future__ import annotations

from datetime import date

import dagster as dg

from pipeline.base.calendars import NEW_YORK_TIME_ZONE
from pipeline.base.types import MonthRange

# end_offset=1 makes the running month a partition. Never combine it with exclusions (dagster #33551).
MONTHLY = dg.MonthlyPartitionsDefinition(start_date="1990-01-01", end_offset=1, timezone=NEW_YORK_TIME_ZONE)

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


def months_of_run(context: dg.AssetExecutionContext) -> MonthRange:
    """The months that a run is asked for."""
    keys = context.partition_key_range
    return MonthRange(date.fromisoformat(keys.start), date.fromisoformat(keys.end))


def range_tags(months: MonthRange) -> dict[str, str]:
    """Run tags that ask for a range of months in one run."""
    return {RANGE_START_TAG: months.first.isoformat(), RANGE_END_TAG: months.last.isoformat()}


def months_back(months: int) -> dg.TimeWindowPartitionMapping:
    """Partition mapping of an input that is read from `months` months before the first to the last month."""
    return dg.TimeWindowPartitionMapping(start_offset=-months, allow_nonexistent_upstream_partitions=True)


def known_months() -> list[date]:
    """Every month that is a partition now, oldest first."""
    return [date.fromisoformat(partition) for partition in MONTHLY.get_partition_keys()]
