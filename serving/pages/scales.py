"""Where the ticks of an axis stand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

from pipeline.base.types import add_months

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120, 240)


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear axis.

    Parameters
    ----------
    low, high
        Values at its ends, low < high.
    start, stop
        Positions of the two ends.
    """

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """The position of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


def span_of(values: list[float], include: tuple[float, ...] = ()) -> tuple[float, float]:
    """Ends of an axis that shows all finite values, with ends apart even where all are equal."""
    known = [value for value in (*values, *include) if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if low == high:
        margin = abs(low) * 0.05 or 1.0
        return low - margin, high + margin
    return low, high


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from low to high, at most so many: multiples of 1, 2, 2.5 or 5 times a power of ten."""
    raw = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    for step in (*(factor * power for factor in _STEPS), 20.0 * power):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return [place * step for place in range(first, last + 1)]
    return [low, high]


def decimals_of(values: list[float]) -> int:
    """Decimals that tell ticks apart."""
    return next((n for n in range(6) if all(abs(v - round(v, n)) < 1e-9 * max(1.0, abs(v)) for v in values)), 6)


def date_ticks(first: date, last: date, most: int) -> list[date]:
    """First days of months or years inside a span, at most so many."""
    months = (last.year - first.year) * 12 + last.month - first.month
    for step in _MONTH_STEPS:
        if months // step < most:
            return _month_starts(first, last, step)
    return [first, last]


def date_label(day: date, span_days: int) -> str:
    """The year, or the month where the span is short."""
    return f"{day.year}" if span_days > 3 * 366 else f"{day.year}-{day.month:02d}"


def _month_starts(first: date, last: date, step: int) -> list[date]:
    """Multiples of `step` months, counted from January of year 0."""
    month = first.replace(day=1)
    number = month.year * 12 + month.month - 1
    found = []
    month = add_months(month, -(number % step))
    while month <= last:
        if month >= first:
            found.append(month)
        month = add_months(month, step)
    return found
