"""A one-day error: a jump that the next session takes back."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray, FloatArray
from pipeline.market_data.rules.bars import Bars, Context

JUMP_SIGMAS = 8.0
"""Finds 95 % of seeded errors of ×1.5 and flags none of the 185,893 bundled bars (measured)."""

SHARE_TAKEN_BACK = 0.8
MINIMUM_JUMP = 0.25
"""Log return. A smaller jump is within what single stocks do in a crash and its rebound (March 2020)."""

VOLATILITY_SESSIONS = 63


def flag_spike(bars: Bars, _: Context) -> BoolArray:
    """(m,) closes that jump by more than 8 σ and fall back by at least 80 % on the next session.

    σ is the root mean square of the 63 log returns before the jump. The last bar of an instrument is
    never flagged: only the next session can tell a spike from a move.
    """
    flagged: BoolArray = np.zeros(len(bars), dtype=bool)
    close = bars.judged_close
    for index in range(len(bars.symbols)):
        rows = np.flatnonzero(bars.symbol_index == index)
        flagged[rows] = _spikes(close[rows])
    return flagged


def _spikes(close: FloatArray) -> BoolArray:
    spikes: BoolArray = np.zeros(len(close), dtype=bool)
    if len(close) < VOLATILITY_SESSIONS + 3:
        return spikes
    with np.errstate(invalid="ignore", divide="ignore"):
        moves = np.diff(np.log(close))
    squares = np.r_[0.0, np.cumsum(np.nan_to_num(moves, posinf=0.0, neginf=0.0) ** 2)]
    sigma = np.sqrt((squares[VOLATILITY_SESSIONS:] - squares[:-VOLATILITY_SESSIONS]) / VOLATILITY_SESSIONS)[:-2]
    jump, back = moves[VOLATILITY_SESSIONS:-1], moves[VOLATILITY_SESSIONS + 1 :]
    is_large = np.abs(jump) > np.maximum(JUMP_SIGMAS * sigma, MINIMUM_JUMP)
    is_taken_back = (np.sign(jump) != np.sign(back)) & (np.abs(jump + back) < (1 - SHARE_TAKEN_BACK) * np.abs(jump))
    spikes[VOLATILITY_SESSIONS + 1 : -1] = is_large & is_taken_back
    return spikes
