"""The bars that rules have left so far, by parts whose intermediate results fit the processor's cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np

from pipeline.base.types import BoolArray, IntArray
from pipeline.market_data.rules.bars import Actions, Bars, Context, Moves, days_of
from pipeline.market_data.rules.moves import log_moves, market_moves, moves_at

PART_ROWS = 1 << 16
"""Bars of a part, to the next instrument: a column of half a MiB."""


@dataclass(slots=True)
class _Part:
    """Instruments that follow each other.

    Parameters
    ----------
    rows
        Where their bars stand among all.
    bars
        Those of them that are left.
    context
        What rules know of these instruments.
    """

    rows: slice
    bars: Bars
    context: Context


class Standing:
    """Sorted bars, and which of them the rules have left so far.

    A rule looks at an instrument as if it were alone, but for what the market did. So parts of the instruments are
    judged one after the other, and only parts that lose bars are copied; what the market did is measured of all of
    them. With a second source, whose dispute with the first is settled by the common instruments' mean, all are
    one part.

    Parameters
    ----------
    bars
        Sorted bars, one a key, with closes as traded or without: all of them alike (`flag_not_positive`).
    """

    def __init__(self, bars: Bars, context: Context) -> None:
        self._bars = bars
        self._is_left = np.ones(len(bars), dtype=bool)
        self._parts = list(_parts(bars, context))
        self._total = np.concatenate([np.array([]), *(log_moves(part.bars, part.context) for part in self._parts)])
        self._market = market_moves(bars, self._total)
        days = days_of(bars.sessions)
        self._day = days - (days.min() if len(days) else 0)

    def flagged(self, rule: Callable[[Bars, Context], BoolArray]) -> BoolArray:
        """(m,) bars that a rule flags among those that are left."""
        flagged = np.zeros(len(self._bars), dtype=bool)
        for part in self._parts:
            flagged[part.rows][self._left_in(part)] = rule(part.bars, replace(part.context, moves=self._moves(part)))
        return flagged

    def drop(self, flagged: BoolArray) -> None:
        """Leave out some of the bars, and measure again what the bars beside them and the market moved by.

        Parameters
        ----------
        flagged
            (m,) bars to leave out, all of them left so far.
        """
        changed = [self._drop_of(part, flagged[part.rows]) for part in self._parts if flagged[part.rows].any()]
        if changed:
            is_touched = np.zeros(self._day.max() + 1, dtype=bool)
            is_touched[np.concatenate(changed)] = True
            rows = np.flatnonzero(is_touched[self._day])
            self._market[rows] = market_moves(self._bars.take(rows), self._total[rows])

    def _left_in(self, part: _Part) -> slice | BoolArray:
        """Which of a part's bars are left; no mask, which is four times the time, where all are."""
        is_whole = len(part.bars) == part.rows.stop - part.rows.start
        return slice(None) if is_whole else self._is_left[part.rows]

    def _moves(self, part: _Part) -> Moves:
        left = self._left_in(part)
        return Moves(part.bars, self._total[part.rows][left], self._market[part.rows][left])

    def _drop_of(self, part: _Part, flagged: BoolArray) -> IntArray:
        """The days on which an instrument of the part has another move than before, or none."""
        is_gone = flagged[self._left_in(part)]
        part.bars = part.bars.take(~is_gone)
        self._is_left[part.rows] &= ~flagged
        self._total[part.rows][flagged] = np.nan
        gone = np.flatnonzero(is_gone)
        after = np.minimum(gone + 1, len(is_gone) - 1)
        after = after[~is_gone[after]]
        touched = np.unique(after - np.searchsorted(gone, after))
        rows = np.flatnonzero(self._is_left[part.rows])[touched]
        self._total[part.rows][rows] = moves_at(touched, part.bars, part.context)
        return np.concatenate([self._day[part.rows][flagged], self._day[part.rows][rows]])


def _parts(bars: Bars, context: Context) -> Iterator[_Part]:
    first = np.flatnonzero(bars.is_first)
    if context.second_source is not None:
        first = first[:1]
    wanted = np.arange(0, len(bars), PART_ROWS)
    starts = np.unique(first[np.searchsorted(first, wanted, side="right") - 1]).tolist()
    for start, end in pairwise([*starts, len(bars)]):
        rows = slice(start, end)
        part = bars.take(rows)
        yield _Part(rows, part, replace(context, actions=_actions_of(part, context.actions), moves=None))


def _actions_of(part: Bars, actions: Actions) -> Actions:
    """The actions of a part's instruments alone, so that not every part looks for those of all."""
    inside = (actions.symbol_index >= part.symbol_index[0]) & (actions.symbol_index <= part.symbol_index[-1])
    return Actions(actions.symbols, *(getattr(actions, column.name)[inside] for column in fields(actions)[1:]))
