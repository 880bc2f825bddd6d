"""What a model of probabilities is: closes of all instruments in, the chances of every instrument out.

Two things are forecast over `HORIZON_SESSIONS`: whether an instrument's return is above 0, and in which fifth of all
instruments' returns it falls (as in the M6 competition: Makridakis et al. 2024, The M6 forecasting competition:
bridging the gap between forecasting and investment decisions). Sessions are those on which any instrument has a price;
row p has seen the closes up to and with its own, and nothing after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from pipeline.base.types import BoolArray, DateArray, FloatArray, IntArray
from pipeline.forecast.models.errors import ForecastInputError

HORIZON_SESSIONS = 21
QUINTILES = 5
FEWEST_RANKED = 10
"""Instruments of a cross-section: two a fifth."""
STALE_SESSIONS = 5
"""A close counts as the last one for this many sessions; an instrument without a newer one has no return."""
NO_QUINTILE = -1


@dataclass(frozen=True, slots=True)
class Closes:
    """Prices of all instruments as one matrix.

    Parameters
    ----------
    sessions
        (t,) sessions, ascending.
    close
        (t, n) prices above 0 with dividends reinvested; NaN where an instrument has none on a session.
    """

    sessions: DateArray
    close: FloatArray

    def __post_init__(self) -> None:
        if self.close.ndim != 2 or len(self.sessions) != len(self.close):
            raise ForecastInputError(
                f"close: shape {self.close.shape} for {len(self.sessions)} sessions; give a row a session"
            )
        if (np.diff(self.sessions) <= np.timedelta64(0, "D")).any():
            raise ForecastInputError("sessions: not ascending; give each session once, in order")
        if np.isinf(self.close).any() or (self.close <= 0.0).any():
            raise ForecastInputError("close: infinite, 0 or less; repair those prices, or leave them out as NaN")

    def priced(self) -> BoolArray:
        """(t, n) whether there is a price."""
        priced: BoolArray = np.isfinite(self.close)
        return priced

    def last_row(self) -> IntArray:
        """(t, n) row of the newest price up to each row; -1 before the first."""
        rows = np.where(self.priced(), np.arange(len(self.close))[:, None], -1)
        last: IntArray = np.maximum.accumulate(rows, axis=0)
        return last

    def carried(self) -> FloatArray:
        """(t, n) newest price up to each row; NaN before the first."""
        last = self.last_row()
        return np.where(last >= 0, np.take_along_axis(self.close, np.maximum(last, 0), axis=0), np.nan)

    def returns(self) -> FloatArray:
        """(t-1, n) return from the price before into each session; NaN where an instrument has none."""
        carried = self.carried()
        return np.where(self.priced()[1:], carried[1:] / carried[:-1] - 1.0, np.nan)

    def refits(self) -> IntArray:
        """Rows of the first session of every calendar year but the first."""
        years = self.sessions.astype("datetime64[Y]")
        return np.flatnonzero(years[1:] != years[:-1]) + 1


def returns_ahead(closes: Closes) -> FloatArray:
    """(t, n) return from each row over the horizon, known at row p + horizon; NaN where there is none.

    Only instruments with a price as of the row and one in the last sessions of the horizon have a return: whether they
    have is known when it ends, and what comes later changes none.
    """
    ahead = np.full(closes.close.shape, np.nan)
    kept = len(closes.close) - HORIZON_SESSIONS
    if kept > 0:
        ends = np.arange(HORIZON_SESSIONS, len(closes.close))[:, None]
        fresh = closes.last_row()[HORIZON_SESSIONS:] > ends - STALE_SESSIONS
        ahead[:kept] = closes.carried()[HORIZON_SESSIONS:] / closes.close[:kept] - 1.0
        ahead[:kept][~fresh] = np.nan
    return ahead


def rank_quintiles(returns: FloatArray) -> IntArray:
    """(t, n) fifth in which each return of a row falls, 0 the lowest; `NO_QUINTILE` without return or cross-section.

    By the middle of equal ranks: ⌊5 (r - ½) / n⌋ of ranks 1 … n.
    """
    found = np.full(returns.shape, NO_QUINTILE, dtype=np.int64)
    for row, values in enumerate(returns):
        known = np.flatnonzero(np.isfinite(values))
        if len(known) >= FEWEST_RANKED:
            ordered = np.sort(values[known])
            below = np.searchsorted(ordered, values[known], side="left")
            middle = (below + np.searchsorted(ordered, values[known], side="right")) / 2.0
            found[row, known] = np.minimum(QUINTILES * middle / len(known), QUINTILES - 1).astype(np.int64)
    return found


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Forecasts of one model as of m consecutive rows.

    Parameters
    ----------
    positive
        (m, n) probability of a return above 0; NaN where it is refused.
    quintiles
        (m, n, 5) probability of each fifth, the lowest first; NaN where it is refused.
    reasons
        (m, n) why something is refused; empty where nothing is.
    trained_through
        (m,) row of the last session that entered the fit.
    """

    positive: FloatArray
    quintiles: FloatArray
    reasons: np.ndarray[tuple[int, ...], np.dtype[np.bytes_]]
    trained_through: IntArray


class ProbabilityModel(Protocol):
    """Forecasts probabilities of every instrument from the closes of all."""

    name: ClassVar[str]
    version: ClassVar[str]

    def forecast(self, closes: Closes, rows: range) -> Probabilities:
        """Forecast as of each of the consecutive `rows`."""
        ...


def reasons_of(shape: tuple[int, int], why: dict[bytes, BoolArray]) -> np.ndarray[tuple[int, ...], np.dtype[np.bytes_]]:
    """The first reason that holds, an instrument and row."""
    reasons = np.full(shape, b"", dtype="S40")
    for reason, holds in reversed(why.items()):
        reasons[np.broadcast_to(holds, shape)] = reason
    return reasons
