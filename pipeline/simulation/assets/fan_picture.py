"""The picture on the page of ``portfolio_simulation``: how the wealth of one portfolio spreads over the horizon."""

from __future__ import annotations

import dagster as dg
import numpy as np

from pipeline.base.types import FloatArray
from pipeline.simulation.assets import drawing
from pipeline.simulation.assets.drawing import HEIGHT, LEFT, RIGHT, WIDTH
from pipeline.simulation.run import Fan

COLOUR = "#4f43dd"


def fan_picture(fan: Fan, caption: str) -> dg.MarkdownMetadataValue:
    """Bands between quantiles at the same distance from the middle, the wider the paler, and the middle one as a line.

    Parameters
    ----------
    fan
        With an odd number of levels; wealth at the start is 1.
    """
    steps = np.array([0, *fan.steps], dtype=np.float64)
    wealth = np.vstack([np.ones(len(fan.levels)), np.array(fan.wealth)])
    low, high = float(wealth.min()), float(wealth.max())
    across = LEFT + (WIDTH - RIGHT - LEFT) * steps / steps[-1]
    lines = [_points(across, values, low, high) for values in wealth.T]
    middle = len(lines) // 2
    parts = drawing.levels(low, high)
    parts += [
        f"<polygon points='{' '.join([*lines[one], *reversed(lines[-1 - one])])}' fill='{COLOUR}' fill-opacity='0.2'/>"
        for one in range(middle)
    ]
    parts.append(f"<polyline points='{' '.join(lines[middle])}' fill='none' stroke='{COLOUR}' stroke-width='1.5'/>")
    parts += [
        drawing.words(LEFT, HEIGHT - 6, "0"),
        drawing.words(across[-1] - 90, HEIGHT - 6, f"{steps[-1]:.0f} sessions"),
    ]
    return drawing.picture([*parts, *_labels(fan, low, high)], caption)


def _points(across: FloatArray, values: FloatArray, low: float, high: float) -> list[str]:
    return [f"{x:.0f},{drawing.down(y, low, high):.0f}" for x, y in zip(across, values.tolist(), strict=True)]


def _labels(fan: Fan, low: float, high: float) -> list[str]:
    """The quantiles at the horizon."""
    places = {
        f"{100 * level:.0f} %: {value:.2f}": drawing.down(value, low, high)
        for level, value in zip(reversed(fan.levels), reversed(fan.wealth[-1]), strict=True)
    }
    return [drawing.words(WIDTH - RIGHT + 6, y + 4, text) for text, y in drawing.spread(places).items()]
