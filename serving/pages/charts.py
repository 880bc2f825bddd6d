"""Charts as SVG text, made on the server: no script is needed, and the page's style sheet colours them.

Everything that is seen is a class, since the pages' policy allows no style attributes. `standalone` carries the style
sheet, for a chart that is an image of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.base.types import BoolArray, DateArray, FloatArray, IntArray
from serving.pages.formats import percent, ratio
from serving.pages.scales import Scale, date_label, date_ticks, decimals_of, span_of, ticks

STYLE_SHEET = Path(__file__).parent / "static" / "charts.css"

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 70, 14, 12, 34
NAME_WIDTH, VALUE_WIDTH, ROW_HEIGHT, MOST_LETTERS = 196, 84, 26, 22
"""Of bar charts: the names on the left, the values on the right, each row, and the letters that a name may have."""

MOST_POINTS = 500
"""Of a line: about one a pixel."""

MOST_X_TICKS, MOST_Y_TICKS = 6, 6
Tone = Literal["a", "b", "c", "loss", "muted"]
Format = Callable[[float, int], str]


@dataclass(frozen=True, slots=True)
class Line:
    """A line.

    Parameters
    ----------
    name
        For the legend.
    values
        (n,) NaN where there is none.
    tone
        Its colour.
    is_filled
        Whether the surface between it and zero is shaded.
    """

    name: str
    values: FloatArray
    tone: Tone = "a"
    is_filled: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """A surface between two lines, (n,) each."""

    name: str
    low: FloatArray
    high: FloatArray
    tone: Tone = "a"


@dataclass(frozen=True, slots=True)
class Bars:
    """A thin bar from zero to each value; those of `marked`, (n,), carry a diamond."""

    name: str
    values: FloatArray
    tone: Tone = "muted"
    marked: BoolArray | None = None
    marked_name: str = ""


Layer = Line | Band | Bars


@dataclass(frozen=True, slots=True)
class TimeChart:
    """Layers over time, the first one at the back.

    Parameters
    ----------
    title
        What a reader who sees no picture is told first.
    sessions
        (n,) ascending.
    layers
        With n values each.
    form
        How a value is written, with so many decimals.
    """

    title: str
    sessions: DateArray
    layers: Sequence[Layer]
    form: Format = percent

    def svg(self) -> str:
        """The chart; a sentence in its place if there are no two sessions with a value."""
        values = [value for layer in self.layers for value in _values(layer)]
        if len(self.sessions) < 2 or not any(math.isfinite(value) for value in values):
            return empty_chart(self.title)
        days = self.sessions.astype(np.int64).astype(np.float64)
        base = (0.0,) if any(isinstance(o, Bars) or (isinstance(o, Line) and o.is_filled) for o in self.layers) else ()
        low, high = span_of(values, base)
        across = Scale(float(days[0]), float(days[-1]), LEFT, WIDTH - RIGHT)
        legend_rows = _legend_rows(self._entries)
        height = HEIGHT + (22 * legend_rows + 4 if legend_rows else 0)
        up = Scale(low, high, HEIGHT - BOTTOM, TOP)
        parts = [self._grid(up, low, high), self._dates(across)]
        parts += [_drawn(layer, days, across, up, self.sessions, self.form) for layer in self.layers]
        parts.append(_legend(self._entries))
        return _svg(self.title, height, "".join(parts))

    @property
    def _entries(self) -> list[tuple[str, str]]:
        """Class and text of each entry of the legend; none where there is one layer that needs no name."""
        found = []
        for layer in self.layers:
            kind = type(layer).__name__.lower()
            found.append((f"{kind} {layer.tone}", layer.name))
            if isinstance(layer, Bars) and layer.marked is not None:
                found.append(("mark", layer.marked_name))
        return found if len(found) > 1 else []

    def _grid(self, up: Scale, low: float, high: float) -> str:
        scaled = self.form is percent
        places = ticks(low * 100.0, high * 100.0, MOST_Y_TICKS) if scaled else ticks(low, high, MOST_Y_TICKS)
        decimals = decimals_of(places)
        parts = []
        for place in places:
            value = place / 100.0 if scaled else place
            y = up(value)
            kind = "zero" if value == 0.0 else "grid"
            parts.append(f'<path class="{kind}" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
            parts.append(f'<text class="y" x="{LEFT - 8}" y="{y + 4:.1f}">{self.form(value, decimals)}</text>')
        return "".join(parts)

    def _dates(self, across: Scale) -> str:
        first, last = self.sessions[0].astype(date), self.sessions[-1].astype(date)
        parts = []
        for day in date_ticks(first, last, MOST_X_TICKS):
            x = across(float(np.datetime64(day, "D").astype(np.int64)))
            label = date_label(day, (last - first).days)
            parts.append(f'<path class="grid" d="M{x:.1f} {HEIGHT - BOTTOM}v5"/>')
            # A label at the edge would be cut.
            end = " end" if x > WIDTH - 40 else ""
            parts.append(f'<text class="x{end}" x="{x:.1f}" y="{HEIGHT - BOTTOM + 22}">{label}</text>')
        return "".join(parts)


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
        parts.append(_legend(entries, height + 12))
        return _svg(self.title, height + 22 * _legend_rows(entries), "".join(parts))

    def _row(self, bar: Bar, top: float, across: Scale) -> str:
        middle = top + ROW_HEIGHT / 2
        parts = [f'<text class="name" x="{NAME_WIDTH - 8}" y="{middle + 4:.1f}">{escape(_shortened(bar.name))}</text>']
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
            parts.append(_diamond(across(bar.point), middle, told, "point"))
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

    def svg(self) -> str:
        """The chart; a sentence in its place without a distribution."""
        if not self.intervals:
            return empty_chart(self.title)
        ends = [end for i in self.intervals for end in (i.lowest, i.highest)]
        low, high = span_of(ends, (0.0,))
        across = Scale(low, high, NAME_WIDTH, WIDTH - RIGHT - 16)
        bottom = TOP + 44 * len(self.intervals)
        parts = []
        places = ticks(low * 100.0, high * 100.0, MOST_X_TICKS)
        for place in places:
            x = across(place / 100.0)
            kind = "zero" if place == 0.0 else "grid"
            parts.append(f'<path class="{kind}" d="M{x:.1f} {TOP}V{bottom}"/>')
            label = self.form(place / 100.0, decimals_of(places))
            parts.append(f'<text class="x" x="{x:.1f}" y="{bottom + 20}">{label}</text>')
        parts += [self._row(interval, TOP + 44 * row, across) for row, interval in enumerate(self.intervals)]
        return _svg(self.title, bottom + BOTTOM, "".join(parts))

    def _row(self, interval: Interval, top: float, across: Scale) -> str:
        middle = top + 22
        left, right = across(interval.low), across(interval.high)
        told = (
            f"{interval.name}: 5 % {self.form(interval.lowest, 1)}, 25 % {self.form(interval.low, 1)},"
            f" 50 % {self.form(interval.middle, 1)}, 75 % {self.form(interval.high, 1)},"
            f" 95 % {self.form(interval.highest, 1)}"
        )
        return (
            f'<g><title>{escape(told)}</title><text class="name" x="{NAME_WIDTH - 8}" y="{middle + 4:.1f}">'
            f"{escape(_shortened(interval.name))}</text>"
            f'<path class="line a" d="M{across(interval.lowest):.1f} {middle:.1f}H{across(interval.highest):.1f}"/>'
            f'<rect class="bar a" x="{left:.1f}" y="{middle - 9:.1f}" width="{right - left:.1f}" height="18"/>'
            f'<path class="median" d="M{across(interval.middle):.1f} {middle - 13:.1f}v26"/></g>'
        )


def empty_chart(title: str) -> str:
    """What is shown in place of a chart without data."""
    return _svg(title, 60, f'<text class="none" x="{WIDTH / 2:.0f}" y="36">No data yet: {escape(title)}</text>')


def standalone(svg: str) -> str:
    """The chart as a document of its own, for an ``img``: with its style sheet, light or dark as the reader's."""
    head, body = svg.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{STYLE_SHEET.read_text()}</style>{body}'


