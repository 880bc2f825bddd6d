"""A drift band: weights drift until one is too far from its target at a close, which then restores them all.

Tolerance bands in place of a calendar: Masters, "Rebalancing", Journal of Portfolio Management 29 (2003).

Between two trades the portfolio is units that are held. They follow from the closes of the last trade alone, so a walk
that begins at a trade goes on as the one that led there, to the last bit.
"""

from __future__ import annotations

import numpy as np

from pipeline.base.types import DateArray, FloatArray, IntArray, SetUnits
from pipeline.risk.measures.errors import MeasureInputError

_SHORTEST_LOOK, _LONGEST_LOOK = 16, 1_024
"""Sessions that are looked through at once for the next trade: few after one, twice as many after each without."""


def setting_rows(close: FloatArray, targets: FloatArray, band: float) -> IntArray:
    """Row of the close at which what is held from each close on was set; a row of its own is a trade.

    The targets are bought at the first close. Trades restore them in full at the close that is outside the band, and
    earn from the next session on. Here in steps of many sessions; `pipeline.risk.measures.kernels.drift_band` gives the
    same rows session by session.

    Parameters
    ----------
    close
        (t, n) prices, all finite and positive.
    targets
        (n,) weights that sum to 1.
    band
        Absolute: 0.05 lets a target of 0.2 drift from 0.15 to 0.25, both included.

    Returns
    -------
    IntArray
        (t,).
    """
    rows = np.zeros(len(close), dtype=np.int64)
    setting, start, look = 0, 1, _SHORTEST_LOOK
    while start < len(close):
        stop = min(start + look, len(close))
        outside = np.flatnonzero(_is_outside(close[start:stop], targets / close[setting], targets, band))
        if len(outside) == 0:
            rows[start:stop] = setting
            start, look = stop, min(2 * look, _LONGEST_LOOK)
            continue
        trade = start + int(outside[0])
        rows[start:trade] = setting
        rows[trade] = setting = trade
        start, look = trade + 1, _SHORTEST_LOOK
    return rows


def _is_outside(close: FloatArray, units: FloatArray, targets: FloatArray, band: float) -> np.ndarray:
    """(m,) whether some weight has left its band; of a portfolio worth nothing, which is refused later, none has."""
    values = close * units
    total = np.cumsum(values, axis=1)[:, -1]  # column after column, as the kernel adds; `sum` adds pairs
    is_worth = total > 0.0
    weights = values / np.where(is_worth, total, 1.0)[:, None]
    outside: np.ndarray = is_worth & (np.abs(weights - targets) > band).any(axis=1)
    return outside


def units_on(sessions: DateArray, held: SetUnits) -> FloatArray:
    """What is held from the close of each session on, as it was set before.

    Returns
    -------
    FloatArray
        (t, n).

    Raises
    ------
    MeasureInputError
        If it is not known at the first session.
    """
    places = np.searchsorted(held.sessions, sessions, side="right") - 1
    if places[0] < 0:
        raise MeasureInputError(
            f"positions: no units of the drift band are stored at {sessions[0]}; materialise portfolio_units up to it"
        )
    return held.units[places]
