"""Whether forecast distributions say what comes: how often returns fell below each quantile, and between two of them.

A return at level u of its forecast distribution is its probability integral transform; those of right forecasts are
uniform (Diebold, Gunther & Tay 1998, "Evaluating density forecasts with applications to financial risk management").
Of a distribution that is known by its quantiles, u is known by the two between which the return fell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.evaluation import ScoredMonths
from pipeline.forecast.models.kinds import is_quantile, level_of


@dataclass(frozen=True, slots=True)
class Calibration:
    """Forecast levels beside what came.

    Parameters
    ----------
    levels
        (q,) ascending.
    below
        (q,) part of the returns below each quantile; a level each if the forecasts are right.
    forecasts
        Returns that were counted.
    """

    levels: FloatArray
    below: FloatArray
    forecasts: int

    def __post_init__(self) -> None:
        if len(self.levels) != len(self.below) or not (np.diff(self.levels) > 0.0).all():
            raise ForecastInputError(
                f"levels: {self.levels.tolist()} for {len(self.below)} parts; give each level once, ascending"
            )

    @property
    def edges(self) -> FloatArray:
        """(q + 2,) levels between which returns are counted, from 0 to 1."""
        return np.concatenate([[0.0], self.levels, [1.0]])

    @property
    def densities(self) -> FloatArray:
        """(q + 1,) part of the returns between two levels over that which belongs there: 1 each if they are right."""
        densities: FloatArray = np.diff(np.concatenate([[0.0], self.below, [1.0]])) / np.diff(self.edges)
        return densities


def calibration_of(scored: Mapping[tuple[str, int], ScoredMonths], horizon_sessions: int) -> Calibration | None:
    """Calibration of a model's quantiles over all instruments and months; None where none of the horizon is scored.

    Parameters
    ----------
    scored
        (kind, horizon) → scores of one model.
    """
    found = sorted(
        (level_of(kind) or 0.0, int(made.hits.sum()), int(made.forecasts.sum()))
        for (kind, horizon), made in scored.items()
        if is_quantile(kind) and horizon == horizon_sessions
    )
    if not found:
        return None
    levels, hits, counts = (np.array(column, dtype=np.float64) for column in zip(*found, strict=True))
    return Calibration(levels, hits / counts, int(counts[0]))
