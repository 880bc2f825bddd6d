"""A bar must lie on a session of its exchange."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Bars, Context, days_of


def flag_not_a_session(bars: Bars, context: Context) -> BoolArray:
    """(m,) dates on which the exchange was closed."""
    if not len(context.sessions):
        return np.ones(len(bars), dtype=bool)
    day, sessions = days_of(bars.sessions), days_of(context.sessions)
    is_session = np.zeros(sessions[-1] - sessions[0] + 3, dtype=bool)  # with a closed day at both ends
    is_session[sessions - sessions[0] + 1] = True
    flagged: BoolArray = ~is_session[np.clip(day, sessions[0] - 1, sessions[-1] + 1) - sessions[0] + 1]
    return flagged
