"""The bars that rules judge: columns of equal length, one row a bar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.types import BoolArray, DateArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Bars:
    """Daily bars of several instruments, as a provider gave them.

    Parameters
    ----------
    symbols
        (n,) names of the instruments.
    symbol_index
        (m,) position in `symbols` of each bar.
    sessions
        (m,) dates of the bars.
    close_adjusted
        (m,) closes adjusted for splits and dividends, in the instrument's currency.
    """

    symbols: tuple[str, ...]
    symbol_index: IntArray
    sessions: DateArray
    close_adjusted: FloatArray

    def __len__(self) -> int:
        return len(self.sessions)

    def sorted(self) -> Bars:
        """The bars ordered by instrument, date and close, so that no verdict depends on the order of the payload."""
        return self.take(np.lexsort((self.close_adjusted, self.sessions, self.symbol_index)))

    def take(self, rows: IntArray | BoolArray) -> Bars:
        """The bars at positions, or where a mask holds."""
        return Bars(self.symbols, self.symbol_index[rows], self.sessions[rows], self.close_adjusted[rows])

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
class Context:
    """What rules know besides the bars.

    Parameters
    ----------
    sessions
        Sorted sessions of the exchange over the span of the bars.
    """

    sessions: DateArray
