"""Since when something regular must have been done, equal to what Dagster's own hours say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pipeline.base.due_times import ASSETS_DUE, EVERY_DAY, SCHEDULES_DUE, DueTime
from pipeline.market_data.definitions import build_definitions
from pipeline.orchestration.automation import FRESH_EVERY_SESSION

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("now", "since"),
    [
        ("2026-11-25T20:59", "2026-11-24T15:00"),  # Wednesday's is not due yet
        ("2026-11-25T21:00", "2026-11-25T15:00"),
        ("2026-11-28T12:00", "2026-11-27T15:00"),  # Saturday: Friday's counts
        ("2026-11-30T20:00", "2026-11-27T15:00"),  # Monday before its hour: still Friday's
        ("2026-11-30T21:30", "2026-11-30T15:00"),
        ("2026-03-09T00:30", "2026-03-06T15:00"),  # after the night in which clocks go forward
    ],
)
def test_assets_are_due_on_weekdays(now: str, since: str) -> None:
    found = ASSETS_DUE.since(datetime.fromisoformat(now).replace(tzinfo=NEW_YORK))
    assert found == datetime.fromisoformat(since).replace(tzinfo=NEW_YORK)


def test_every_day_means_the_weekend_too() -> None:
    found = DueTime(3, 6, EVERY_DAY).since(datetime(2026, 11, 29, 11, 0, tzinfo=UTC))  # Sunday, 06:00 in New York
    assert found == datetime(2026, 11, 29, 3, 0, tzinfo=NEW_YORK)


def test_assets_are_due_when_dagster_says() -> None:
    hours = ASSETS_DUE.until_hour - ASSETS_DUE.from_hour
    assert FRESH_EVERY_SESSION.deadline_cron == f"0 {ASSETS_DUE.until_hour} * * 1-5"
    assert FRESH_EVERY_SESSION.lower_bound_delta == timedelta(hours=hours)
    assert FRESH_EVERY_SESSION.timezone == str(NEW_YORK)


def test_every_schedule_has_its_hours() -> None:
    schedules = {schedule.name: schedule for schedule in build_definitions().schedules or []}
    assert schedules.keys() == SCHEDULES_DUE.keys()
    for name, due in SCHEDULES_DUE.items():
        days = "*" if due.weekdays == EVERY_DAY else "1-5"
        assert schedules[name].cron_schedule == f"0 {due.from_hour} * * {days}"
        assert schedules[name].execution_timezone == str(NEW_YORK)
