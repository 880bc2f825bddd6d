"""What providers deliver and rules judge: columns of equal length, one row a bar or an action."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np

from pipeline.base.types import BoolArray, DateArray, FloatArray, IntArray

VALUE_FIELDS = ("open", "high", "low", "close", "volume", "close_adjusted")
"""The numbers of a bar, in the order of `Bars`."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Daily bars of several instruments, as a provider gave them; NaN where it gives no such number.

    Parameters
    ----------
    symbols
        (n,) names of the instruments.
    symbol_index
        (m,) position in `symbols` of each bar.
    sessions
        (m,) dates of the bars.
    open, high, low, close
        (m,) prices as traded, in the provider's unit.
    volume
        (m,) units traded.
    close_adjusted
        (m,) the provider's own close, adjusted for splits and dividends.
    """

    symbols: tuple[str, ...]
    symbol_index: IntArray
    sessions: DateArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    close_adjusted: FloatArray

    @classmethod
    def of_adjusted_closes(
        cls, symbols: tuple[str, ...], symbol_index: IntArray, sessions: DateArray, close_adjusted: FloatArray
    ) -> Self:
        """Bars of a provider that has adjusted closes only."""
        unknown = np.full(len(sessions), np.nan)
        return cls(symbols, symbol_index, sessions, unknown, unknown, unknown, unknown, unknown, close_adjusted)

    def __len__(self) -> int:
        return len(self.sessions)

    @property
    def judged_close(self) -> FloatArray:
        """(m,) the close as traded where there is one, else the adjusted one: what rules look at."""
        return np.where(np.isnan(self.close) & ~np.isnan(self.close_adjusted), self.close_adjusted, self.close)

    @property
    def values(self) -> FloatArray:
        """(m, 6) the numbers of each bar, in the order of `VALUE_FIELDS`."""
        return np.column_stack([getattr(self, name) for name in VALUE_FIELDS])

    def sorted(self) -> Bars:
        """The bars ordered by instrument, date and values, so that no verdict depends on the order of the payload."""
        values = [getattr(self, name) for name in reversed(VALUE_FIELDS)]
        return self.take(np.lexsort((*values, self.sessions, self.symbol_index)))

    def take(self, rows: IntArray | BoolArray) -> Bars:
        """The bars at positions, or where a mask holds."""
        columns = (getattr(self, column.name)[rows] for column in fields(self)[1:])
        return Bars(self.symbols, *columns)

    @property
    def is_first(self) -> BoolArray:
        """(m,) whether a bar is its instrument's first; the bars must be sorted."""
        first: BoolArray = np.r_[True, self.symbol_index[1:] != self.symbol_index[:-1]][: len(self)]
        return first

    @property
    def is_repeat(self) -> BoolArray:
        """(m,) whether the bar before has the same instrument and date; the bars must be sorted."""
        same_session = self.sessions[1:] == self.sessions[:-1]
        repeat: BoolArray = np.r_[False, same_session & ~self.is_first[1:]][: len(self)]
        return repeat


@dataclass(frozen=True, slots=True)
class Actions:
    """Corporate actions, a row an instrument and date.

    Parameters
    ----------
    symbols
        (n,) names of the instruments.
    symbol_index
        (m,) position in `symbols`.
    ex_sessions
        (m,) first sessions that trade without the right.
    split_numerator, split_denominator
        (m,) new units for old ones, in lowest terms: 4 and 1 for a four-for-one split, 1 and 1 for none.
    dividend
        (m,) cash for one unit held before the split of the same date, in the provider's unit; 0 for none.
    """

    symbols: tuple[str, ...]
    symbol_index: IntArray
    ex_sessions: DateArray
    split_numerator: IntArray
    split_denominator: IntArray
    dividend: FloatArray

    def __len__(self) -> int:
        return len(self.ex_sessions)


def no_actions(symbols: tuple[str, ...] = ()) -> Actions:
    """Actions of a provider that knows of none."""
    none = np.array([], dtype=np.int64)
    return Actions(symbols, none, np.array([], dtype="datetime64[D]"), none, none, np.array([]))


@dataclass(frozen=True, slots=True)
class Context:
    """What rules know besides the bars.

    Parameters
    ----------
    sessions
        Sorted sessions of the exchange over the span of the bars.
    actions
        What the provider says of splits and dividends; its symbols are those of the bars.
    """

    sessions: DateArray
    actions: Actions = field(default_factory=no_actions)
