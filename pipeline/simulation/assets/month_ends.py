"""The last session of each month, where the assets of this slice have their rows."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import DateArray, MonthRange


def last_rows(sessions: DateArray, months: MonthRange) -> list[int]:
    """Position of the last session of each month of the range that has one."""
    rows = months.rows_of(sessions)
    month_of = sessions[rows].astype("datetime64[M]")
    is_last = np.append(month_of[1:] != month_of[:-1], True)[: len(month_of)]
    return [int(row) for row in rows.start + np.flatnonzero(is_last)]
