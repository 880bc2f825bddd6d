"""What an asset page shows: a line that always fits, figures that can be plotted, a schema that explains."""

from __future__ import annotations

import base64
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.orchestration.asset_page import (
    INLINE_MARKDOWN_LIMIT,
    SPARKLINE_MONTHS,
    column_schema,
    rounded,
    sparkline,
)
from pipeline.store.portfolio_risk import PORTFOLIO_RISK
from pipeline.store.prices import PRICE
from pipeline.store.tables import all_tables
from tests.unit.properties import PROPERTY

FINITE = st.floats(allow_nan=False, allow_infinity=False)
LONGEST_COLUMN = max((column.name for table in all_tables().tables.values() for column in table.columns), key=len)
LONGEST_CAPTION = f"mean {LONGEST_COLUMN} USD, 60 months to 2022-12"


def picture(values: list[float]) -> str:
    markdown = sparkline(values, LONGEST_CAPTION).value or ""
    assert len(markdown) < INLINE_MARKDOWN_LIMIT
    encoded = re.search(r"base64,([^)]*)\)", markdown)
    assert encoded
    return base64.b64decode(encoded[1]).decode()


def points(values: list[float]) -> list[tuple[float, float]]:
    listed = re.search(r"points='([^']*)'", picture(values))
    assert listed
    return [(float(x), float(y)) for x, y in (point.split(",") for point in listed[1].split(" "))]


# The line --------------------------------------------------------------------------------------------------


@PROPERTY
@given(st.lists(FINITE, min_size=SPARKLINE_MONTHS, max_size=SPARKLINE_MONTHS))
def test_any_sixty_numbers_fit_on_the_page_and_into_the_picture(values: list[float]) -> None:
    drawn = points(values)
    assert len(drawn) == SPARKLINE_MONTHS
    assert all(0 <= x <= 200 and 2 <= y <= 32 for x, y in drawn)
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)


@PROPERTY
@given(st.lists(FINITE, min_size=2, max_size=SPARKLINE_MONTHS))
def test_a_higher_value_is_never_drawn_lower(values: list[float]) -> None:
    by_value = sorted(zip(values, (y for _, y in points(values)), strict=True))
    heights = [-y for _, y in by_value]
    assert heights == sorted(heights)


def test_the_lowest_value_touches_the_floor_and_the_highest_the_ceiling() -> None:
    assert points([1.0, 3.0, 2.0]) == [(0, 32), (100, 2), (200, 17)]
    assert points([-3.0, -1.0]) == [(0, 32), (200, 2)]


@pytest.mark.parametrize("value", [0.0, -5.5, 1e308, 5e-324])
def test_a_constant_is_a_flat_line(value: float) -> None:
    assert {y for _, y in points([value] * 60)} == {32}


def test_huge_values_of_both_signs_are_drawn() -> None:
    assert points([-1.7e308, 0.0, 1.7e308]) == [(0, 32), (100, 17), (200, 2)]


@pytest.mark.parametrize("values", [[], [1.0]])
def test_fewer_than_two_values_make_no_line(values: list[float]) -> None:
    assert sparkline(values, "prices").value == "prices: not enough rows for a line"


def test_the_text_names_what_is_drawn_and_its_range() -> None:
    text = sparkline([0.123456, 2.0, -7.0], "mean return").value or ""
    assert text.startswith("![mean return](data:image/svg+xml;base64,")
    assert text.endswith("  \nmean return: -7 to 2")


# Figures ---------------------------------------------------------------------------------------------------


def test_figures_have_four_significant_digits() -> None:
    given_figures = {"a": 123_456.0, "b": 0.000123456, "c": -1.99999, "d": 0.0, "e": 3.0}
    assert rounded(given_figures) == {"a": 123_500.0, "b": 0.0001235, "c": -2.0, "d": 0.0, "e": 3.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_no_number_is_left_out(value: float) -> None:
    assert rounded({"bad": value, "good": 1.0}) == {"good": 1.0}


@PROPERTY
@given(FINITE.filter(lambda value: abs(value) < 1e300))
def test_rounding_stays_within_half_a_unit_of_the_fourth_digit(value: float) -> None:
    assert rounded({"x": value})["x"] == pytest.approx(value, rel=5.01e-4, abs=5e-324)


# The schema ------------------------------------------------------------------------------------------------


def test_a_column_is_described_with_type_meaning_and_unit() -> None:
    [column] = [column for column in column_schema(PRICE).columns if column.name == "close_adjusted"]
    assert column.type == "double"
    assert column.description == (
        "The provider's own close, adjusted for splits and dividends. Unit: currency of the instrument."
    )
    assert column.constraints.nullable


def test_a_column_without_a_unit_says_what_it_means() -> None:
    [column] = [column for column in column_schema(PRICE).columns if column.name == "session"]
    assert (column.type, column.description) == ("date", "Exchange session (New York).")


def test_a_value_that_may_be_missing_says_so() -> None:
    nullable = {column.name: column.constraints.nullable for column in column_schema(PORTFOLIO_RISK).columns}
    assert nullable["var_99_1d"]
    assert not nullable["sessions_in_window"]
    assert list(nullable) == list(PORTFOLIO_RISK.columns.keys())
