"""A session on which the instrument did not trade."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Bars, Context


def flag_halt(bars: Bars, _: Context) -> BoolArray:
    """(m,) bars with a volume of 0 of instruments that have traded on another session.

    Their close is the one before, carried on. An index has no volume on any session and is not flagged.
    """
    trades = np.zeros(len(bars.symbols), dtype=bool)
    trades[bars.symbol_index[bars.volume > 0]] = True
    flagged: BoolArray = (bars.volume == 0) & trades[bars.symbol_index]
    return flagged
