"""A one-day error: a jump that the next session takes back."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.market_data.rules.bars import Bars, Context
from pipeline.market_data.rules.confirmation import confirmed_by_second_source
from pipeline.market_data.rules.moves import mask_of, moves_of, next_of, rows_where, sigma_before

JUMP_SIGMAS = 6.0
MINIMUM_JUMP = 0.25
"""Log return. A smaller jump is within what single stocks do in a crash and its rebound (March 2020)."""

SHARE_TAKEN_BACK = 0.8
OWN_MOVE_SIGMAS = 2.0
"""The instrument's own two moves around an error do not cancel; they may leave this much."""


def flag_spike(bars: Bars, context: Context) -> BoolArray:
    """(m,) closes that jump by more than 6 σ and 25 % and fall back by about 80 % on the next session.

    Moves are those beyond the market's, so a crash and its rebound explain themselves. σ is the root mean
    square of the 63 moves before (`sigma_before`). A jump that a second source shows too is no error. An
    instrument's last bar is never flagged: only the next session can tell a spike from a move
    (`provisional_spike`).
    """
    moves = moves_of(bars, context)
    own = moves.own
    back = next_of(own, bars)
    rows = rows_where((np.abs(own) > MINIMUM_JUMP) & (np.sign(own) != np.sign(back)) & np.isfinite(back))
    sigma = sigma_before(moves.total, rows, bars)
    rows = rows[is_jump(own[rows], sigma) & _is_taken_back(own[rows], back[rows], sigma)]
    rows = rows[~confirmed_by_second_source(moves, rows, context)]
    return mask_of(rows, len(bars))


def is_jump(moves: FloatArray, sigma: FloatArray) -> BoolArray:
    """(k,) moves that an instrument of this volatility does not make."""
    jumps: BoolArray = np.abs(moves) > np.maximum(JUMP_SIGMAS * sigma, MINIMUM_JUMP)
    return jumps


def _is_taken_back(jump: FloatArray, back: FloatArray, sigma: FloatArray) -> BoolArray:
    left = np.abs(jump + back)
    taken_back: BoolArray = left < (1 - SHARE_TAKEN_BACK) * np.abs(jump) + OWN_MOVE_SIGMAS * sigma
    return taken_back


def newest_rows(bars: Bars, context: Context) -> IntArray:
    """Positions of the bars on the newest session, which no session has confirmed or taken back yet."""
    if not len(context.sessions):
        return np.array([], dtype=np.int64)
    return rows_where(bars.sessions == context.sessions[-1])
