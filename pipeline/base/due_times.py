"""When something regular must have been done, for those who cannot ask Dagster: services, the store and alerts.

The same hours stand in `pipeline.orchestration.automation` and in the schedules; a test holds them equal to these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from pipeline.base.calendars import NEW_YORK_TIME_ZONE
from pipeline.base.expected_sessions import LOADED_BY_HOUR

WEEKDAYS = range(5)
EVERY_DAY = range(7)


@dataclass(frozen=True, slots=True)
class DueTime:
    """Something that is done once a day, inside some hours of New York's clock.

    Parameters
    ----------
    from_hour
        What was done earlier was done for the day before.
    until_hour
        Hour by which it must have been done.
    weekdays
        On which it is done; Monday is 0.
    """

    from_hour: int
    until_hour: int
    weekdays: range = WEEKDAYS

    def since(self, now: datetime) -> datetime:
        """The moment since which it must have been done, at a moment that has a time zone."""
        zone = ZoneInfo(NEW_YORK_TIME_ZONE)
        day = now.astimezone(zone).date()
        while day.weekday() not in self.weekdays or _at(day, self.until_hour, zone) > now:
            day -= timedelta(days=1)
        return _at(day, self.from_hour, zone)


def _at(day: date, hour: int, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=zone)


ASSETS_DUE = DueTime(15, LOADED_BY_HOUR)
"""Every asset is written between 15:00 and 21:00 on every weekday."""

SCHEDULES_DUE: Mapping[str, DueTime] = {
    "after_new_york_close": DueTime(18, LOADED_BY_HOUR),
    "every_night": DueTime(3, 6, EVERY_DAY),
}
"""Schedule → from the hour at which it starts its run to the one at which that must have succeeded."""
