"""What all charts are drawn with: their size, marks, legends, and the SVG around them.

Everything that is seen is a class, since the pages' policy allows no style attributes. `standalone` carries the style
sheet, for a chart that is an image of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

from serving.pages.formats import ratio

STYLE_SHEET = Path(__file__).parent / "static" / "charts.css"

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 70, 14, 12, 34
NAME_WIDTH, VALUE_WIDTH, ROW_HEIGHT, MOST_LETTERS = 196, 84, 26, 22
"""Of bar charts: the names on the left, the values on the right, each row, and the letters that a name may have."""

MOST_X_TICKS, MOST_Y_TICKS = 6, 6
MOST_TOLD_LETTERS = 44
"""Of a title inside a chart, on a narrow screen too."""
Tone = Literal["a", "b", "c", "loss", "muted"]
Format = Callable[[float, int], str]


@dataclass(frozen=True, slots=True)
class ChartTable:
    """The values of a chart for a reader who sees no picture, or wants them one by one.

    Parameters
    ----------
    rows
        With a text for each head; the first names the row.
    summary
        What a reader opens it by, where the caption is too long.
    links
        For each row and column the address that explains the number there, or empty; none at all by default.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    summary: str = ""
    links: Sequence[Sequence[str]] = ()

    def link(self, row: int, column: int) -> str:
        """Where a number is explained; empty where it is not."""
        return self.links[row][column] if self.links else ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart, with its values where no table of the page has them."""

    svg: str
    table: ChartTable | None = None


def description(text: str) -> str:
    """What a chart says, in words."""
    return f"<desc>{escape(text)}</desc>"


def empty_chart(title: str) -> str:
    """What is shown in place of a chart without data."""
    told = title if len(title) <= MOST_TOLD_LETTERS else f"{title[: MOST_TOLD_LETTERS - 1]}…"
    return picture(title, 60, f'<text class="none" x="{WIDTH / 2:.0f}" y="36">No data yet: {escape(told)}</text>')


def standalone(svg: str) -> str:
    """The chart as a document of its own, for an ``img``: with its style sheet, light or dark as the reader's.

    It has a size and a paper of its own, since the page around it may be of the other colour.
    """
    return _document(svg, STYLE_SHEET.read_text())


def printed(svg: str) -> str:
    """The chart as a document in the colours of the light scheme, for readers of SVG that know no variables."""
    style = STYLE_SHEET.read_text()
    light = re.sub(r"@media[^{]*\{(?:[^{}]*\{[^}]*\})*[^}]*\}", "", style)
    colours = dict(re.findall(r"(--[a-z]+): (#[0-9a-f]+);", light))
    light = re.sub(r"var\((--[a-z]+)\)", lambda found: colours[found[1]], light)
    light = light.replace("currentColor", colours["--ink"]).replace("transparent", "none")
    return _document(svg, light)


def _document(svg: str, style: str) -> str:
    head, body = svg.split(">", 1)
    height = head.rsplit('viewBox="0 0 ', 1)[1].split()[1].rstrip('"')
    size = f'xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
    paper = f'<rect class="paper" width="{WIDTH}" height="{height}"/>'
    return f"{head} {size}><style>{style}</style>{paper}{body}"


def number(value: float, decimals: int) -> str:
    """A value without a unit, as a `Format`."""
    return ratio(value, decimals)


def diamond(x: float, y: float, told: str, kind: str = "mark") -> str:
    """A mark with what it tells."""
    return f'<path class="{kind}" d="M{x:.1f} {y - 6:.1f}l5 6l-5 6l-5 -6Z"><title>{escape(told)}</title></path>'


def shortened(name: str) -> str:
    """A name that fits beside its bar."""
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"


def rows_of_legend(entries: Sequence[tuple[str, str]]) -> int:
    """How many rows a legend takes."""
    return math.ceil(len(entries) / 2)


def legend(entries: Sequence[tuple[str, str]], top: float = HEIGHT + 12) -> str:
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


def picture(title: str, height: float, content: str) -> str:
    """The picture, with its title for a reader who sees none."""
    return (
        f'<svg class="chart" role="img" aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {height:.0f}">{content}</svg>'
    )
