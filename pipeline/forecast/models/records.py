"""Forecasts of consecutive rows, and how they become rows of their tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.level_columns import level_column
from pipeline.base.types import BoolArray, DateArray, FloatArray, IntArray
from pipeline.forecast.models.protocol import marked_version


@dataclass(frozen=True, slots=True)
class VolatilityForecasts:
    """Forecasts of one model for consecutive rows.

    Parameters
    ----------
    model, model_version
        Which model.
    horizons_sessions
        (h) horizons.
    as_of
        (m,) rows.
    trained_through
        (m,) row of the last session that entered the fit; -1 where there is no forecast.
    volatility_annual
        (m, h) expected volatility over each horizon, a fraction per year; NaN where the model asks for more sessions.
    periods_per_year
        Sessions per year that it was annualised with.
    stand_in, stands_in
        The simpler model, and (m,) whether it was used in the model's place; None for a model without.
    """

    model: str
    model_version: str
    horizons_sessions: tuple[int, ...]
    as_of: IntArray
    trained_through: IntArray
    volatility_annual: FloatArray
    periods_per_year: int
    stand_in: str | None = None
    stands_in: BoolArray | None = None

    @property
    def versions(self) -> tuple[str, ...]:
        """(m,) version of each row, marked where the stand-in was used."""
        return _versions(self)

    def columns(self, sessions: DateArray) -> dict[str, NDArray[Any]]:
        """The rows that have a forecast, as table columns; `sessions` are the t dates of the series."""
        trained = self.trained_through >= 0
        horizons = {
            f"volatility_{horizon}d": self.volatility_annual[trained, column]
            for column, horizon in enumerate(self.horizons_sessions)
        }
        keys = _row_columns(self.as_of[trained], self.trained_through[trained], sessions)
        return {**keys, **_model_columns(self, trained), **horizons}


@dataclass(frozen=True, slots=True)
class LongerQuantiles:
    """Forecasts of the return over several sessions, beside those of the next one.

    Parameters
    ----------
    horizon_sessions
        Sessions ahead.
    quantiles, shortfalls
        (m, q) and (m, s) as in `QuantileForecasts`.
    """

    horizon_sessions: int
    quantiles: FloatArray
    shortfalls: FloatArray


@dataclass(frozen=True, slots=True)
class QuantileForecasts:
    """Forecasts of the next session's return by one model for consecutive rows, and of longer returns beside them.

    Parameters
    ----------
    model, model_version
        Which model.
    levels, shortfall_levels
        (q) and (s) levels.
    as_of
        (m,) rows.
    trained_through
        (m,) row of the last session that entered the fit; -1 where there is no forecast.
    quantiles
        (m, q) quantiles of the return; NaN where the model asks for more sessions.
    shortfalls
        (m, s) expected shortfall below each level, as a positive loss; NaN as above.
    longer
        The same over longer horizons.
    stand_in, stands_in
        The simpler filter, and (m,) whether it was used in the model's place; None for a model without.
    """

    model: str
    model_version: str
    levels: tuple[float, ...]
    shortfall_levels: tuple[float, ...]
    as_of: IntArray
    trained_through: IntArray
    quantiles: FloatArray
    shortfalls: FloatArray

    horizon_sessions: int = 1
    longer: tuple[LongerQuantiles, ...] = ()
    stand_in: str | None = None
    stands_in: BoolArray | None = None

    @property
    def versions(self) -> tuple[str, ...]:
        """(m,) version of each row, marked where the stand-in was used."""
        return _versions(self)

    def columns(self, sessions: DateArray) -> dict[str, NDArray[Any]]:
        """The rows that have a forecast, as table columns; `sessions` are the t dates of the series."""
        trained = self.trained_through >= 0
        count = int(trained.sum())
        return {
            **_row_columns(self.as_of[trained], self.trained_through[trained], sessions),
            **_model_columns(self, trained),
            "horizon_sessions": np.full(count, self.horizon_sessions, dtype=np.int16),
            **_level_columns("quantile", self.levels, self.quantiles[trained]),
            **_level_columns("es", self.shortfall_levels, self.shortfalls[trained]),
            **self._longer_columns(trained),
        }

    def _longer_columns(self, trained: BoolArray) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {}
        for one in self.longer:
            found |= _level_columns("quantile", self.levels, one.quantiles[trained], one.horizon_sessions)
            found |= _level_columns("es", self.shortfall_levels, one.shortfalls[trained], one.horizon_sessions)
        return found


def _row_columns(as_of: IntArray, trained_through: IntArray, sessions: DateArray) -> dict[str, NDArray[Any]]:
    return {"as_of": sessions[as_of], "trained_through": sessions[trained_through]}


def _versions(made: VolatilityForecasts | QuantileForecasts) -> tuple[str, ...]:
    if made.stands_in is None or made.stand_in is None:
        return (made.model_version,) * len(made.as_of)
    marked = marked_version(made.model_version, made.stand_in)
    return tuple(marked if stands_in else made.model_version for stands_in in made.stands_in.tolist())


def _model_columns(made: VolatilityForecasts | QuantileForecasts, trained: BoolArray) -> dict[str, NDArray[Any]]:
    versions = np.array([version.encode() for version in made.versions], dtype=np.bytes_)[trained]
    return {"model": np.full(len(versions), made.model.encode()), "model_version": versions}


def _level_columns(
    prefix: str, levels: Sequence[float], values: FloatArray, horizon: int = 1
) -> dict[str, NDArray[Any]]:
    return {level_column(prefix, level, horizon): values[:, column] for column, level in enumerate(levels)}
