"""What the pictures on the pages of this location's assets share: a frame that fits the page, levels and words."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

import dagster as dg

WIDTH, HEIGHT = 860, 320
"""Dagster's page cuts pictures wider than about 900."""

LEFT, RIGHT, TOP, BOTTOM = 44, 150, 12, 24
LEVELS = 4
LABEL_PIXELS = 15


def picture(parts: Iterable[str], caption: str) -> dg.MarkdownMetadataValue:
    """Parts of an SVG in their frame, as Markdown, which Dagster shows when it is clicked on."""
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}' viewBox='0 0 {WIDTH} {HEIGHT}'"
        f" font-family='sans-serif' font-size='12'><rect width='100%' height='100%' fill='#fff'/>{''.join(parts)}</svg>"
    )
    return dg.MetadataValue.md(f"![{caption}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})")


def down(value: float, low: float, high: float) -> float:
    """Where a value between the lowest and the highest is drawn."""
    return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low or 1.0)


def levels(low: float, high: float) -> list[str]:
    """Lines across, with their values at the left."""
    values = [low + (high - low) * number / (LEVELS - 1) for number in range(LEVELS)]
    return [_level(value, down(value, low, high)) for value in values]


def _level(value: float, y: float) -> str:
    line = f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.0f}' y2='{y:.0f}' stroke='#ddd'/>"
    return line + words(8, y + 4, f"{value:.2f}")


def words(x: float, y: float, text: str, colour: str = "#444") -> str:
    """A line of text that begins there."""
    return f"<text x='{x:.0f}' y='{y:.0f}' fill='{colour}'>{text}</text>"


def spread(places: Mapping[str, float]) -> dict[str, float]:
    """Places of labels, from the top one down, moved so that none covers another or leaves the picture."""
    found: dict[str, float] = {}
    least = 0.0
    for left, name in zip(range(len(places) - 1, -1, -1), sorted(places, key=lambda one: places[one]), strict=True):
        highest = HEIGHT - BOTTOM - LABEL_PIXELS * left
        found[name] = max(min(places[name], highest), least)
        least = found[name] + LABEL_PIXELS
    return found
