"""How figures of the summary are written; the tables themselves are tested on a finished run."""

from __future__ import annotations

import pytest

from fintech.summary import number, percent


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.1234, "12.3"), (-0.05, "-5.0"), (1.2522, "125.2"), (0.0, "0.0"), (None, "–"), (0.00049, "0.0")],
)
def test_fractions_are_written_in_percent(value: float | None, written: str) -> None:
    assert percent(value) == written


@pytest.mark.parametrize(("value", "written"), [(0.444, "0.44"), (-1.156, "-1.16"), (None, "–")])
def test_ratios_are_written_as_they_are(value: float | None, written: str) -> None:
    assert number(value) == written
