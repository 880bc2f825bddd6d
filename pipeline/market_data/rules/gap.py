"""An instrument that trades has a bar on every session between its first and its last."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Bars, Context


def flag_gap(bars: Bars, context: Context) -> BoolArray:
    """(m,) bars before which at least one session of the exchange is missing."""
    position = np.searchsorted(context.sessions, bars.sessions)
    flagged: BoolArray = np.zeros(len(bars), dtype=bool)
    flagged[1:] = (np.diff(position) > 1) & ~bars.is_first[1:]
    return flagged
