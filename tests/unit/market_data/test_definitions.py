"""Which months the schedule asks for."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from pipeline.base.calendars import NEW_YORK_TIME_ZONE
from pipeline.base.types import MonthRange, add_months
from pipeline.market_data.definitions import LATE_CORRECTION_DAYS, after_new_york_close, months_to_refresh


@pytest.mark.parametrize(
    ("day", "first", "last"),
    [
        (date(2022, 12, 1), date(2022, 11, 1), date(2022, 12, 1)),
        (date(2022, 12, 7), date(2022, 11, 1), date(2022, 12, 1)),
        (date(2022, 12, 8), date(2022, 12, 1), date(2022, 12, 1)),
        (date(2022, 12, 31), date(2022, 12, 1), date(2022, 12, 1)),
        (date(2023, 1, 3), date(2022, 12, 1), date(2023, 1, 1)),
        (date(2024, 3, 2), date(2024, 2, 1), date(2024, 3, 1)),
    ],
    ids=str,
)
def test_the_month_before_is_read_again_in_the_first_days(day: date, first: date, last: date) -> None:
    assert months_to_refresh(day) == MonthRange(first, last)


def test_each_month_is_read_again_for_a_week_after_its_end() -> None:
    days = [date(2023, 1, 1) + timedelta(days=number) for number in range(730)]
    for month in [add_months(date(2023, 1, 1), number) for number in range(22)]:
        asking = [day for day in days if month in months_to_refresh(day).months()]
        assert asking[-1] == add_months(month, 1).replace(day=LATE_CORRECTION_DAYS)
        assert asking == [day for day in days if month <= day <= asking[-1]]


@pytest.mark.parametrize(("day", "range_start"), [(30, "2022-11-01"), (2, "2022-10-01")])
def test_a_tick_asks_for_the_months_once(day: int, range_start: str) -> None:
    tick = datetime(2022, 11, day, 18, tzinfo=ZoneInfo(NEW_YORK_TIME_ZONE))
    request = after_new_york_close(dg.build_schedule_context(scheduled_execution_time=tick))
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == f"2022-11-{day:02d}"
    assert request.tags["dagster/asset_partition_range_start"] == range_start
    assert request.tags["dagster/asset_partition_range_end"] == "2022-11-01"


def test_the_schedule_waits_for_the_new_york_close() -> None:
    assert after_new_york_close.cron_schedule == "0 18 * * 1-5"
    assert after_new_york_close.execution_timezone == "America/New_York"
