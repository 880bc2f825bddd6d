"""What a forecast model is: parameters in a frozen dataclass, and forecasts for rows of one series.

Rows are sessions. A series of t sessions has t-1 returns; row p has seen the p returns before it, and the
return into row p is ``returns[p - 1]``. A model may read ``returns[:p]`` for row p and nothing else. It counts from
the start of the series, so a series must always be given from the same first session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from pipeline.base.types import BoolArray, FloatArray, IntArray

VOLATILITY_FLOOR_DAILY = 1e-4
"""One basis point, a tick of a 100-dollar share: a series that stood still is not forecast to stand still for ever."""

NOT_TRAINED = -1
"""`trained_through` of a row that no model could be fitted for."""

STAND_IN_MARK = "+"
"""Between the version of a model and the name of the simpler one that was used in its place."""


@dataclass(frozen=True, slots=True)
class DailyVolatility:
    """Volatility forecasts of one model in its natural unit.

    Parameters
    ----------
    values
        (m, h) root of the expected mean squared return over each horizon: a fraction per session. NaN before the model
        has the sessions it asks for.
    trained_through
        (m,) row of the last session that entered the fit; `NOT_TRAINED` where no horizon has a value.
    stands_in
        (m,) whether the model's named simpler one was used in its place; None for a model without.
    """

    values: FloatArray
    trained_through: IntArray
    stands_in: BoolArray | None = None


@dataclass(frozen=True, slots=True)
class ReturnDistribution:
    """Forecasts of the return over one horizon by one model.

    Parameters
    ----------
    quantiles
        (m, q) quantiles of the return, NaN before the model has the sessions it asks for.
    shortfalls
        (m, s) expected shortfall below each shortfall level, as a positive loss.
    trained_through
        (m,) row of the last session that entered the fit; `NOT_TRAINED` where there is no value.
    stands_in
        (m,) whether the model's named simpler filter was used in its place; None for a model without.
    """

    quantiles: FloatArray
    shortfalls: FloatArray
    trained_through: IntArray
    stands_in: BoolArray | None = None


class VolatilityModel(Protocol):
    """Forecasts volatility over one or more horizons."""

    name: ClassVar[str]
    version: ClassVar[str]

    def minimum_returns(self, horizon_sessions: int) -> int:
        """First row that gets a forecast: the returns that must have been seen."""
        ...

    def forecast(self, returns: FloatArray, horizons: Sequence[int], rows: range) -> DailyVolatility:
        """Forecast as of each of the consecutive `rows` from (t-1,) finite simple returns."""
        ...


class QuantileModel(Protocol):
    """Forecasts the distribution of the return over the sessions to come."""

    name: ClassVar[str]
    version: ClassVar[str]

    @property
    def minimum_returns(self) -> int:
        """First row that gets a forecast of the next session: the returns that must have been seen.

        The first of a longer horizon comes as many rows later as the horizon is longer.
        """
        ...

    def forecast(
        self,
        returns: FloatArray,
        levels: Sequence[float],
        shortfall_levels: Sequence[float],
        rows: range,
        horizon: int = 1,
    ) -> ReturnDistribution:
        """Forecast as of each of the consecutive `rows` from (t-1,) finite simple returns, over `horizon` sessions."""
        ...


def rows_or_untrained(rows: range, minimum_returns: int) -> IntArray:
    """Each row itself where it has seen `minimum_returns`, `NOT_TRAINED` before: for models fitted every session."""
    positions = np.arange(rows.start, rows.stop)
    return np.where(positions >= minimum_returns, positions, NOT_TRAINED)


def stand_in_of(model: object) -> str | None:
    """Name of the simpler model that stands in for a model; None for one without."""
    found = getattr(model, "stand_in", None)
    return None if found is None else str(found.name)


def marked_version(version: str, stand_in: str) -> str:
    """Version of a forecast that was made by a model's stand-in, such as ``1+ewma``."""
    return f"{version}{STAND_IN_MARK}{stand_in}"


def marked_model(model: str, version: str) -> str:
    """Name of what made a forecast of a stored version: ``gjr_garch+ewma`` where EWMA stood in for GJR-GARCH."""
    _, mark, stand_in = version.partition(STAND_IN_MARK)
    return f"{model}{mark}{stand_in}"
