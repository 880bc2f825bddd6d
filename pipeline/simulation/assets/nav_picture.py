"""The picture on the page of ``strategy_nav``: every strategy's value on one scale."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
import numpy as np

from pipeline.base.types import DateArray, FloatArray
from pipeline.simulation.assets import drawing
from pipeline.simulation.assets.drawing import HEIGHT, LEFT, RIGHT, WIDTH

MOST_MONTHS = 120
COLOURS = ("#4f43dd", "#d1495b", "#2e8b57", "#e08e0b", "#1f77b4", "#8c564b", "#5c6670")
"""One a strategy, told apart by the names at the right end, too."""

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
    return drawing.picture(_parts(*months), f"Net asset values, {months[0][0]} to {months[0][-1]}")


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


def _parts(months: DateArray, values: Mapping[str, FloatArray]) -> list[str]:
    low = min(float(series.min()) for series in values.values())
    high = max(float(series.max()) for series in values.values())
    across = np.linspace(LEFT, WIDTH - RIGHT, len(months))

    def down(value: float) -> float:
        return drawing.down(value, low, high)

    parts = drawing.levels(low, high)
    parts += [
        drawing.words(LEFT, HEIGHT - 6, str(months[0])),
        drawing.words(across[-1] - 50, HEIGHT - 6, str(months[-1])),
    ]
    labels = drawing.spread({name: down(float(series[-1])) for name, series in values.items()})
    for (name, series), colour in zip(values.items(), COLOURS * len(values), strict=False):
        points = " ".join(f"{x:.0f},{down(y):.0f}" for x, y in zip(across, series.tolist(), strict=True))
        parts.append(f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='1.5'/>")
        parts.append(drawing.words(WIDTH - RIGHT + 6, labels[name] + 4, f"{name} {series[-1]:.2f}", colour))
    return parts
