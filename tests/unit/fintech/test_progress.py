"""What a user sees of a run: lines without a terminal, one line that is redrawn on a terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from fintech.progress import BarDisplay, Display, LineDisplay, Pace, progress_display


@pytest.fixture
def time_line() -> list[float]:
    """The seconds that a pace reads; the last one counts."""
    return [100.0]


@pytest.fixture
def pace(time_line: list[float]) -> Pace:
    return Pace(clock=lambda: time_line[-1])


def printed(run: Callable[[Display], None], *, width: int, terminal: bool, pace: Pace | None = None) -> str:
    """What a display writes to a console of that width, colours and cursor movements taken out."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=width, _environ={"TERM": "xterm"})
    if pace is not None:
        run(LineDisplay(console, pace))
    else:
        with progress_display(console) as display:
            run(display)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.getvalue())


def test_a_pace_says_nothing_before_it_knows(pace: Pace, time_line: list[float]) -> None:
    pace.begin(100, 100.0)
    assert pace.remaining() == ""
    time_line.append(110.0)
    pace.advance(20, 20.0)
    assert pace.remaining() == ""


def test_a_pace_extrapolates_by_work_not_by_count(pace: Pace, time_line: list[float]) -> None:
    """Half of the partitions in 10 s, but one ninth of the work: 80 s are left, not 10."""
    pace.begin(100, 450.0)
    time_line.append(110.0)
    pace.advance(50, 50.0)
    assert pace.remaining() == "about 80 s left"


def test_an_estimate_counts_down_until_the_next_one_and_never_below_a_second(
    pace: Pace, time_line: list[float]
) -> None:
    pace.begin(100, 100.0)
    time_line.append(110.0)
    pace.advance(50, 50.0)
    shown = []
    for now in (110.0, 117.0, 119.9, 500.0):
        time_line.append(now)
        shown.append(pace.remaining())
    assert shown == ["about 10 s left", "about 3 s left", "about 1 s left", "about 1 s left"]


def test_a_new_total_moves_the_estimate(pace: Pace, time_line: list[float]) -> None:
    pace.begin(100, 100.0)
    time_line.append(110.0)
    pace.advance(50, 50.0)
    pace.begin(200, 200.0)
    assert pace.remaining() == "about 30 s left"


def test_no_time_is_left_when_all_is_done(pace: Pace, time_line: list[float]) -> None:
    pace.begin(100, 100.0)
    time_line.append(110.0)
    pace.advance(100, 100.0)
    assert pace.remaining() == ""


def test_lines_tell_done_total_time_estimate_and_failures(pace: Pace, time_line: list[float]) -> None:
    def run(display: Display) -> None:
        display.begin("market_data: prices", 100, 100.0)
        time_line.append(105.0)
        display.advance(50, 50.0, 0)
        display.begin("risk: instrument_risk", 100, 100.0)
        time_line.append(109.0)
        display.advance(90, 90.0, 2)

    assert printed(run, width=80, terminal=False, pace=pace).splitlines() == [
        "market_data: prices ...",
        "  50/100 partitions, 5 s, about 5 s left",
        "risk: instrument_risk ...",
        "  90/100 partitions, 9 s, about 1 s left, 2 checks failed",
    ]


def test_lines_come_once_a_tenth(pace: Pace) -> None:
    def run(display: Display) -> None:
        display.begin("work", 1000, 1000.0)
        for done in range(1001):
            display.advance(done, float(done), 0)

    lines = printed(run, width=80, terminal=False, pace=pace).splitlines()
    assert len(lines) == 1 + 11
    assert [line.split("/")[0].strip() for line in lines[1:3]] == ["0", "100"]


def test_lines_are_not_wrapped_at_a_width(pace: Pace) -> None:
    lines = printed(lambda d: d.begin("forecast: " + "asset, " * 30, 1, 1.0), width=40, terminal=False, pace=pace)
    assert len(lines.splitlines()) == 1


def test_without_a_terminal_the_display_is_lines() -> None:
    text = printed(lambda display: display.begin("market_data: instruments", 1, 1.0), width=80, terminal=False)
    assert text == "market_data: instruments ...\n"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_bar_is_one_line_that_keeps_count_and_time(width: int) -> None:
    def run(display: Display) -> None:
        assert isinstance(display, BarDisplay)
        display.begin("forecast: volatility_forecast, quantile_forecast", 3102, 6000.0)
        display.advance(1773, 1773.0, 3)

    frames = [line for line in re.split(r"[\r\n]", printed(run, width=width, terminal=True)) if line.strip()]
    last = frames[-1]
    assert "1773/3102" in last
    assert "3 checks failed" in last
    assert "left" in last
    assert all(len(frame.rstrip()) <= width for frame in frames)
    assert ("volatility_forecast, quantile_forecast" in last) == (width == 120)
