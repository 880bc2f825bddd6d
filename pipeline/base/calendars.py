"""Exchange sessions: the only dates that a price, a return or a risk number may carry."""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.base.errors import InvalidInputError
from pipeline.base.types import DateArray

if TYPE_CHECKING:
    import pandas as pd

FIRST_SESSION_YEAR = 1970
"""`exchange_calendars` defaults to the last 20 years; demonstration prices begin in 1990."""

LAST_SESSION_YEAR = 2261
"""`exchange_calendars` counts in nanoseconds, which end in April 2262."""

NEW_YORK = "XNYS"
NEW_YORK_TIME_ZONE = "America/New_York"


@cache
def _calendar(exchange: str, last_year: int) -> Any:
    # Imported on first use: it costs a second, and the API needs no calendar to start.
    import exchange_calendars  # noqa: PLC0415

    try:
        return exchange_calendars.get_calendar(exchange, start=f"{FIRST_SESSION_YEAR}-01-01", end=f"{last_year}-12-31")
    except exchange_calendars.errors.InvalidCalendarName as error:
        raise InvalidInputError(
            f"There is no calendar of an exchange {exchange!r}", "Name it by its ISO 10383 code, such as XNYS or XLON."
        ) from error


def sessions_between(start: date, end: date, exchange: str = NEW_YORK) -> DateArray:
    """Sessions of an exchange in ``[start, end)``.

    Parameters
    ----------
    start, end
        First day, and the day after the last one. Years before 1970 and after 2261 hold no session here.
    exchange
        ISO 10383 market identifier, such as ``XNYS``.

    Returns
    -------
    DateArray
        Sorted ``datetime64[D]``, without duplicates.
    """
    last_year = min(max(end.year, date.today().year), LAST_SESSION_YEAR)  # noqa: DTZ011
    sessions: pd.DatetimeIndex = _calendar(exchange, last_year).sessions
    days = sessions.to_numpy().astype("datetime64[D]")
    first, last = np.searchsorted(days, np.array([start, end], dtype="datetime64[D]"))
    return days[first:last]
