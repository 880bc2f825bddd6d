"""Whole months: the unit of partitions, runs and writes."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.types import MonthRange, add_months
from tests.unit.properties import PROPERTY

MONTHS = st.dates(date(1900, 1, 1), date(2200, 12, 31)).map(lambda day: day.replace(day=1))


@pytest.mark.parametrize(
    ("month", "months", "expected"),
    [
        (date(2022, 12, 1), 1, date(2023, 1, 1)),
        (date(2022, 1, 1), -1, date(2021, 12, 1)),
        (date(2022, 1, 1), 0, date(2022, 1, 1)),
        (date(2022, 3, 1), -15, date(2020, 12, 1)),
        (date(2022, 3, 31), 11, date(2023, 2, 1)),
    ],
    ids=str,
)
def test_adding_months_gives_the_first_day_of_a_month(month: date, months: int, expected: date) -> None:
    assert add_months(month, months) == expected


@PROPERTY
@given(MONTHS, st.integers(-500, 500), st.integers(-500, 500))
def test_adding_months_adds_up(month: date, one: int, other: int) -> None:
    assert add_months(add_months(month, one), other) == add_months(month, one + other)
    assert add_months(add_months(month, one), -one) == month


@PROPERTY
@given(MONTHS)
def test_the_next_month_begins_after_the_last_day_of_this_one(month: date) -> None:
    following = add_months(month, 1)
    assert following.day == 1
    assert (following - timedelta(days=1)).month == month.month
    assert 28 <= (following - month).days <= 31


@PROPERTY
@given(MONTHS, st.integers(0, 60))
def test_a_range_holds_each_of_its_months_once(first: date, more: int) -> None:
    months = list(MonthRange(first, add_months(first, more)).months())
    assert months == [add_months(first, number) for number in range(more + 1)]


def test_a_range_ends_with_the_day_after_its_last_month() -> None:
    months = MonthRange(date(2022, 11, 1), date(2022, 12, 1))
    assert months.end == date(2023, 1, 1)
    assert months.back(0) == date(2022, 11, 1)
    assert months.back(24) == date(2020, 11, 1)


@pytest.mark.parametrize(
    ("first", "last"), [(date(2022, 1, 2), date(2022, 2, 1)), (date(2022, 1, 1), date(2022, 2, 28))]
)
def test_days_inside_a_month_are_refused(first: date, last: date) -> None:
    with pytest.raises(ValueError, match=f"first days of months, not {first} and {last}"):
        MonthRange(first, last)


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ends \(2022-01-01\) before it begins \(2022-02-01\)"):
        MonthRange(date(2022, 2, 1), date(2022, 1, 1))


SESSIONS = np.array(["2022-04-29", "2022-05-02", "2022-05-31", "2022-06-01", "2022-08-01"], dtype="datetime64[D]")


@pytest.mark.parametrize(
    ("first", "last", "inside"),
    [
        (date(2022, 5, 1), date(2022, 5, 1), ["2022-05-02", "2022-05-31"]),
        (date(2022, 5, 1), date(2022, 6, 1), ["2022-05-02", "2022-05-31", "2022-06-01"]),
        (date(2022, 7, 1), date(2022, 7, 1), []),
        (date(2020, 1, 1), date(2021, 1, 1), []),
        (date(2020, 1, 1), date(2030, 1, 1), SESSIONS.astype(str).tolist()),
    ],
    ids=str,
)
def test_rows_of_a_range_are_its_sessions(first: date, last: date, inside: list[str]) -> None:
    assert SESSIONS[MonthRange(first, last).rows_of(SESSIONS)].astype(str).tolist() == inside
