"""The picture on the page of ``strategy_nav``: every strategy's value on one scale."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import dagster as dg
import numpy as np

from pipeline.base.types import DateArray, FloatArray

WIDTH, HEIGHT = 860, 320
"""Dagster's page cuts pictures wider than about 900."""

LEFT, RIGHT, TOP, BOTTOM = 44, 150, 12, 24
MOST_MONTHS = 120
COLOURS = ("#4f43dd", "#d1495b", "#2e8b57", "#e08e0b", "#1f77b4", "#8c564b", "#5c6670")
"""One a strategy, told apart by the names at the right end, too."""

LABEL_PIXELS = 15

Values = tuple[DateArray, FloatArray]
"""(m,) sessions, and values on them."""


def nav_picture(values: Mapping[str, Values]) -> dg.MarkdownMetadataValue:
    """Values at the ends of at most 120 months, from the first that all strategies have; 1 is there.

    Dagster shows a text of this length when it is clicked on.
    """
    known = {name: series for name, series in values.items() if len(series[0])}
    start = max((series[0][0] for series in known.values()), default=np.datetime64("1970-01-01"))
    months = _common_months({name: _month_ends(*series, start) for name, series in known.items()})
    if months is None:
        return dg.MetadataValue.md("Not enough months for a picture")
    picture = base64.b64encode(_svg(*months).encode()).decode()
    first, last = months[0][0], months[0][-1]
    return dg.MetadataValue.md(f"![Net asset values, {first} to {last}](data:image/svg+xml;base64,{picture})")


def _month_ends(sessions: DateArray, nav: FloatArray, start: np.datetime64) -> Values:
    month = sessions.astype("datetime64[M]")
    is_last = np.append(month[1:] != month[:-1], True) & (sessions >= start)
    return month[is_last][-MOST_MONTHS:], nav[is_last][-MOST_MONTHS:]


def _common_months(ends: Mapping[str, Values]) -> tuple[DateArray, dict[str, FloatArray]] | None:
    """The months, and each strategy's values at their ends over that of the first; None for fewer than two."""
    if not ends:
        return None
    shortest = min(len(months) for months, _ in ends.values())
    if shortest < 2:
        return None
    months = next(iter(ends.values()))[0][-shortest:]
    return months, {name: nav[-shortest:] / nav[-shortest] for name, (_, nav) in ends.items()}


def _svg(months: DateArray, values: Mapping[str, FloatArray]) -> str:
    low = min(float(series.min()) for series in values.values())
    high = max(float(series.max()) for series in values.values())
    span = high - low or 1.0
    across = np.linspace(LEFT, WIDTH - RIGHT, len(months))

    def down(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / span

    parts = [_mark(level, down(level)) for level in np.linspace(low, high, 4).tolist()]
    parts += [_text(across[0], HEIGHT - 6, str(months[0])), _text(across[-1] - 50, HEIGHT - 6, str(months[-1]))]
    labels = _spread({name: down(float(series[-1])) for name, series in values.items()})
    for (name, series), colour in zip(values.items(), COLOURS * len(values), strict=False):
        points = " ".join(f"{x:.0f},{down(y):.0f}" for x, y in zip(across, series.tolist(), strict=True))
        parts.append(f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='1.5'/>")
        parts.append(_text(WIDTH - RIGHT + 6, labels[name] + 4, f"{name} {series[-1]:.2f}", colour))
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}' viewBox='0 0 {WIDTH} {HEIGHT}'"
        f" font-family='sans-serif' font-size='12'><rect width='100%' height='100%' fill='#fff'/>{''.join(parts)}</svg>"
    )


def _spread(places: Mapping[str, float]) -> dict[str, float]:
    """Places of labels, from the top one down, moved so that none covers another or leaves the picture."""
    found: dict[str, float] = {}
    least = 0.0
    for left, name in zip(range(len(places) - 1, -1, -1), sorted(places, key=lambda one: places[one]), strict=True):
        highest = HEIGHT - BOTTOM - LABEL_PIXELS * left
        found[name] = max(min(places[name], highest), least)
        least = found[name] + LABEL_PIXELS
    return found


def _mark(level: float, y: float) -> str:
    line = f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.0f}' y2='{y:.0f}' stroke='#ddd'/>"
    return line + _text(8, y + 4, f"{level:.2f}")


def _text(x: float, y: float, text: str, colour: str = "#444") -> str:
    return f"<text x='{x:.0f}' y='{y:.0f}' fill='{colour}'>{text}</text>"
