"""The last session of each month: where assets that look back from a month's end have their rows."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import DateArray, IntArray, MonthRange


def month_end_rows(sessions: DateArray, months: MonthRange) -> IntArray:
    """(m,) position of the last session of each month of the range that has one."""
    rows = months.rows_of(sessions)
    month_of = sessions[rows].astype("datetime64[M]")
    is_last = np.append(month_of[1:] != month_of[:-1], True)[: len(month_of)]
    ends: IntArray = rows.start + np.flatnonzero(is_last)
    return ends
