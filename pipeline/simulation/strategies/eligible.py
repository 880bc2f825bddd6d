"""Which stocks may be held from a month's end on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.common_window import common_window


@dataclass(frozen=True, slots=True)
class Eligible:
    """Stocks that may be held, and the returns that say how.

    Parameters
    ----------
    columns
        (k,) positions of the stocks, ascending; at least one.
    returns
        (n, k) simple returns up to the month's end.
    """

    columns: IntArray
    returns: FloatArray


def eligible_stocks(close: FloatArray, window_sessions: int) -> Eligible | None:
    """Stocks with a price on the last session, a full window of returns in common, and a price that moves.

    So a new listing is held once it has the window, and one that is delisted no longer after its last month.

    Parameters
    ----------
    close
        (t, n) prices up to the month's end, NaN where missing. Only the last `searched_sessions` rows are looked at.

    Returns
    -------
    Eligible or None
        None if there is no such stock.
    """
    window = common_window(close, window_sessions)
    if window is None:
        return None
    moving = np.flatnonzero(np.ptp(window.returns, axis=0) > 0.0)
    if len(moving) == 0:
        return None
    return Eligible(window.columns[moving], np.ascontiguousarray(window.returns[:, moving]))
