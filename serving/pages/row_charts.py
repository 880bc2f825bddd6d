"""Charts whose rows have names: horizontal bars, and distributions one under the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from serving.pages.drawing import (
    BOTTOM,
    MOST_X_TICKS,
    NAME_WIDTH,
    RIGHT,
    ROW_HEIGHT,
    TOP,
    VALUE_WIDTH,
    WIDTH,
    Format,
    diamond,
    empty_chart,
    legend,
    picture,
    rows_of_legend,
    shortened,
)
from serving.pages.formats import percent
from serving.pages.scales import Scale, decimals_of, span_of, ticks


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a bar chart.

    Parameters
    ----------
    name
        On the left.
    value
        Length of the bar; None where there is none.
    point
        A second figure of the row, marked by a diamond.
    """

    name: str
    value: float | None
    point: float | None = None


@dataclass(frozen=True, slots=True)
class BarChart:
    """Horizontal bars, the first on top.

    Parameters
    ----------
    point_name
        What the diamonds mean; empty without any.
    """

    title: str
    bars: Sequence[Bar]
    form: Format = percent
    value_name: str = ""
    point_name: str = ""
    decimals: int = 1

    def svg(self) -> str:
        """The chart; a sentence in its place without a value."""
        known = [v for bar in self.bars for v in (bar.value, bar.point) if v is not None and math.isfinite(v)]
        if not known:
            return empty_chart(self.title)
        across = Scale(*span_of(known, (0.0,)), NAME_WIDTH, WIDTH - VALUE_WIDTH)
        height = TOP + ROW_HEIGHT * len(self.bars) + 6
        zero = across(0.0)
        parts = [f'<path class="zero" d="M{zero:.1f} {TOP - 4}V{height - 4}"/>']
        parts += [self._row(bar, TOP + ROW_HEIGHT * row, across) for row, bar in enumerate(self.bars)]
        entries = [("bar loss", self.value_name), ("point", self.point_name)] if self.point_name else []
        parts.append(legend(entries, height + 12))
        return picture(self.title, height + 22 * rows_of_legend(entries), "".join(parts))

    def _row(self, bar: Bar, top: float, across: Scale) -> str:
        middle = top + ROW_HEIGHT / 2
        parts = [f'<text class="name" x="{NAME_WIDTH - 8}" y="{middle + 4:.1f}">{escape(shortened(bar.name))}</text>']
        if bar.value is None or not math.isfinite(bar.value):
            parts.append(f'<text class="value" x="{WIDTH - 4}" y="{middle + 4:.1f}">–</text>')
            return "".join(parts)
        text = self.form(bar.value, self.decimals)
        left, right = sorted((across(0.0), across(bar.value)))
        tone = "loss" if bar.value < 0.0 else "a"
        parts.append(
            f'<rect class="bar {tone}" x="{left:.1f}" y="{top + 5:.1f}" width="{max(right - left, 0.5):.1f}"'
            f' height="{ROW_HEIGHT - 10}"><title>{escape(bar.name)}: {text}</title></rect>'
        )
        if bar.point is not None and math.isfinite(bar.point):
            told = f"{bar.name}: {self.point_name} {self.form(bar.point, self.decimals)}"
            parts.append(diamond(across(bar.point), middle, told, "point"))
        parts.append(f'<text class="value" x="{WIDTH - 4}" y="{middle + 4:.1f}">{text}</text>')
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Interval:
    """A distribution by five quantiles, ascending."""

    name: str
    lowest: float
    low: float
    middle: float
    high: float
    highest: float


@dataclass(frozen=True, slots=True)
class IntervalChart:
    """Distributions one under the other: a line for the outer quantiles, a box for the inner ones."""

    title: str
    intervals: Sequence[Interval]
    form: Format = percent
    row_height: float = 44.0

    def svg(self) -> str:
        """The chart; a sentence in its place without a distribution."""
        if not self.intervals:
            return empty_chart(self.title)
        ends = [end for i in self.intervals for end in (i.lowest, i.highest)]
        low, high = span_of(ends, (0.0,))
        across = Scale(low, high, NAME_WIDTH, WIDTH - RIGHT - 16)
        bottom = TOP + self.row_height * len(self.intervals)
        parts = []
        places = ticks(low * 100.0, high * 100.0, MOST_X_TICKS)
        for place in places:
            x = across(place / 100.0)
            kind = "zero" if place == 0.0 else "grid"
            parts.append(f'<path class="{kind}" d="M{x:.1f} {TOP}V{bottom}"/>')
            label = self.form(place / 100.0, decimals_of(places))
            parts.append(f'<text class="x" x="{x:.1f}" y="{bottom + 20}">{label}</text>')
        tops = [TOP + self.row_height * row for row in range(len(self.intervals))]
        parts += [self._row(interval, top, across) for interval, top in zip(self.intervals, tops, strict=True)]
        return picture(self.title, bottom + BOTTOM, "".join(parts))

    def _row(self, interval: Interval, top: float, across: Scale) -> str:
        middle = top + self.row_height / 2.0
        left, right = across(interval.low), across(interval.high)
        told = (
            f"{interval.name}: 5 % {self.form(interval.lowest, 1)}, 25 % {self.form(interval.low, 1)},"
            f" 50 % {self.form(interval.middle, 1)}, 75 % {self.form(interval.high, 1)},"
            f" 95 % {self.form(interval.highest, 1)}"
        )
        return (
            f'<g><title>{escape(told)}</title><text class="name" x="{NAME_WIDTH - 8}" y="{middle + 4:.1f}">'
            f"{escape(shortened(interval.name))}</text>"
            f'<path class="line a" d="M{across(interval.lowest):.1f} {middle:.1f}H{across(interval.highest):.1f}"/>'
            f'<rect class="bar a" x="{left:.1f}" y="{middle - 9:.1f}" width="{right - left:.1f}" height="18"/>'
            f'<path class="median" d="M{across(interval.middle):.1f} {middle - 13:.1f}v26"/></g>'
        )
