"""The values behind a chart over time, at the ends of its months or years."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from pipeline.base.types import DateArray, FloatArray, IntArray
from serving.pages.charts import Band, Layer, TimeChart
from serving.pages.drawing import ChartTable, Drawn
from serving.pages.links import Explained

MOST_ROWS = 36
"""Of a table: three years by month, and longer by year."""


def over_time(chart: TimeChart, why: Mapping[str, Explained] | None = None) -> Drawn:
    """A chart with its values at the last session of each month, or of each year of a long one.

    Parameters
    ----------
    why
        Name of a layer → what explains its numbers.
    """
    return Drawn(chart.svg(), table_of(chart, why))


def table_of(chart: TimeChart, why: Mapping[str, Explained] | None = None) -> ChartTable | None:
    """Those values; None for a chart without a session."""
    if len(chart.sessions) < 2:
        return None
    places, period = period_ends(chart.sessions)
    days = [str(chart.sessions[place]) for place in places]
    heads, columns, links = ["Session"], [days], [[""] * len(days)]
    for layer in chart.layers:
        explain = (why or {}).get(layer.name)
        for name, values in _named(layer):
            heads.append(name)
            columns.append([chart.form(float(values[place]), 2) for place in places])
            links.append(
                [
                    explain(day) if explain and math.isfinite(values[place]) else ""
                    for day, place in zip(days, places, strict=True)
                ]
            )
    caption = f"{chart.title}: the last session of each {period}"
    rows, addresses = list(zip(*columns, strict=True)), list(zip(*links, strict=True))
    return ChartTable(caption, heads, rows, f"Values by {period}", addresses)


def _named(layer: Layer) -> list[tuple[str, FloatArray]]:
    if isinstance(layer, Band):
        return [(f"{layer.name}, low", layer.low), (f"{layer.name}, high", layer.high)]
    return [(layer.name, layer.values)]


def period_ends(sessions: DateArray) -> tuple[IntArray, str]:
    """Positions of the last session of each month or year, so that there are few, and which of the two."""
    by_month = _ends(sessions.astype("datetime64[M]"))
    return (by_month, "month") if len(by_month) <= MOST_ROWS else (_ends(sessions.astype("datetime64[Y]")), "year")


def _ends(periods: DateArray) -> IntArray:
    return np.flatnonzero(np.append(periods[1:] != periods[:-1], True))
