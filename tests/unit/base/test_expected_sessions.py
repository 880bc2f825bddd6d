"""The days that New York trades on, against the exchange's calendar, and which of them should be loaded."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.calendars import sessions_between
from pipeline.base.expected_sessions import (
    LOADED_BY_HOUR,
    expected_month_end,
    expected_session,
    last_session_up_to,
    sessions_after,
)
from pipeline.orchestration.automation import FRESH_EVERY_SESSION

FIRST, END = date(1998, 1, 1), date(2036, 1, 1)
SESSIONS = sessions_between(FIRST, END).astype(object).tolist()


def test_days_are_those_of_the_calendar() -> None:
    days = [FIRST + timedelta(days=number) for number in range(1, (END - FIRST).days)]
    found = [day for day in days if last_session_up_to(day) == day]
    assert found == [session for session in SESSIONS if session > FIRST]


@given(st.sampled_from(SESSIONS), st.sampled_from(SESSIONS))
def test_sessions_are_counted_as_the_calendar_does(first: date, last: date) -> None:
    assert sessions_after(first, last) == max(0, SESSIONS.index(last) - SESSIONS.index(first))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 11, 25, 20, 0, tzinfo=UTC), date(2026, 11, 24)),  # 15:00 in New York
        (datetime(2026, 11, 26, 1, 59, tzinfo=UTC), date(2026, 11, 24)),
        (datetime(2026, 11, 26, 2, 0, tzinfo=UTC), date(2026, 11, 25)),  # 21:00
        (datetime(2026, 11, 27, 12, 0, tzinfo=UTC), date(2026, 11, 25)),  # after Thanksgiving
        (datetime(2026, 7, 6, 12, 0, tzinfo=UTC), date(2026, 7, 2)),
        (datetime(2027, 1, 1, 12, 0, tzinfo=UTC), date(2026, 12, 31)),
    ],
)
def test_a_session_is_expected_from_its_deadline_on(moment: datetime, expected: date) -> None:
    assert expected_session(moment) == expected


def test_the_deadline_is_that_of_the_assets() -> None:
    assert FRESH_EVERY_SESSION.deadline_cron == f"0 {LOADED_BY_HOUR} * * 1-5"


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 11, 25, 20, 0, tzinfo=UTC), date(2026, 10, 30)),
        (datetime(2026, 10, 31, 1, 0, tzinfo=UTC), date(2026, 10, 30)),  # 21:00 on the last session
        (datetime(2026, 10, 31, 0, 0, tzinfo=UTC), date(2026, 9, 30)),
    ],
)
def test_a_month_is_over_with_its_last_session(moment: datetime, expected: date) -> None:
    assert expected_month_end(moment) == expected
