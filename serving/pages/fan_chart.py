"""How simulated wealth spreads over the sessions ahead: quantiles as surfaces one inside the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from serving.pages.drawing import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MOST_X_TICKS,
    MOST_Y_TICKS,
    RIGHT,
    TOP,
    WIDTH,
    ChartTable,
    Drawn,
    description,
    empty_chart,
    legend,
    picture,
    rows_of_legend,
)
from serving.pages.formats import percent
from serving.pages.scales import Scale, decimals_of, span_of, ticks


@dataclass(frozen=True, slots=True)
class FanChart:
    """Quantiles of the return at sessions ahead.

    Parameters
    ----------
    steps
        (k,) sessions ahead, ascending from 1; the start is added.
    levels
        (l,) ascending quantile levels, an odd number of them: the middle one is a line, the others pair up.
    wealth
        (k, l) of 1 at the start.
    why
        Step and level → address that explains the number; None without any.
    """

    title: str
    steps: Sequence[int]
    levels: Sequence[float]
    wealth: Sequence[Sequence[float]]
    why: Callable[[int, float], str] | None = None

    def drawn(self) -> Drawn:
        """The chart and its table; a sentence in its place without a step."""
        if not self.steps:
            return Drawn(empty_chart(self.title))
        return Drawn(self._svg(), self._table())

    def _svg(self) -> str:
        steps = [0, *self.steps]
        returns = [[0.0] * len(self.levels), *([w - 1.0 for w in row] for row in self.wealth)]
        low, high = span_of([value for row in returns for value in row], (0.0,))
        across = Scale(0.0, float(steps[-1]), LEFT, WIDTH - RIGHT)
        up = Scale(low, high, HEIGHT - BOTTOM, TOP)
        x = [across(float(step)) for step in steps]
        columns = [[up(row[level]) for row in returns] for level in range(len(self.levels))]
        middle = len(self.levels) // 2
        parts = [description(self._summary(returns)), _grid(low, high, up), _steps(steps[-1], across)]
        parts.append(self._told(steps, returns, x))
        parts += [_surface(x, columns[place], columns[-1 - place]) for place in range(middle)]
        parts.append(f'<path class="line a" d="M{_points(x, columns[middle])}"/>')
        entries = [(f"band a{' inner' if place else ''}", self._pair(place)) for place in range(middle)]
        entries = [("line a", "median"), *entries[::-1]]
        parts.append(legend(entries))
        return picture(self.title, HEIGHT + 22 * rows_of_legend(entries) + 4, "".join(parts))

    def _pair(self, place: int) -> str:
        return f"{self.levels[place]:.0%} to {self.levels[-1 - place]:.0%}".replace("%", " %")

    def _summary(self, returns: Sequence[Sequence[float]]) -> str:
        return f"After {self.steps[-1]} sessions: {self._quantiles(returns[-1])}."

    def _quantiles(self, row: Sequence[float]) -> str:
        return ", ".join(
            f"{100 * level:.0f} % {percent(value, 1)}" for level, value in zip(self.levels, row, strict=True)
        )

    def _told(self, steps: Sequence[int], returns: Sequence[Sequence[float]], x: Sequence[float]) -> str:
        edges = [x[0], *((left + right) / 2.0 for left, right in pairwise(x)), x[-1]]
        return "".join(
            f'<rect class="hit" x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" height="{HEIGHT - BOTTOM - TOP}">'
            f"<title>{escape(f'after {step} sessions: {self._quantiles(row)}')}</title></rect>"
            for (left, right), step, row in zip(pairwise(edges), steps, returns, strict=True)
        )

    def _table(self) -> ChartTable:
        heads = ["Sessions ahead", *(f"{100 * level:.0f} %" for level in self.levels)]
        rows = [
            [str(step), *(percent(wealth - 1.0) for wealth in row)]
            for step, row in zip(self.steps, self.wealth, strict=True)
        ]
        explain = self.why
        links = [["", *(explain(step, level) for level in self.levels)] for step in self.steps] if explain else []
        return ChartTable("Quantiles of the simulated return", heads, rows, links=links)


def _grid(low: float, high: float, up: Scale) -> str:
    places = ticks(low * 100.0, high * 100.0, MOST_Y_TICKS)
    decimals = decimals_of(places)
    return "".join(
        f'<path class="{"zero" if place == 0.0 else "grid"}" d="M{LEFT} {up(place / 100.0):.1f}H{WIDTH - RIGHT}"/>'
        f'<text class="y" x="{LEFT - 8}" y="{up(place / 100.0) + 4:.1f}">{percent(place / 100.0, decimals)}</text>'
        for place in places
    )


def _steps(last: int, across: Scale) -> str:
    return "".join(
        f'<path class="grid" d="M{across(place):.1f} {HEIGHT - BOTTOM}v5"/>'
        f'<text class="{"x end" if across(place) > WIDTH - 40 else "x"}" x="{across(place):.1f}"'
        f' y="{HEIGHT - BOTTOM + 22}">{place:.0f}</text>'
        for place in ticks(0.0, float(last), MOST_X_TICKS)
    )


def _points(x: Sequence[float], y: Sequence[float]) -> str:
    return "L".join(f"{left:.1f} {top:.1f}" for left, top in zip(x, y, strict=True))


def _surface(x: Sequence[float], low: Sequence[float], high: Sequence[float]) -> str:
    return f'<path class="band a" d="M{_points(x, high)}L{_points(x[::-1], low[::-1])}Z"/>'
