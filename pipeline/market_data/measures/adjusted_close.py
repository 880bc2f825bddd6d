"""Closes adjusted backward for splits and dividends, so that their ratios are total returns.

Method of the Center for Research in Security Prices (CRSP, *Data Descriptions Guide*, "Adjusted prices"): on an
ex-date with dividend D and the close C of the session before, every earlier close is multiplied by 1 - D / C, and
divided by the split ratio. The last session's factor is 1.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from pipeline.base.types import BoolArray, DateArray, FloatArray, IntArray
from pipeline.market_data.measures.errors import ActionInputError


class TradedCloses(Protocol):
    """Closes as traded, sorted by instrument and date, one a session; what rules have accepted."""

    @property
    def symbol_index(self) -> IntArray:
        """(m,) number of the instrument."""

    @property
    def sessions(self) -> DateArray:
        """(m,) date."""

    @property
    def close(self) -> FloatArray:
        """(m,) close in the currency of the dividends; finite and positive."""


class SplitsAndDividends(Protocol):
    """Corporate actions in any order; several on one date add up."""

    @property
    def symbol_index(self) -> IntArray:
        """(a,) number of the instrument."""

    @property
    def ex_sessions(self) -> DateArray:
        """(a,) first date without the right."""

    @property
    def split_numerator(self) -> IntArray:
        """(a,) new units."""

    @property
    def split_denominator(self) -> IntArray:
        """(a,) for so many old ones."""

    @property
    def dividend(self) -> FloatArray:
        """(a,) cash for one unit held before the split of the same date."""


def adjusted_close(bars: TradedCloses, actions: SplitsAndDividends) -> FloatArray:
    """Closes times the factors of all later actions.

    An action on a date without a bar takes effect with the next bar, against the last close before it. Actions
    up to an instrument's first bar, or after its last, change nothing.

    Parameters
    ----------
    bars
        (m,) closes as traded.
    actions
        (a,) splits and dividends.

    Returns
    -------
    FloatArray
        (m,) adjusted closes; equal to the closes from the last action on. An instrument's values do not depend
        on which others are computed with it.

    Raises
    ------
    ActionInputError
        If a dividend is negative, not finite or not below the close before it, or a split ratio is not positive.
    """
    _refuse_impossible(actions)
    order = np.lexsort((actions.ex_sessions, actions.symbol_index))
    rows = _first_bars(bars, actions)[order]
    order, rows = order[rows >= 0], rows[rows >= 0]
    if not len(rows):
        return bars.close.copy()
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    units, cash = _combined(actions, order, starts)
    effective = rows[starts]
    previous = bars.close[effective - 1]
    _refuse_too_large(bars, effective, cash, previous)
    factors = _of_all_later(bars.symbol_index[effective], (1.0 - cash / previous) / units)
    return bars.close * _by_bar(bars, effective, factors)


def _refuse_impossible(actions: SplitsAndDividends) -> None:
    wrong_cash = ~(np.isfinite(actions.dividend) & (actions.dividend >= 0))
    wrong_ratio = (actions.split_numerator <= 0) | (actions.split_denominator <= 0)
    for wrong, what in (
        (wrong_cash, "a dividend that is no amount"),
        (wrong_ratio, "a split ratio that is not positive"),
    ):
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            raise _error(int(actions.symbol_index[at]), actions.ex_sessions[at], what)


def _refuse_too_large(bars: TradedCloses, rows: IntArray, cash: FloatArray, previous: FloatArray) -> None:
    too_large = ~(cash < previous)
    if too_large.any():
        at = int(np.flatnonzero(too_large)[0])
        what = f"a dividend of {cash[at]:g} on a close of {previous[at]:g}"
        raise _error(int(bars.symbol_index[rows[at]]), bars.sessions[rows[at]], what)


def _error(instrument: int, day: np.datetime64, what: str) -> ActionInputError:
    return ActionInputError(f"Instrument {instrument} has {what} on {day}. Correct or leave out the action.")


def _first_bars(bars: TradedCloses, actions: SplitsAndDividends) -> IntArray:
    """(a,) position of the first bar on or after each ex-date; -1 where there is none or none before it."""
    stop = np.searchsorted(bars.symbol_index, actions.symbol_index, side="right")
    start = np.searchsorted(bars.symbol_index, actions.symbol_index, side="left")
    rows = np.array(
        [
            a + np.searchsorted(bars.sessions[a:b], day)
            for a, b, day in zip(start, stop, actions.ex_sessions, strict=True)
        ],
        dtype=np.int64,
    )
    return np.where((rows > start) & (rows < stop), rows, -1)


def _combined(actions: SplitsAndDividends, order: IntArray, starts: IntArray) -> tuple[FloatArray, FloatArray]:
    """Units and cash that one unit of the last close has become by each bar, over all actions since that close.

    Actions come in order of their dates; cash of a later date is paid on the units that the earlier ones made.
    """
    ratio = (actions.split_numerator / actions.split_denominator)[order]
    cash = actions.dividend[order].copy()
    units = np.multiply.reduceat(ratio, starts)
    days = actions.ex_sessions[order]
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
        if stop - start > 1:  # rare: two dates without a bar between, or two payments on one
            earlier = days[start:stop, None] > days[None, start:stop]
            cash[start:stop] *= np.where(earlier, ratio[start:stop], 1.0).prod(axis=1)
    return units, np.add.reduceat(cash, starts)


def _of_all_later(instrument: IntArray, factors: FloatArray) -> FloatArray:
    """Product of each factor and all later ones of its instrument, multiplied from the last to the first."""
    begins: BoolArray = np.diff(instrument, prepend=-1) != 0
    group = np.cumsum(begins) - 1
    place = np.arange(len(factors)) - np.flatnonzero(begins)[group]
    table = np.ones((group[-1] + 1, place.max() + 1))
    table[group, place] = factors
    product: FloatArray = np.multiply.accumulate(table[:, ::-1], axis=1)[:, ::-1][group, place]
    return product


def _by_bar(bars: TradedCloses, effective: IntArray, factors: FloatArray) -> FloatArray:
    """(m,) the factor of the next effective action of each bar's instrument; 1 after the last."""
    following = np.searchsorted(effective, np.arange(len(bars.close)), side="right")
    has_next = following < len(effective)
    following[~has_next] = 0
    has_next &= bars.symbol_index[effective[following]] == bars.symbol_index
    by_bar: FloatArray = np.where(has_next, factors[following], 1.0)
    return by_bar
