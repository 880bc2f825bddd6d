"""Returns by calendar: what each month or year earned, and what the last years did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import DateArray, FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.windows import require_returns

Calendar = Literal["month", "year"]
_UNITS: dict[Calendar, str] = {"month": "datetime64[M]", "year": "datetime64[Y]"}
SESSIONS_PER_YEAR = 252


@dataclass(frozen=True, slots=True)
class TrailingReturn:
    """What the newest sessions earned.

    Parameters
    ----------
    start
        Session whose close it is counted from.
    total_return
        Compounded.
    annual_return
        The same per year of 252 sessions; None for less than a year, which says little of one.
    """

    start: np.datetime64
    sessions: int
    total_return: float
    annual_return: float | None


def calendar_returns(
    returns: FloatArray, sessions: DateArray, calendar: Calendar
) -> tuple[NDArray[np.datetime64], FloatArray]:
    """Compounded returns of each calendar month or year; the first and the last may be incomplete.

    Linked as in Bacon (2008), chapter 2.

    Parameters
    ----------
    returns
        (n,) simple returns.
    sessions
        (n,) on which they were earned, ascending.

    Returns
    -------
    tuple
        (p,) first days of the periods, and (p,) their returns; the products over all periods are equal.

    Raises
    ------
    MeasureInputError
        If a return is not finite, or the numbers differ.
    """
    _require_dated(returns, sessions)
    periods = sessions.astype(_UNITS[calendar])
    starts = np.flatnonzero(np.r_[True, periods[1:] != periods[:-1]])
    compounded: FloatArray = np.multiply.reduceat(1.0 + returns, starts) - 1.0
    return periods[starts].astype("datetime64[D]"), compounded


def trailing_return(returns: FloatArray, sessions: DateArray, months: int | None) -> TrailingReturn | None:
    """What the last months earned, from the last close that is at least so old; None where there is none.

    Linked, and per year from one year on, as in Bacon (2008), chapter 2.

    Parameters
    ----------
    returns
        (n,) simple returns.
    sessions
        (n+1,) of the closes, the first before the first return.
    months
        None for all returns.

    Raises
    ------
    MeasureInputError
        If a return is not finite, or the numbers differ.
    """
    _require_dated(returns, sessions[1:])
    first = 0
    if months is not None:
        wanted = _months_before(sessions[-1], months)
        first = int(np.searchsorted(sessions, wanted, side="right")) - 1
        if first < 0:
            return None
    kept = returns[first:]
    total = float(np.prod(1.0 + kept) - 1.0)
    return TrailingReturn(sessions[first], len(kept), total, annual_return(total, len(kept)))


def annual_return(total: float, sessions: int) -> float | None:
    """A compounded return per year of 252 sessions; None for less than a year, and for the loss of everything.

    Bacon (2008), chapter 2.
    """
    if sessions < SESSIONS_PER_YEAR or total <= -1.0:
        return None
    return float((1.0 + total) ** (SESSIONS_PER_YEAR / sessions) - 1.0)


def _months_before(day: np.datetime64, months: int) -> np.datetime64:
    """The same day of an earlier month, or that month's last."""
    month = day.astype("datetime64[M]")
    earlier = month - months
    place = (day - month.astype("datetime64[D]")).astype(int)
    last = (earlier + 1).astype("datetime64[D]") - 1
    found: np.datetime64 = min(earlier.astype("datetime64[D]") + place, last)
    return found


def _require_dated(returns: FloatArray, sessions: DateArray | Sequence[np.datetime64]) -> None:
    require_returns(returns, minimum_sessions=1)
    if len(sessions) != len(returns):
        raise MeasureInputError(f"sessions: {len(sessions)} for {len(returns)} returns; give one for each")
