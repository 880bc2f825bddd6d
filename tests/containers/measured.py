"""What the container tests measure, beside the bars: printed at their end and kept in ``.data/containers.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pipeline.base.settings import PROJECT_ROOT

FILE = PROJECT_ROOT / ".data" / "containers.json"
NOISE = 3.0
"""What a time may take of its bar on a machine that others use at once, before it fails the test."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure and its bar."""

    what: str
    value: float
    bar: float
    unit: str

    @property
    def line(self) -> str:
        """For a reader."""
        kept = "kept" if self.value <= self.bar else "MISSED"
        return f"{self.what}: {self.value:,.1f} {self.unit} (bar {self.bar:,g}, {kept})"


FOUND: list[Measured] = []


def measure(what: str, value: float, bar: float, unit: str) -> Measured:
    """Keep a figure."""
    measured = Measured(what, round(value, 3), bar, unit)
    FOUND.append(measured)
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps([asdict(one) for one in FOUND], indent=2) + "\n")
    return measured
