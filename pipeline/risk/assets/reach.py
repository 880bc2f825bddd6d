"""How far back a row may look, so that it is the same whichever months are computed with it."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import DateArray, IntArray


def reach_starts(of_sessions: DateArray, months_back: int) -> DateArray:
    """(m,) the first day that the row of each session may read: that of the month `months_back` before its own.

    A run reads from that day of its first month on. A row that took what lies before it, because other months
    were computed in the same run, would change when computed alone.
    """
    months: DateArray = of_sessions.astype("datetime64[M]") - months_back
    return months.astype("datetime64[D]")


def sessions_in_reach(sessions: DateArray, rows: IntArray, months_back: int) -> IntArray:
    """(m,) returns between the sorted `sessions` that lie in the reach of each of the positions `rows`."""
    return rows - np.searchsorted(sessions, reach_starts(sessions[rows], months_back))
