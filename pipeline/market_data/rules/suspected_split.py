"""Prices as after a split that no corporate action explains."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.market_data.rules.bars import Bars, Context, Moves
from pipeline.market_data.rules.confirmation import has_volume, is_confirmed
from pipeline.market_data.rules.moves import (
    after,
    before,
    moves_of,
    next_of,
    over_windows,
    rows_where,
    sigma_before,
)

RATIOS = (1.5, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0)
"""New units for old ones, and their inverses: all but a few of the splits of US stocks."""

UNUSUAL_WITHOUT_VOLUME = 1.5
"""Of the 41 moves of the bundled stocks above 25 %, three lie within 2 % of 3 for 2 and none was a split (measured), so
that ratio is judged only where a volume tells trading from splitting."""

TOLERANCE = 0.02
TOLERANCE_SIGMAS, LARGEST_TOLERANCE = 2.5, 0.08
"""Log return that the ex-date may have of its own: 2 % without a volume; with one, 2.5 σ between 2 % and 8 %. At 8 %
the ratios are still apart. In AAPL, FB, GOOG, IBM and MSFT 2000-2013 (`bokeh_sampledata`) without their actions this
finds two of three splits, the third fell on a day of +10 %, and holds no other bar."""

SHARE_TAKEN_BACK = 0.8

HELD_SESSIONS = 10
"""Two weeks for the provider to send the action."""

LEAST_PRICES = 16
"""Different closes among 63. A stock of a few ticks moves by small-integer ratios of itself (RRC in 1990)."""


def flag_suspected_split(bars: Bars, context: Context) -> BoolArray:
    """(m,) bars from an unexplained split on: until the old level is back, and for ten bars at most.

    Unexplained is a move within tolerance of a small-integer ratio, after the provider's own actions and the
    market, that the next session does not take back (until then it is a `provisional_spike`) and that neither
    market, volume nor a second source confirms as trading. Only the first bar jumps, but the following are in
    the same wrong unit: accepting them would only move the false return. The hold ends with the action, with
    the old level, or after two weeks, when the level is accepted with a warning (`large_move`).

    Adjusted closes alone are not judged: they contain every split, and without a volume a real halving, such as
    AAPL's on a profit warning (2000-09-29), would be held.
    """
    if not bars.has_traded_closes:
        return np.zeros(len(bars), dtype=bool)
    moves = moves_of(bars, context)
    own = moves.own
    smallest = np.log(min(RATIOS)) - LARGEST_TOLERANCE
    rows = rows_where(np.abs(own) > smallest)
    rows = rows[_is_split_like(moves, own, rows)]
    starts = rows[_stays(own, rows, bars) & ~is_confirmed(moves, rows, context)]
    return _held(bars, own, starts)


def _is_split_like(moves: Moves, own: FloatArray, rows: IntArray) -> BoolArray:
    """(k,) moves within tolerance of a ratio, of instruments that have more than a few prices."""
    distance = np.abs(np.abs(own[rows])[:, None] - np.log(RATIOS))
    nearest = np.array(RATIOS)[distance.argmin(axis=1)]
    knows_volume = has_volume(moves.bars, rows)
    sigmas = np.clip(TOLERANCE_SIGMAS * sigma_before(moves.total, rows, moves.bars), TOLERANCE, LARGEST_TOLERANCE)
    is_near = distance.min(axis=1) <= np.where(knows_volume, sigmas, TOLERANCE)
    is_near &= knows_volume | (nearest != UNUSUAL_WITHOUT_VOLUME)
    split_like: BoolArray = is_near & ~_is_tick_bound(moves.bars, rows)
    return split_like


def _is_tick_bound(bars: Bars, rows: IntArray) -> BoolArray:
    """(k,) instruments with few different closes before a row; those that have just begun are among them."""
    bound: BoolArray = over_windows(_different, bars.judged_close, rows, bars) < LEAST_PRICES
    return bound


def _different(windows: FloatArray) -> FloatArray:
    different: FloatArray = (np.diff(np.sort(windows, axis=1), axis=1) > 0).sum(axis=1) + 1.0  # NaN last
    return different


def _stays(own: FloatArray, rows: IntArray, bars: Bars) -> BoolArray:
    """(k,) moves that the next session, which there is, does not take back, and that take back none themselves."""
    size = np.abs(own[rows])
    left = np.abs(own[rows] + next_of(own, bars)[rows])
    left_before = np.abs(own[rows] + before(own, rows, bars, 1)[:, 0])  # NaN on a second bar
    stays: BoolArray = left >= (1 - SHARE_TAKEN_BACK) * size  # NaN, on a last bar, is no answer
    return stays & ~(left_before < (1 - SHARE_TAKEN_BACK) * size)


def _held(bars: Bars, own: FloatArray, starts: IntArray) -> BoolArray:
    """(m,) bars held by each start; the bar on which the old level is back ends a hold and begins none.

    A loop over suspected splits, of which a payload has few.
    """
    held: BoolArray = np.zeros(len(bars), dtype=bool)
    since = own[starts][:, None] + np.cumsum(after(own, starts, bars, HELD_SESSIONS), axis=1)
    is_back = np.abs(since) < (1 - SHARE_TAKEN_BACK) * np.abs(own[starts])[:, None]
    lengths = np.where(is_back.any(axis=1), is_back.argmax(axis=1) + 1, HELD_SESSIONS)
    ends = np.minimum(starts + lengths, np.searchsorted(bars.symbol_index, bars.symbol_index[starts], side="right"))
    restored = -1
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if start != restored:
            held[start:end] = True
            restored = end
    return held
