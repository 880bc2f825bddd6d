"""Types shared by all rooms. Arrays carry their meaning in the name of the variable, not in the type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
DateArray: TypeAlias = NDArray[np.datetime64]
"""``datetime64[D]``: exchange sessions."""

Rebalancing: TypeAlias = Literal["daily", "monthly", "quarterly", "buy_and_hold", "drift_band"]
"""When a simulated or stored portfolio returns to its target weights."""

REBALANCING_POLICIES: tuple[Rebalancing, ...] = ("daily", "monthly", "quarterly", "buy_and_hold", "drift_band")


class Policy(NamedTuple):
    """When a portfolio returns to its target weights, and with a drift band by what.

    Parameters
    ----------
    drift_band
        Fraction of value by which a weight may leave its target; None for every other policy.
    """

    rebalancing: Rebalancing
    drift_band: float | None = None


class SetUnits(NamedTuple):
    """What a portfolio with a drift band holds, as it was set before prices that are read begin.

    Parameters
    ----------
    sessions
        (k,) ascending.
    units
        (k, n) held from the close of each on, per unit of the value at which they were set.
    """

    sessions: DateArray
    units: FloatArray


@dataclass(frozen=True, slots=True, order=True)
class MonthRange:
    """Whole months, both ends included: the unit of every partition, run and write.

    Parameters
    ----------
    first, last
        First day of the first and of the last month.
    """

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.first.day != 1 or self.last.day != 1:
            raise ValueError(f"MonthRange takes first days of months, not {self.first} and {self.last}")
        if self.last < self.first:
            raise ValueError(f"MonthRange ends ({self.last}) before it begins ({self.first})")

    @property
    def end(self) -> date:
        """First day after the range."""
        return add_months(self.last, 1)

    def back(self, months: int) -> date:
        """First day of the month that lies `months` before the range."""
        return add_months(self.first, -months)

    def months(self) -> Iterator[date]:
        """Every month of the range, oldest first."""
        month = self.first
        while month <= self.last:
            yield month
            month = add_months(month, 1)

    def rows_of(self, sessions: DateArray) -> slice:
        """Positions in the sorted `sessions` that lie in the range."""
        edges = np.array([self.first, self.end], dtype="datetime64[D]")
        start, stop = np.searchsorted(sessions, edges)
        return slice(int(start), int(stop))


def add_months(month: date, months: int) -> date:
    """The first day of the month `months` after `month` (before it, if negative)."""
    year, month_index = divmod(month.year * 12 + month.month - 1 + months, 12)
    return date(year, month_index + 1, 1)
