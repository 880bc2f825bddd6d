"""Charts over time as SVG text, made on the server: no script is needed, and the page's style sheet colours them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from itertools import pairwise

import numpy as np

from pipeline.base.types import BoolArray, DateArray, FloatArray, IntArray
from serving.pages.drawing import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MOST_X_TICKS,
    MOST_Y_TICKS,
    RIGHT,
    TOP,
    WIDTH,
    Format,
    Tone,
    description,
    diamond,
    empty_chart,
    legend,
    picture,
    rows_of_legend,
)
from serving.pages.formats import percent
from serving.pages.scales import Scale, date_label, date_ticks, decimals_of, span_of, ticks

MOST_POINTS = 500
"""Of a line: about one a pixel."""

MOST_TOLD = 60
"""Places of a chart that tell their values when pointed at."""


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
    """A surface between two lines, (n,) each; an inner one lies upon another, and looks darker."""

    name: str
    low: FloatArray
    high: FloatArray
    tone: Tone = "a"
    is_inner: bool = False


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
class Span:
    """A stretch of time that is set off, from one position among the sessions to another.

    Parameters
    ----------
    label
        A letter or two, shown on top.
    told
        What it tells when pointed at.
    """

    first: int
    last: int
    label: str
    told: str


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
    spans
        Behind the layers.
    """

    title: str
    sessions: DateArray
    layers: Sequence[Layer]
    form: Format = percent
    spans: Sequence[Span] = ()

    def svg(self) -> str:
        """The chart; a sentence in its place if there are no two sessions with a value."""
        values = [value for layer in self.layers for value in _values(layer)]
        if len(self.sessions) < 2 or not any(math.isfinite(value) for value in values):
            return empty_chart(self.title)
        days = self.sessions.astype(np.int64).astype(np.float64)
        base = (0.0,) if any(isinstance(o, Bars) or (isinstance(o, Line) and o.is_filled) for o in self.layers) else ()
        low, high = span_of(values, base)
        across = Scale(float(days[0]), float(days[-1]), LEFT, WIDTH - RIGHT)
        legend_rows = rows_of_legend(self._entries)
        height = HEIGHT + (22 * legend_rows + 4 if legend_rows else 0)
        up = Scale(low, high, HEIGHT - BOTTOM, TOP)
        parts = [description(self._summary), self._grid(up, low, high), self._dates(across)]
        parts += [_drawn_span(span, days, across) for span in self.spans]
        parts.append(self._told(days, across))
        parts += [_drawn(layer, days, across, up, self.sessions, self.form) for layer in self.layers]
        parts += [_span_label(span, days, across) for span in self.spans]
        parts.append(legend(self._entries))
        return picture(self.title, height, "".join(parts))

    @property
    def _entries(self) -> list[tuple[str, str]]:
        """Class and text of each entry of the legend; none where there is one layer that needs no name."""
        found = []
        for layer in self.layers:
            inner = " inner" if isinstance(layer, Band) and layer.is_inner else ""
            found.append((f"{type(layer).__name__.lower()} {layer.tone}{inner}", layer.name))
            if isinstance(layer, Bars) and layer.marked is not None:
                found.append(("mark", layer.marked_name))
        return found if len(found) > 1 else []

    @property
    def _summary(self) -> str:
        """The chart in words: where each layer begins, ends, and turns."""
        return " ".join(filter(None, (_summary_of(layer, self.sessions, self.form) for layer in self.layers)))

    def _told(self, days: FloatArray, across: Scale) -> str:
        """Strips that tell the values of one session each."""
        places = np.unique(np.linspace(0, len(days) - 1, MOST_TOLD).astype(np.int64))
        x = np.array([across(float(days[place])) for place in places])
        edges = np.concatenate([[LEFT], (x[1:] + x[:-1]) / 2.0, [WIDTH - RIGHT]])
        told = [
            f"{self.sessions[place]}: {', '.join(_told_of(layer, place, self.form) for layer in self.layers)}"
            for place in places
        ]
        return "".join(
            f'<rect class="hit" x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" height="{HEIGHT - BOTTOM - TOP}">'
            f"<title>{escape(text)}</title></rect>"
            for (left, right), text in zip(pairwise(edges.tolist()), told, strict=True)
        )

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


def _summary_of(layer: Layer, sessions: DateArray, form: Format) -> str:
    if isinstance(layer, Band):
        known = np.flatnonzero(np.isfinite(layer.low) & np.isfinite(layer.high))
        return f"{layer.name}: at last {_told_of(layer, known[-1], form, '')}." if len(known) else ""
    known = np.flatnonzero(np.isfinite(layer.values))
    if not len(known):
        return ""
    values = layer.values[known]
    ends = f"{form(values[0], 2)} on {sessions[known[0]]}, {form(values[-1], 2)} on {sessions[known[-1]]}"
    return f"{layer.name}: {ends}, lowest {form(values.min(), 2)}, highest {form(values.max(), 2)}."


def _told_of(layer: Layer, place: int, form: Format, name: str | None = None) -> str:
    told = layer.name if name is None else name
    if isinstance(layer, Band):
        return f"{told} {form(layer.low[place], 2)} to {form(layer.high[place], 2)}".strip()
    return f"{told} {form(layer.values[place], 2)}"


def _drawn_span(span: Span, days: FloatArray, across: Scale) -> str:
    left, right = across(float(days[span.first])), across(float(days[span.last]))
    return (
        f'<rect class="span" x="{left:.1f}" y="{TOP}" width="{max(right - left, 1.0):.1f}"'
        f' height="{HEIGHT - BOTTOM - TOP}"><title>{escape(span.told)}</title></rect>'
    )


def _span_label(span: Span, days: FloatArray, across: Scale) -> str:
    x = across(float(days[span.last])) - 4.0
    return f'<text class="end" x="{x:.1f}" y="{HEIGHT - BOTTOM - 6}">{escape(span.label)}</text>'


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
            diamond(across(days[i]), up(layer.values[i]), f"{sessions[i]}: {form(float(layer.values[i]), 1)}")
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