def number(value: float, decimals: int) -> str:
    """A value without a unit, as a `Format`."""
    return ratio(value, decimals)


def thinned(values: FloatArray, most: int = MOST_POINTS) -> IntArray:
    """Positions that keep the look of a line: the lowest and the highest value of each of some stretches.

    Parameters
    ----------
    values
        (n,); NaN is kept where a stretch has nothing else.

    Returns
    -------
    IntArray
        Ascending, at most about `most`; the ends are among them.
    """
    count = len(values)
    if count <= most:
        return np.arange(count)
    edges = np.linspace(0, count, most // 2 + 1).astype(np.int64)
    kept = {0, count - 1}
    for first, last in pairwise(edges):
        part = values[first:last]
        if np.isnan(part).all():
            kept.add(int(first))
        else:
            kept |= {int(first + np.nanargmin(part)), int(first + np.nanargmax(part))}
    return np.array(sorted(kept))


def _values(layer: Layer) -> list[float]:
    arrays = (layer.low, layer.high) if isinstance(layer, Band) else (layer.values,)
    return [float(value) for array in arrays for value in array]


def _drawn(layer: Layer, days: FloatArray, across: Scale, up: Scale, sessions: DateArray, form: Format) -> str:
    if isinstance(layer, Band):
        return _drawn_band(layer, days, across, up)
    if isinstance(layer, Bars):
        return _drawn_bars(layer, days, across, up, sessions, form)
    kept = thinned(layer.values)
    path = _path(days[kept], layer.values[kept], across, up)
    filled = ""
    if layer.is_filled:
        known = kept[np.isfinite(layer.values[kept])]
        ends = f"M{across(days[known[0]]):.1f} {up(0.0):.1f}L", f"V{up(0.0):.1f}Z"
        points = "L".join(f"{across(days[i]):.1f} {up(layer.values[i]):.1f}" for i in known)
        filled = f'<path class="band {layer.tone}" d="{ends[0]}{points}{ends[1]}"/>'
    return f'{filled}<path class="line {layer.tone}" d="{path}"/>'


def _drawn_band(layer: Band, days: FloatArray, across: Scale, up: Scale) -> str:
    known = np.flatnonzero(np.isfinite(layer.low) & np.isfinite(layer.high))
    if len(known) > MOST_POINTS:
        known = known[np.linspace(0, len(known) - 1, MOST_POINTS).astype(np.int64)]
    there = [f"{across(days[i]):.1f} {up(layer.high[i]):.1f}" for i in known]
    back = [f"{across(days[i]):.1f} {up(layer.low[i]):.1f}" for i in known[::-1]]
    return f'<path class="band {layer.tone}" d="M{"L".join(there + back)}Z"/>' if there else ""


def _drawn_bars(layer: Bars, days: FloatArray, across: Scale, up: Scale, sessions: DateArray, form: Format) -> str:
    zero, known = up(0.0), np.flatnonzero(np.isfinite(layer.values))
    path = "".join(f"M{across(days[i]):.1f} {zero:.1f}V{up(layer.values[i]):.1f}" for i in known)
    parts = [f'<path class="bars {layer.tone}" d="{path}"/>']
    if layer.marked is not None:
        parts += [
            _diamond(across(days[i]), up(layer.values[i]), f"{sessions[i]}: {form(float(layer.values[i]), 1)}")
            for i in np.flatnonzero(layer.marked)
        ]
    return "".join(parts)


def _path(days: FloatArray, values: FloatArray, across: Scale, up: Scale) -> str:
    """A line that is broken where a value is missing."""
    parts, is_open = [], False
    for day, value in zip(days, values, strict=True):
        if not math.isfinite(value):
            is_open = False
            continue
        parts.append(f"{'L' if is_open else 'M'}{across(day):.1f} {up(value):.1f}")
        is_open = True
    return "".join(parts)


def _diamond(x: float, y: float, told: str, kind: str = "mark") -> str:
    return f'<path class="{kind}" d="M{x:.1f} {y - 6:.1f}l5 6l-5 6l-5 -6Z"><title>{escape(told)}</title></path>'


def _shortened(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"


def _legend_rows(entries: Sequence[tuple[str, str]]) -> int:
    return math.ceil(len(entries) / 2)


def _legend(entries: Sequence[tuple[str, str]], top: float = HEIGHT + 12) -> str:
    """Two entries a row, each with a sample of its mark."""
    parts = []
    for place, (kind, name) in enumerate(entries):
        x, y = LEFT - 50 + (place % 2) * 270, top + 22 * (place // 2)
        parts.append(_sample(kind, x, y) + f'<text class="legend" x="{x + 34}" y="{y + 4:.1f}">{escape(name)}</text>')
    return "".join(parts)


def _sample(kind: str, x: float, y: float) -> str:
    if kind in ("mark", "point"):
        return f'<path class="{kind}" d="M{x + 12:.1f} {y - 6:.1f}l5 6l-5 6l-5 -6Z"/>'
    if kind.startswith("line"):
        return f'<path class="{kind}" d="M{x:.1f} {y:.1f}h24"/>'
    if kind.startswith("bars"):
        return f'<path class="{kind}" d="M{x + 6:.1f} {y + 6:.1f}v-8m6 8v-12m6 12v-6"/>'
    return f'<rect class="{kind}" x="{x:.1f}" y="{y - 6:.1f}" width="24" height="12"/>'


def _svg(title: str, height: float, content: str) -> str:
    return (
        f'<svg class="chart" role="img" aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {height:.0f}">{content}</svg>'
    )
