"""Which instruments and sessions a matrix of returns is made of, where not every price is there.

A matrix needs every instrument on every session. A holiday of one exchange, or one price that is missing, costs all
of them that session; an instrument that has too few prices is left out itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.risk.measures.windows import simple_returns

SEARCHED_SHARE = 1.25
"""Sessions that are searched for a window, by those that it needs: three months of gaps in a year of prices."""


@dataclass(frozen=True, slots=True)
class CommonWindow:
    """The newest returns that instruments have in common.

    Parameters
    ----------
    columns
        (k,) positions of the instruments, ascending; at least one.
    rows
        (n+1,) positions of the sessions, ascending.
    returns
        (n, k) simple returns between them; over a session that was left out, they are of two sessions.
    """

    columns: IntArray
    rows: IntArray
    returns: FloatArray


def market_sessions(close: FloatArray, index_close: FloatArray | None) -> BoolArray:
    """(t,) sessions of the market: those of its index, or without one those with any price.

    Without this rule the holiday of one exchange, on which another trades, would end every window.
    """
    return np.asarray(np.isfinite(close).any(axis=1)) if index_close is None else np.isfinite(index_close)


def searched_sessions(window_sessions: int) -> int:
    """Sessions up to the last one among which a window is looked for; earlier prices do not matter."""
    return math.ceil(SEARCHED_SHARE * (window_sessions + 1))


def common_window(close: FloatArray, window_sessions: int) -> CommonWindow | None:
    """Returns of every instrument that has a full window up to the last session.

    Left out are instruments without a price on the last session, those with too few prices, and, while the others'
    sessions in common are too few, the one with the fewest prices: of equals, the last.

    Parameters
    ----------
    close
        (t, n) prices up to the session, NaN where missing. Only the last `searched_sessions` rows are looked at, so the
        answer does not depend on where the history begins.
    window_sessions
        Returns wanted.

    Returns
    -------
    CommonWindow or None
        None if no instrument has a full window.

    Raises
    ------
    MeasureInputError
        For a price that is 0 or less.
    """
    priced = _searched(close, window_sessions)
    counts = priced.sum(axis=0)
    chosen = np.flatnonzero(priced[-1] & (counts > window_sessions)) if len(priced) else np.array([], dtype=np.int64)
    while len(chosen):
        rows = shared_rows(close[:, chosen], window_sessions)
        if len(rows) > window_sessions:
            return CommonWindow(chosen, rows, simple_returns(close[np.ix_(rows, chosen)]))
        fewest = len(chosen) - 1 - int(np.argmin(counts[chosen][::-1]))
        chosen = np.delete(chosen, fewest)
    return None


def shared_rows(close: FloatArray, window_sessions: int) -> IntArray:
    """(m,) newest rows of the searched ones on which every column has a price: at most n + 1 of them."""
    offset = len(close) - min(len(close), searched_sessions(window_sessions))
    shared = np.flatnonzero(_searched(close, window_sessions).all(axis=1))
    rows: IntArray = offset + shared[-window_sessions - 1 :]
    return rows


def _searched(close: FloatArray, window_sessions: int) -> BoolArray:
    return np.isfinite(close[-searched_sessions(window_sessions) :])
