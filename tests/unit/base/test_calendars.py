"""Sessions of the New York exchange against days that history settled."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from pipeline.base.calendars import sessions_between


def is_session(day: date) -> bool:
    return len(sessions_between(day, day + timedelta(days=1))) == 1


@pytest.mark.parametrize(
    "day",
    [
        date(2022, 12, 26),  # Christmas fell on a Sunday
        date(2022, 6, 20),  # Juneteenth, kept since 2022
        date(2018, 12, 5),  # mourning for George H. W. Bush
        date(2012, 10, 29),  # hurricane Sandy
        date(2012, 10, 30),
        date(2001, 9, 11),
        date(2001, 9, 12),
        date(2001, 9, 13),
        date(2001, 9, 14),
        date(1985, 9, 27),  # hurricane Gloria
        date(1977, 7, 14),  # blackout of New York
        date(2022, 5, 7),  # a Saturday
    ],
    ids=str,
)
def test_days_on_which_the_exchange_was_closed(day: date) -> None:
    assert not is_session(day)


@pytest.mark.parametrize(
    "day",
    [
        date(2001, 9, 10),
        date(2001, 9, 17),
        date(1987, 10, 19),
        date(2021, 6, 18),  # Juneteenth was not kept yet
        date(2022, 11, 25),  # half a day is a session
        date(1970, 1, 2),
    ],
    ids=str,
)
def test_days_on_which_it_was_open(day: date) -> None:
    assert is_session(day)


@pytest.mark.parametrize(
    ("year", "count"), [(1990, 253), (2001, 248), (2008, 253), (2020, 253), (2021, 252), (2022, 251)]
)
def test_a_year_has_as_many_sessions_as_the_exchange_held(year: int, count: int) -> None:
    assert len(sessions_between(date(year, 1, 1), date(year + 1, 1, 1))) == count


def test_sessions_are_sorted_days_without_repeats() -> None:
    sessions = sessions_between(date(1990, 1, 1), date(2023, 1, 1))
    assert sessions.dtype == np.dtype("datetime64[D]")
    assert (np.diff(sessions).astype(int) > 0).all()
    assert np.is_busday(sessions).all()


def test_the_first_day_is_included_and_the_end_is_not() -> None:
    sessions = sessions_between(date(2022, 5, 2), date(2022, 5, 4))
    assert sessions.astype(str).tolist() == ["2022-05-02", "2022-05-03"]


def test_neighbouring_spans_make_one_span() -> None:
    start, middle, end = date(2000, 1, 1), date(2011, 7, 4), date(2022, 12, 29)
    parts = [sessions_between(start, middle), sessions_between(middle, end)]
    np.testing.assert_array_equal(np.concatenate(parts), sessions_between(start, end))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (date(2022, 5, 2), date(2022, 5, 2)),
        (date(2022, 5, 4), date(2022, 5, 2)),
        (date(1, 1, 1), date(1970, 1, 1)),
        (date(2262, 1, 1), date(9999, 12, 31)),
    ],
    ids=str,
)
def test_an_empty_span_or_one_outside_the_known_years_has_no_session(start: date, end: date) -> None:
    assert len(sessions_between(start, end)) == 0


def test_spans_may_reach_beyond_the_known_years() -> None:
    assert sessions_between(date(1, 1, 1), date(1970, 1, 6)).astype(str).tolist() == ["1970-01-02", "1970-01-05"]
    assert sessions_between(date(2022, 12, 30), date(9999, 12, 31))[0] == np.datetime64("2022-12-30")


def test_what_a_caller_does_to_the_answer_stays_with_the_caller() -> None:
    span = (date(2022, 5, 2), date(2022, 5, 4))
    sessions_between(*span)[:] = np.datetime64("1999-01-01")
    assert sessions_between(*span)[0] == np.datetime64("2022-05-02")


def test_another_exchange_has_other_sessions() -> None:
    thanksgiving = (date(2022, 11, 24), date(2022, 11, 25))
    assert len(sessions_between(*thanksgiving)) == 0
    assert len(sessions_between(*thanksgiving, exchange="XLON")) == 1
