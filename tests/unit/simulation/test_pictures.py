"""The fan on the page of ``portfolio_simulation``."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from pipeline.simulation.assets.fan_picture import fan_picture
from pipeline.simulation.run import Fan, SimulationSpec, simulate

SPACE = "{http://www.w3.org/2000/svg}"
RETURNS = np.random.default_rng(11).standard_t(6, size=1_260) * 0.009 + 0.0003


def svg_of(fan: Fan) -> ElementTree.Element:
    text = fan_picture(fan, "Wealth").value
    assert text is not None
    encoded = re.fullmatch(r"!\[Wealth\]\(data:image/svg\+xml;base64,([^)]+)\)", text)
    assert encoded is not None
    return ElementTree.fromstring(base64.b64decode(encoded[1]))


def points_of(shape: ElementTree.Element) -> np.ndarray:
    return np.array([[float(number) for number in point.split(",")] for point in shape.attrib["points"].split()])


def test_the_fan_has_two_bands_and_a_line_and_fits_the_page() -> None:
    fan = simulate(RETURNS, SimulationSpec(), 1).fan
    svg = svg_of(fan)
    assert float(svg.attrib["width"]) <= 900
    wide, narrow = (points_of(shape) for shape in svg.findall(f"{SPACE}polygon"))
    [line] = (points_of(shape) for shape in svg.findall(f"{SPACE}polyline"))
    assert len(line) == 13  # the start, and every month
    assert len(wide) == len(narrow) == 26
    inner = slice(1, 13)
    lower, upper = slice(0, 13), slice(None, 12, -1)  # there along the low quantile, and back along the high one
    for band in (wide, narrow):
        np.testing.assert_array_equal(band[0], line[0])
        assert (band[lower][inner, 1] >= line[inner, 1]).all()
        assert (band[upper][inner, 1] <= line[inner, 1]).all()
    assert (wide[lower][inner, 1] > narrow[lower][inner, 1]).all()
    assert svg.attrib["height"] == "320"
    shown = [label.text or "" for label in svg.findall(f"{SPACE}text")]
    for level, value in zip(fan.levels, fan.wealth[-1], strict=True):
        assert f"{100 * level:.0f} %: {value:.2f}" in shown


@pytest.mark.parametrize("daily", [0.0, 0.001])
def test_what_is_certain_has_labels_inside_of_the_picture(daily: float) -> None:
    svg = svg_of(simulate(np.full(1_260, daily), SimulationSpec(paths=100), 1).fan)
    places = [float(label.attrib["y"]) for label in svg.findall(f"{SPACE}text") if " %" in (label.text or "")]
    assert len(places) == 5
    assert min(places) > 0
    assert max(places) < 320
    assert np.diff(sorted(places)).min() >= 14
