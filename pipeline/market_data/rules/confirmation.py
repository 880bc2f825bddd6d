"""Who else saw a move: the market, the instrument's own volume, or a second source."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.market_data.rules.bars import Bars, Context, Moves
from pipeline.market_data.rules.moves import over_windows
from pipeline.market_data.rules.second_source import moves_of_second_source

MARKET_MOVE = 0.05
MARKET_MULTIPLE = 3.0
"""No stock of the S&P 500 has a beta above 3; a move of more is the instrument's own."""

ACTIVITY_MULTIPLE = 3.0
"""Units and money traded, each against their median of the 63 sessions before. A split of 10 for 1 multiplies the
units by ten and leaves the money; a reverse one the other way round: only trading multiplies both."""

SECOND_SOURCE_TOLERANCE = 0.02
"""Log return. Far above the differences between two sources, far below a jump that needs confirming."""


def is_confirmed(moves: Moves, rows: IntArray, context: Context) -> BoolArray:
    """(k,) whether the moves at `rows` are confirmed by the market, by volume or by a second source."""
    confirmed = confirmed_by_market(moves, rows) | confirmed_by_volume(moves.bars, rows)
    confirmed |= confirmed_by_second_source(moves, rows, context)
    return confirmed


def confirmed_by_market(moves: Moves, rows: IntArray) -> BoolArray:
    """(k,) whether ten or more instruments moved the same way by 5 % on average, this one at most thrice that."""
    market, total = moves.market[rows], moves.total[rows]
    confirmed: BoolArray = (np.abs(market) >= MARKET_MOVE) & (np.sign(total) == np.sign(market))
    return confirmed & (np.abs(total) <= MARKET_MULTIPLE * np.abs(market))


def confirmed_by_volume(bars: Bars, rows: IntArray) -> BoolArray:
    """(k,) whether both the units and the money that were traded are three times what is usual."""
    if np.isnan(bars.volume[rows]).all():
        return np.zeros(len(rows), dtype=bool)
    money = bars.volume * bars.judged_close
    return _is_active(bars.volume, rows, bars) & _is_active(money, rows, bars)


def has_volume(bars: Bars, rows: IntArray) -> BoolArray:
    """(k,) whether the bar tells how much was traded."""
    known: BoolArray = bars.volume[rows] > 0
    return known


def confirmed_by_second_source(moves: Moves, rows: IntArray, context: Context) -> BoolArray:
    """(k,) whether another provider has the same move on the same session."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(moves_of_second_source(moves.bars, rows, context) - moves.total[rows])
    confirmed: BoolArray = difference <= SECOND_SOURCE_TOLERANCE
    return confirmed


def _is_active(amounts: FloatArray, rows: IntArray, bars: Bars) -> BoolArray:
    """(k,) whether an amount is three times the median of those of the instrument before it."""
    usual = over_windows(_median, amounts, rows, bars)
    active: BoolArray = (amounts[rows] > 0) & (amounts[rows] >= ACTIVITY_MULTIPLE * usual)  # NaN is no answer
    return active


def _median(windows: FloatArray) -> FloatArray:
    """(k,) lower median of what is known; NaN if nothing is."""
    ordered = np.sort(windows, axis=1)  # NaN last
    middle = np.maximum(np.isfinite(windows).sum(axis=1) - 1, 0) // 2
    median: FloatArray = ordered[np.arange(len(ordered)), middle]
    return median
