"""Which session's data should be there by now, without the exchange's calendar.

`exchange_calendars` takes 1.5 s and 80 MiB of every process that asks it, and services only need to know which weekdays
New York trades on. The rules are those of NYSE Rule 7.2; the closings that no rule foresees are listed. A test holds
the days equal to the calendar's from 1998 on.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from pipeline.base.calendars import NEW_YORK_TIME_ZONE

LOADED_BY_HOUR = 21
"""New York time by which a session's prices and results are stored: the deadline of every asset that is to be fresh."""

JUNETEENTH_SINCE = 2022
_UNFORESEEN = (
    *(f"2001-09-{day}" for day in (11, 12, 13, 14)),
    "2004-06-11",
    "2007-01-02",
    "2012-10-29",
    "2012-10-30",
    "2018-12-05",
    "2025-01-09",
)
"""Days of mourning, an attack and a storm."""

MONDAY, THURSDAY = 0, 3


def expected_session(now: datetime) -> date:
    """The newest session whose data should be stored at a moment, which has a time zone."""
    local = now.astimezone(ZoneInfo(NEW_YORK_TIME_ZONE))
    day = local.date() if local.hour >= LOADED_BY_HOUR else local.date() - timedelta(days=1)
    return last_session_up_to(day)


def expected_month_end(now: datetime) -> date:
    """The last session of the newest month that is over and whose data should be stored."""
    newest = expected_session(now)
    following = last_session_up_to(_month_after(newest) - timedelta(days=1))
    return newest if newest == following else last_session_up_to(newest.replace(day=1) - timedelta(days=1))


@lru_cache(256)
def last_session_up_to(day: date) -> date:
    """The day, or the newest session before it."""
    found: date = np.busday_offset(day, 0, roll="backward", busdaycal=_calendar(day.year)).astype(object)
    return found


@lru_cache(256)
def sessions_after(first: date, last: date) -> int:
    """How many sessions lie after one day, up to and with another; 0 if that is not later."""
    if first >= last:
        return 0
    return sum(
        int(
            np.busday_count(
                max(first + timedelta(days=1), date(year, 1, 1)),
                min(last + timedelta(days=1), date(year + 1, 1, 1)),
                busdaycal=_calendar(year),
            )
        )
        for year in range(first.year, last.year + 1)
    )


@lru_cache(256)
def _calendar(year: int) -> np.busdaycalendar:
    """Weekdays without the holidays of a year and the one before, into which its first days roll back."""
    holidays = [day.isoformat() for either in (year - 1, year) for day in _holidays(either)]
    return np.busdaycalendar(holidays=np.array([*holidays, *_UNFORESEEN], dtype="datetime64[D]"))


def _holidays(year: int) -> list[date]:
    fixed = [date(year, 7, 4), date(year, 12, 25)] + ([date(year, 6, 19)] if year >= JUNETEENTH_SINCE else [])
    new_year = date(year, 1, 1)
    return [
        *(_observed(day) for day in fixed),
        # On a Saturday it is not observed: the last day of a year is for its closing of accounts.
        *([] if new_year.weekday() == 5 else [_observed(new_year)]),
        _nth(year, 1, MONDAY, 3),
        _nth(year, 2, MONDAY, 3),
        _easter(year) - timedelta(days=2),
        _nth(year, 6, MONDAY, 1) - timedelta(days=7),
        _nth(year, 9, MONDAY, 1),
        _nth(year, 11, THURSDAY, 4),
    ]


def _observed(day: date) -> date:
    """The Friday before a Saturday, the Monday after a Sunday."""
    return day + timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0))


def _nth(year: int, month: int, weekday: int, count: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (count - 1))


def _easter(year: int) -> date:
    """Easter Sunday by the Gregorian computus (Meeus, Astronomical Algorithms, 2nd ed., 1998, chapter 8)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    j = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * j) // 451
    month, day = divmod(h + j - 7 * m + 114, 31)
    return date(year, month, day + 1)


def _month_after(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
