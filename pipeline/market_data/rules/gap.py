"""An instrument that trades has a bar on every session between its first and its last."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Bars, Context, days_of


def flag_gap(bars: Bars, context: Context) -> BoolArray:
    """(m,) bars before which at least one session of the exchange is missing."""
    flagged: BoolArray = np.zeros(len(bars), dtype=bool)
    after_weekday = np.diff(days_of(bars.sessions)) != 1
    rows = np.flatnonzero(after_weekday & ~bars.is_first[1:]) + 1
    position = np.searchsorted(context.sessions, bars.sessions[rows])
    position_before = np.searchsorted(context.sessions, bars.sessions[rows - 1])
    flagged[rows] = position - position_before > 1
    return flagged
