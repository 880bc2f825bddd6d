"""Several instruments side by side, and the forecasts of models that look at all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Protocol

import numpy as np

from pipeline.base.types import DateArray, FloatArray, IntArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.protocol import DailyVolatility


@dataclass(frozen=True, slots=True)
class Member:
    """One instrument's own sessions.

    Parameters
    ----------
    sessions
        (t,) sessions with a price, ascending.
    returns
        (t-1,) simple returns between them.
    """

    sessions: DateArray
    returns: FloatArray

    def __post_init__(self) -> None:
        if self.returns.shape != (max(len(self.sessions) - 1, 0),):
            raise ForecastInputError(
                f"returns: {self.returns.shape} for {len(self.sessions)} sessions; give one between each two"
            )
        if not np.isfinite(self.returns).all() or (self.returns <= -1.0).any():
            raise ForecastInputError(
                "returns: NaN, infinite, or -1 or less; drop those sessions or repair their prices"
            )
        if (np.diff(self.sessions) <= np.timedelta64(0, "D")).any():
            raise ForecastInputError("sessions: not ascending; give each session once, in order")


@dataclass(frozen=True, slots=True)
class Panel:
    """Instruments over the union of their sessions.

    Parameters
    ----------
    members
        (n) instruments, always in the same order.
    sessions
        (T,) every session of any.
    places
        (n) arrays: row of the panel of each own session.
    """

    members: tuple[Member, ...]
    sessions: DateArray
    places: tuple[IntArray, ...]

    @classmethod
    def of(cls, members: Sequence[Member]) -> Panel:
        """The panel of some instruments."""
        if not members:
            raise ForecastInputError("members: none given; give at least one instrument")
        sessions = np.unique(np.concatenate([member.sessions for member in members]))
        places = tuple(np.searchsorted(sessions, member.sessions) for member in members)
        return cls(tuple(members), sessions, places)

    def spread(self, number: int, values: FloatArray) -> FloatArray:
        """(T, …) an instrument's values on the panel's rows; NaN where it has no session."""
        spread = np.full((len(self.sessions), *values.shape[1:]), np.nan)
        spread[self.places[number]] = values
        return spread

    def mean(self, values: FloatArray) -> FloatArray:
        """(T,) mean over the instruments that have a value; NaN where none has.

        Added one by one, so that an instrument that comes later leaves every bit of what was before.
        """
        total, count = np.zeros(len(values)), np.zeros(len(values))
        for column in values.T:
            has = np.isfinite(column)
            total += np.where(has, column, 0.0)
            count += has
        mean: FloatArray = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0.0)
        return mean

    def spans(self, since: int) -> Iterator[tuple[int, slice]]:
        """Every refit whose forecasts reach beyond a row, and its rows from that one on.

        Models are fitted with the first session of every calendar year, whoever is in the panel.
        """
        years = self.sessions.astype("datetime64[Y]")
        refits = [*(np.flatnonzero(years[1:] != years[:-1]) + 1).tolist(), len(years)]
        for refit, stop in pairwise(refits):
            if stop > since:
                yield refit, slice(max(refit, since), stop)


@dataclass(frozen=True, slots=True)
class PanelVolatility:
    """Volatility forecasts of one model as of every row of a panel, in its natural unit.

    Parameters
    ----------
    values
        (T, n, h) a fraction per session; NaN where there is none.
    fitted_at
        (T,) panel row of the fit in force; -1 before the first.
    """

    values: FloatArray
    fitted_at: IntArray


Made = Mapping[str, PanelVolatility]
"""Model → its forecasts: what models that build on others are given."""


class PanelModel(Protocol):
    """Forecasts the volatility of every instrument of a panel from all of them."""

    name: ClassVar[str]
    version: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    """Models whose forecasts it builds on, which are made before."""

    def forecast(self, panel: Panel, made: Made, horizons: Sequence[int], since: int) -> PanelVolatility:
        """Forecast as of the rows from `since` on; NaN before, unless they come for nothing."""
        ...


def spread_volatility(panel: Panel, made: Sequence[DailyVolatility]) -> PanelVolatility:
    """Forecasts of a model of single series, an instrument each, side by side; without those that stand in."""
    columns = []
    for number, own in enumerate(made):
        values = own.values if own.stands_in is None else np.where(own.stands_in[:, None], np.nan, own.values)
        columns.append(panel.spread(number, values))
    return PanelVolatility(np.stack(columns, axis=1), np.full(len(panel.sessions), -1))
