"""Prices in hundredths, such as pence for pounds, for a day, a run of days or from a day on."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray, IntArray
from pipeline.market_data.rules.bars import Bars, Context
from pipeline.market_data.rules.moves import moves_of

UNIT = 100.0
TOLERANCE = 0.7
"""Log return on the day of the switch, so between ×50 and ×200: no instrument moves like that without an action, and a
switch back that went unseen, on a day of much news, would condemn every bar after it."""

_FURTHEST = 2
"""Switches one on top of the other that are told apart."""


def flag_unit_switch(bars: Bars, context: Context) -> BoolArray:
    """(m,) bars in another unit than most bars of their instrument.

    A move of ×100 or ÷100 is a switch; every bar until the switch back is in the other unit. Where both units
    have as many bars, the earlier one is the right one. There is no limit to the length of a run, so a payload
    that begins within one shows its usual unit only if most of its bars are in it.
    """
    moves = moves_of(bars, context).total
    is_switch = np.abs(np.abs(moves) - np.log(UNIT)) <= TOLERANCE
    if not is_switch.any():
        return np.zeros(len(bars), dtype=bool)
    steps = np.where(is_switch, np.sign(np.nan_to_num(moves)), 0.0).astype(np.int64)
    level = _within_instruments(np.cumsum(steps), bars)
    flagged: BoolArray = level != _usual(level, bars)[bars.symbol_index]
    return flagged


def _within_instruments(total: IntArray, bars: Bars) -> IntArray:
    """Running totals that begin at 0 with every instrument, whose first bar has no move."""
    first = np.flatnonzero(bars.is_first)
    start = np.repeat(total[first], np.diff(np.r_[first, len(bars)]))
    level: IntArray = np.clip(total - start, -_FURTHEST, _FURTHEST)
    return level


def _usual(level: IntArray, bars: Bars) -> IntArray:
    """(n,) the level that most bars of each instrument have; its first bar's where there is a draw."""
    levels = 2 * _FURTHEST + 1
    cell = bars.symbol_index * levels + level + _FURTHEST
    counts = 2 * np.bincount(cell, minlength=len(bars.symbols) * levels).reshape(-1, levels)
    counts[:, _FURTHEST] += 1
    usual: IntArray = counts.argmax(axis=1) - _FURTHEST
    return usual
