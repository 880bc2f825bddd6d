"""When a figure of the bench holds its bar."""

from __future__ import annotations

import math

import pytest

from tests.load.__main__ import GROUPS, line_of
from tests.load.bars import BARS, Bar, bar_of, missed

LOW = Bar("run.total_s", 120.0, "at most", "")
HIGH = Bar("quality.spike_recall", 0.95, "at least", "")


@pytest.mark.parametrize(
    ("bar", "value", "verdict"),
    [
        (LOW, 119.9, "≤ 120 holds"),
        (LOW, 120.0, "≤ 120 holds"),
        (LOW, 120.1, "≤ 120 MISSED"),
        (LOW, math.nan, "≤ 120 MISSED"),
        (HIGH, 0.96, "≥ 0.95 holds"),
        (HIGH, 0.95, "≥ 0.95 holds"),
        (HIGH, 0.94, "≥ 0.95 MISSED"),
        (HIGH, math.nan, "≥ 0.95 MISSED"),
    ],
)
def test_the_bound_itself_holds(bar: Bar, value: float, verdict: str) -> None:
    assert bar.verdict(value) == verdict


def test_only_what_is_measured_can_be_missed() -> None:
    assert missed({}) == []
    measured = {"run.total_s": 121.0, "run.peak_mib": 400.0, "ingest.bars": 1e9}
    assert [bar.key for bar in missed(measured)] == ["run.total_s"]


def test_a_figure_is_printed_with_its_bar_if_it_has_one() -> None:
    assert line_of("run.total_s", 75.2).endswith("75.2  ≤ 120 holds")
    assert line_of("ingest.bars", 3.0).endswith(" 3")


def test_each_figure_has_one_bar_and_a_group_that_measures_it() -> None:
    assert len({bar.key for bar in BARS}) == len(BARS)
    assert {bar.key.partition(".")[0] for bar in BARS} <= {*GROUPS, "panel"}  # `ingest` measures the panel, too
    assert all(bar_of(bar.key) is bar for bar in BARS)
