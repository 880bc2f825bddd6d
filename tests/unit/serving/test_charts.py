"""Charts are well-formed, escape what they are given, and put values where they belong."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from serving.pages.chart_tables import table_of
from serving.pages.charts import MOST_POINTS, Band, Bars, Line, Span, TimeChart, thinned
from serving.pages.drawing import HEIGHT, LEFT, NAME_WIDTH, RIGHT, TOP, WIDTH, number, printed, standalone
from serving.pages.fan_chart import FanChart
from serving.pages.row_charts import Bar, BarChart, Interval, IntervalChart

DAYS = np.arange("2022-01-01", "2022-01-11", dtype="datetime64[D]")
EVIL = "<script>\"&'"


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def by_class(svg: str, name: str) -> list[ElementTree.Element]:
    return [node for node in parsed(svg).iter() if node.get("class") == name]


def numbers(path: str) -> list[float]:
    return [float(text) for text in re.findall(r"-?[0-9.]+", path)]


def test_a_line_reaches_the_corners_of_the_plot() -> None:
    svg = TimeChart("rise", DAYS, [Line("x", np.linspace(1.0, 2.0, 10))], number).svg()
    (line,) = by_class(svg, "line a")
    found = numbers(line.get("d", ""))
    assert found[0] == LEFT
    assert found[-2:] == [WIDTH - RIGHT, TOP]


def test_a_line_is_broken_where_a_value_is_missing() -> None:
    values = np.array([1, 2, np.nan, 3, 4, 5, 6, np.nan, np.nan, 7], dtype=float)
    (line,) = by_class(TimeChart("gaps", DAYS, [Line("x", values)]).svg(), "line a")
    assert line.get("d", "").count("M") == 3
    assert "nan" not in line.get("d", "")


def test_marks_stand_at_the_values_that_are_marked() -> None:
    values = np.array([0.01, -0.05, 0.02, 0, 0, 0, 0, -0.06, 0, 0.01])
    marked = values < -0.04
    svg = TimeChart("pnl", DAYS, [Bars("return", values, "muted", marked, "exception")]).svg()
    told = [node.findtext("title") for node in by_class(svg, "mark")]
    assert told[:2] == ["2022-01-02: −5.0\u202f%", "2022-01-08: −6.0\u202f%"]
    assert len(told) == 3  # the third is the legend's sample
    assert [node.text for node in by_class(svg, "legend")] == ["return", "exception"]


def test_the_surface_of_a_band_goes_there_and_back() -> None:
    (band,) = by_class(TimeChart("band", DAYS, [Band("b", np.zeros(10), np.ones(10))]).svg(), "band a")
    assert band.get("d", "").count("L") == 19


def test_bars_grow_from_zero_to_either_side() -> None:
    svg = BarChart("parts", [Bar("up", 0.2), Bar("down", -0.1)]).svg()
    (up,), (down,) = by_class(svg, "bar a"), by_class(svg, "bar loss")
    zero = float(up.get("x", ""))
    assert float(down.get("x", "")) + float(down.get("width", "")) == pytest.approx(zero, abs=0.11)
    assert float(down.get("x", "")) == pytest.approx(NAME_WIDTH)
    assert float(up.get("width", "")) == pytest.approx(2 * float(down.get("width", "")), abs=0.2)


def test_a_missing_bar_is_a_dash() -> None:
    svg = BarChart("parts", [Bar("known", 0.2), Bar("unknown", None)]).svg()
    assert [node.text for node in by_class(svg, "value")] == ["20.0\u202f%", "–"]


def test_an_interval_keeps_the_order_of_its_quantiles() -> None:
    svg = IntervalChart("fan", [Interval("m", -0.2, -0.1, 0.0, 0.1, 0.2)]).svg()
    (box,), (line,), (median,) = by_class(svg, "bar a"), by_class(svg, "line a"), by_class(svg, "median")
    left, right = numbers(line.get("d", ""))[0], numbers(line.get("d", ""))[-1]
    low = float(box.get("x", ""))
    assert left < low < numbers(median.get("d", ""))[0] < low + float(box.get("width", "")) < right


@pytest.mark.parametrize(
    "svg",
    [
        TimeChart(EVIL, DAYS, [Line(EVIL, np.ones(10)), Line(EVIL, np.ones(10), "b")]).svg(),
        TimeChart(EVIL, DAYS[:0], []).svg(),
        BarChart(EVIL, [Bar(EVIL, 1.0, 2.0)], value_name=EVIL, point_name=EVIL).svg(),
        BarChart(EVIL, []).svg(),
        IntervalChart(EVIL, [Interval(EVIL, 0.0, 0.1, 0.2, 0.3, 0.4)]).svg(),
    ],
    ids=["time", "no time", "bars", "no bars", "intervals"],
)
def test_names_are_escaped_and_nothing_needs_an_inline_style(svg: str) -> None:
    assert parsed(svg).get("aria-label") == EVIL
    assert "<script" not in svg
    assert "style=" not in svg


@pytest.mark.parametrize("values", [np.full(10, np.nan), np.empty(0)], ids=["unknown", "none"])
def test_a_chart_without_data_says_so(values: np.ndarray) -> None:
    svg = TimeChart("wealth", DAYS[: len(values)], [Line("x", values)]).svg()
    assert [node.text for node in by_class(svg, "none")] == ["No data yet: wealth"]


@pytest.mark.parametrize("level", [0.0, 5.0, -3.0])
def test_equal_values_still_have_an_axis(level: float) -> None:
    (line,) = by_class(TimeChart("flat", DAYS, [Line("x", np.full(10, level))]).svg(), "line a")
    assert all(TOP < y < HEIGHT for y in numbers(line.get("d", ""))[1::2])


def test_thinning_keeps_extremes_ends_and_size() -> None:
    values = np.random.default_rng(1).normal(size=8_316)
    kept = thinned(values)
    assert len(kept) <= MOST_POINTS + 2
    assert {0, 8_315, int(values.argmin()), int(values.argmax())} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()
    assert thinned(values[:100]).tolist() == list(range(100))


def test_thinning_survives_a_stretch_without_values() -> None:
    values = np.r_[np.full(4_000, np.nan), np.ones(4_000)]
    assert np.isnan(values[thinned(values)]).any()


def test_a_chart_by_itself_is_a_whole_document() -> None:
    whole = parsed(standalone(TimeChart("x", DAYS, [Line("x", np.ones(10))]).svg()))
    assert whole.tag == "{http://www.w3.org/2000/svg}svg"
    style = whole.findtext("{http://www.w3.org/2000/svg}style")
    assert style is not None
    assert "prefers-color-scheme: dark" in style


def test_a_chart_tells_its_values_in_words_and_where_it_is_pointed_at() -> None:
    svg = TimeChart("rise", DAYS, [Line("x", np.linspace(1.0, 2.0, 10))], number).svg()
    assert parsed(svg).findtext("desc") == "x: 1.00 on 2022-01-01, 2.00 on 2022-01-10, lowest 1.00, highest 2.00."
    strips = by_class(svg, "hit")
    assert [strip.findtext("title") for strip in strips][::9] == ["2022-01-01: x 1.00", "2022-01-10: x 2.00"]
    assert sum(float(strip.get("width", "")) for strip in strips) == pytest.approx(WIDTH - LEFT - RIGHT, abs=1.0)


def test_a_span_covers_its_sessions() -> None:
    spans = [Span(3, 6, "1", "the fall")]
    svg = TimeChart("fall", DAYS, [Line("x", np.linspace(1.0, 2.0, 10))], number, spans).svg()
    (span,) = by_class(svg, "span")
    step = (WIDTH - LEFT - RIGHT) / 9
    assert float(span.get("x", "")) == pytest.approx(LEFT + 3 * step, abs=0.1)
    assert float(span.get("width", "")) == pytest.approx(3 * step, abs=0.1)
    assert span.findtext("title") == "the fall"


def test_the_table_of_a_chart_has_the_ends_of_its_periods() -> None:
    days = np.arange("2020-01-01", "2022-12-31", dtype="datetime64[D]")
    chart = TimeChart(
        "two",
        days,
        [Line("x", np.arange(len(days), dtype=float)), Band("b", -days.astype(float), days.astype(float))],
        number,
    )
    table = table_of(chart)
    assert table is not None
    assert table.heads == ["Session", "x", "b, low", "b, high"]
    assert [row[0] for row in table.rows][:2] == ["2020-01-31", "2020-02-29"]
    assert len(table.rows) == 36
    longer = np.arange("2010-06-01", "2022-12-31", dtype="datetime64[D]")
    years = table_of(TimeChart("long", longer, [Line("x", np.ones(len(longer)))], number))
    assert years is not None
    assert [row[0] for row in years.rows][::12] == ["2010-12-31", "2022-12-30"]


def test_a_number_of_a_table_leads_to_what_explains_it_and_a_missing_one_nowhere() -> None:
    values = np.where(DAYS[-1] == DAYS, np.nan, 1.0)
    chart = TimeChart("x", DAYS, [Line("known", np.ones(len(DAYS))), Line("gap", values), Line("bare", values)])
    table = table_of(chart, {"known": "/known/{}".format, "gap": "/gap/{}".format})
    assert table is not None
    row, day = len(table.rows) - 1, str(DAYS[-1])
    assert [table.link(row, column) for column in range(4)] == ["", f"/known/{day}", "", ""]
    bare = table_of(chart)
    assert bare is not None
    assert {bare.link(row, column) for column in range(4)} == {""}


def test_each_number_of_a_fan_leads_to_its_step_and_level() -> None:
    table = FanChart("fan", (21, 42), (0.05, 0.5), ((0.9, 1.0), (0.8, 1.1)), "/fan/{}/{}".format).drawn().table
    assert table is not None
    assert [list(row) for row in table.links] == [
        ["", "/fan/21/0.05", "/fan/21/0.5"],
        ["", "/fan/42/0.05", "/fan/42/0.5"],
    ]


def test_a_fan_opens_from_the_start_and_holds_its_quantiles_inside_each_other() -> None:
    drawn = FanChart(
        "fan", (21, 42), (0.05, 0.25, 0.5, 0.75, 0.95), ((0.9, 0.95, 1.0, 1.1, 1.2), (0.8, 0.9, 1.1, 1.2, 1.4))
    ).drawn()
    outer, inner = (numbers(node.get("d", "")) for node in by_class(drawn.svg, "band a") if node.tag == "path")
    assert outer[:2] == inner[:2] == [LEFT, pytest.approx(inner[1])]
    top, bottom = outer[5], outer[7]
    assert top < inner[5] < inner[7] < bottom
    assert top == TOP
    assert drawn.table is not None
    assert list(drawn.table.rows[-1]) == [
        "42",
        "−20.0\u202f%",
        "−10.0\u202f%",
        "10.0\u202f%",
        "20.0\u202f%",
        "40.0\u202f%",
    ]
    assert "after 42 sessions: 5 % −20.0" in drawn.svg


def test_a_fan_without_steps_says_so() -> None:
    assert "No data yet" in FanChart("fan", (), (0.5,), ()).drawn().svg


def test_a_printed_chart_names_every_colour_itself() -> None:
    whole = printed(TimeChart("x", DAYS, [Line("x", np.ones(10))]).svg())
    style = parsed(whole).findtext("{http://www.w3.org/2000/svg}style") or ""
    assert ".line.a" in style
    for unknown in ("var(", "@media", "currentColor", "transparent"):
        assert unknown not in style
