"""An instrument has one close a session."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Bars, Context


def flag_conflicting_duplicate(bars: Bars, _: Context) -> BoolArray:
    """(m,) every bar of a key that comes more than once with different closes.

    Which one is right cannot be told from one payload, so all of them wait in quarantine.
    """
    same_key = (bars.symbol_index[1:] == bars.symbol_index[:-1]) & (bars.sessions[1:] == bars.sessions[:-1])
    conflict = same_key & (bars.close_adjusted[1:] != bars.close_adjusted[:-1])
    flagged: BoolArray = np.zeros(len(bars), dtype=bool)
    flagged[1:] |= conflict
    flagged[:-1] |= conflict
    return flagged
