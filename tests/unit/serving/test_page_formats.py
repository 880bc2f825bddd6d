"""Numbers as the pages write them, and the ticks of their axes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.pages import formats
from serving.pages.scales import date_ticks, decimals_of, span_of, ticks


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (formats.percent(0.12345), "12.3\u202f%"),
        (formats.percent(-0.00001), "0.0\u202f%"),
        (formats.percent(-0.25), "−25.0\u202f%"),
        (formats.percent(None), "–"),
        (formats.percent(float("nan")), "–"),
        (formats.ratio(-1.234), "−1.23"),
        (formats.money(1234.5, "USD"), "1,234.50\u202fUSD"),
        (formats.money(12_345_678.9), "12,345,679"),
        (formats.by_unit(0.5, "fraction of value, positive loss"), "50.0\u202f%"),
        (formats.by_unit(0.5, "ratio"), "0.50"),
        (formats.exact(252.0), "252"),
        (formats.exact(0.1 + 0.2), "0.30000000000000004"),
        (formats.rounded(0.97869308705), "0.978693"),
        (formats.rounded(-12.261249373), "−12.2612"),
        (formats.rounded(123_456_789.0), "123,456,789"),
        (formats.rounded(500.0), "500"),
        (formats.rounded(None), "–"),
        (formats.count(1234567), "1,234,567"),
        (formats.words("ltcm_russia_1998"), "LTCM russia 1998"),
        (formats.moment(date(2022, 12, 28)), "2022-12-28"),
        (formats.moment(datetime(2022, 12, 28, 1, tzinfo=timezone(timedelta(hours=2)))), "2022-12-27 23:00:00Z"),
        (formats.moment(datetime(2022, 12, 28, tzinfo=UTC)), "2022-12-28 00:00:00Z"),
        (formats.moment(None), "–"),
    ],
)
def test_numbers_are_written_one_way(written: str, expected: str) -> None:
    assert written == expected


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(3, 8))
def test_ticks_lie_inside_and_are_even(low: float, width: float, most: int) -> None:
    high = low + width
    found = ticks(low, high, most)
    slack = (high - low) * 1e-6 + abs(low) * 1e-9
    assert 1 <= len(found) <= max(most, 2)
    assert all(low - slack <= tick <= high + slack for tick in found)


def test_ticks_are_round() -> None:
    assert ticks(-0.7, 4.3, 6) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert decimals_of([0.0, 0.25, 0.5]) == 2


@given(st.dates(date(1950, 1, 1), date(2100, 1, 1)), st.integers(40, 40_000))
def test_date_ticks_are_first_days_inside(first: date, days: int) -> None:
    last = first + timedelta(days=days)
    found = date_ticks(first, last, 6)
    assert 1 <= len(found) <= 7
    assert all(first <= day <= last and day.day == 1 for day in found)


def test_a_span_leaves_out_what_is_not_a_number() -> None:
    assert span_of([float("nan"), 1.0, float("inf"), 3.0]) == (1.0, 3.0)
    assert span_of([]) == (0.0, 1.0)
