"""What providers deliver and rules judge: columns of equal length, one row a bar or an action."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np

from pipeline.base.types import BoolArray, DateArray, FloatArray, IntArray

VALUE_FIELDS = ("open", "high", "low", "close", "volume", "close_adjusted")
"""The numbers of a bar, in the order of `Bars`."""

_DAY_BITS = 26
"""Room for 183,000 years of days in a key; a day further out counts as the furthest."""


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
    def has_traded_closes(self) -> bool:
        """Whether any bar has a close as traded; without one only the adjusted closes can be judged."""
        return not bool(np.isnan(self.close).all())

    @property
    def judged_close(self) -> FloatArray:
        """(m,) the close as traded where there is one, else the adjusted one: what rules look at."""
        unknown = np.isnan(self.close)
        if not unknown.any():
            return self.close
        return np.where(unknown & ~np.isnan(self.close_adjusted), self.close_adjusted, self.close)

    @property
    def values(self) -> FloatArray:
        """(m, 6) the numbers of each bar, in the order of `VALUE_FIELDS`."""
        return np.column_stack([getattr(self, name) for name in VALUE_FIELDS])

    @property
    def keys(self) -> IntArray:
        """(m,) one number an instrument and date, ordered as they are."""
        return keys_of(self.symbol_index, self.sessions)

    def sorted(self) -> Bars:
        """The bars ordered by instrument, date and values, so that no verdict depends on the order of the payload.

        Nearly every payload has one bar a key and most come in order, so only bars that share a key are
        compared by their values: sorting 3.78 M bars by eight columns would take seconds.
        """
        keys = self.keys
        rising = np.diff(keys) > 0
        if rising.all():
            return self
        order: IntArray = np.argsort(keys, kind="stable")
        is_tied = np.zeros(len(keys), dtype=bool)
        is_tied[1:] = keys[order[1:]] == keys[order[:-1]]
        is_tied[:-1] |= is_tied[1:]
        tied = order[is_tied]
        values = [getattr(self, name)[tied] for name in reversed(VALUE_FIELDS)]
        order[is_tied] = tied[np.lexsort((*values, keys[tied]))]
        return self.take(order)

    def take(self, rows: IntArray | BoolArray | slice) -> Bars:
        """The bars at positions, where a mask holds, or, without a copy, in a slice."""
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


def joined_bars(parts: Sequence[Bars]) -> Bars:
    """Bars of the same symbols, one part after the other."""
    columns = (np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(Bars)[1:])
    return Bars(parts[0].symbols, *columns)


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


def days_of(sessions: DateArray) -> IntArray:
    """(m,) days since 1970-01-01; no copy of dates that are counted in days already."""
    days: IntArray = sessions.astype("datetime64[D]", copy=False).view(np.int64)
    return days


def keys_of(symbol_index: IntArray, sessions: DateArray) -> IntArray:
    """(m,) one number an instrument and date, ordered by instrument, then date."""
    half = 1 << (_DAY_BITS - 1)
    keys: IntArray = np.clip(days_of(sessions), -half, half - 1)
    keys += (symbol_index.astype(np.int64, copy=False) << _DAY_BITS) + half
    return keys


@dataclass(frozen=True, slots=True)
class Moves:
    """What bars have moved by, measured once for all rules that look at them (`moves.moves_of`).

    Parameters
    ----------
    bars
        The very bars that were measured.
    total
        (m,) log total return since the instrument's bar before; NaN where there is none.
    market
        (m,) mean move of all instruments on the session.
    """

    bars: Bars
    total: FloatArray
    market: FloatArray

    @property
    def own(self) -> FloatArray:
        """(m,) the move beyond the market's."""
        return self.total - self.market


@dataclass(frozen=True, slots=True)
class Context:
    """What rules know besides the bars.

    Parameters
    ----------
    sessions
        Sorted sessions of the exchange over the span of the bars. The last one is the newest that can have
        a bar: a jump on it has no next session yet.
    actions
        What the provider says of splits and dividends; its symbols are those of the bars.
    currencies
        ISO 4217 codes that the platform can convert; empty where currencies are not judged.
    symbol_currencies
        (n,) currency of each of the bars' symbols, as the provider gives it; empty where none is given.
    second_source
        Bars of another provider for some of the same symbols, by the same names; None where there is none.
    second_actions
        What that provider says of splits and dividends, by its own bars' symbols; None where it is taken to
        agree with `actions`.
    moves
        Moves of the bars that are judged next, by these `actions`; None where they have not been measured. Of
        other bars they say nothing.
    """

    sessions: DateArray
    actions: Actions = field(default_factory=no_actions)
    currencies: frozenset[str] = frozenset()
    symbol_currencies: tuple[str, ...] = ()
    second_source: Bars | None = None
    second_actions: Actions | None = None
    moves: Moves | None = None
