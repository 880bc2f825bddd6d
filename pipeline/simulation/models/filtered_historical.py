"""Filtered historical simulation: past surprises of whole sessions, at volatilities that move on.

Each position's returns are divided by their GJR-GARCH-t volatility; along a path the surprises of a session that is
drawn at random, those of all positions together, are multiplied by each position's volatility, which follows its own
recursion. Volatility therefore clusters, and positions fall together as they did: Barone-Adesi, Giannopoulos & Vosper
(1999), "VaR without correlations for portfolios of derivative securities", Journal of Futures Markets 19.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.gjr_garch import GarchFitError, GjrGarch, conditional_variances, fit_gjr_garch_t
from pipeline.simulation.models.errors import SimulationInputError
from pipeline.simulation.models.lanes import keep_fan, keep_paths, move, new_book, open_book
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.models.philox import LANES, WORDS_PER_BLOCK, LaneKey, lane_key, lane_row
from pipeline.simulation.models.plan import Plan
from pipeline.simulation.models.protocol import Parameter, columns_of, of_positions

STREAM = np.uint64(4)

HIGHEST_VARIANCE = 1.0
"""Of a session: a standard deviation of 100 %. Only where the fit is near integrated do paths come near it."""

_HALF = np.uint64(32)


@dataclass(frozen=True, slots=True)
class FittedFilteredHistorical:
    """Past surprises, and the recursions of the volatilities.

    Parameters
    ----------
    mean
        (n,) expected return of a session.
    laws
        Of each position.
    variance
        (n,) of the session after the last.
    residuals
        (n, t) surprises in standard deviations; their mean is 0 and their variance 1.
    """

    mean: FloatArray
    laws: tuple[GjrGarch, ...]
    variance: FloatArray
    residuals: FloatArray

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Of the recursions (see `GjrGarch`), and the volatility at the start, per session; 1 if a fit converged."""
        names = ("omega", "alpha", "gamma", "beta", "nu", "converged")
        fitted = (np.array([float(getattr(law, name)) for law in self.laws]) for name in names)
        return (
            *of_positions("mean", self.mean),
            *(one for name, values in zip(names, fitted, strict=True) for one in of_positions(name, values)),
            *of_positions("volatility_next", np.sqrt(self.variance)),
        )

    def walk(self, outcomes: Outcomes, plan: Plan, fan_steps: IntArray, key: tuple[int, int], first_path: int) -> None:
        """Walk through resampled surprises (see `FittedModel.walk`)."""
        recursions = np.array([[law.omega, law.alpha, law.alpha + law.gamma, law.beta] for law in self.laws])
        law = (self.mean, recursions, self.variance, self.residuals)
        _walk(law, plan, lane_key(key), first_path, fan_steps, outcomes)


@dataclass(frozen=True, slots=True)
class FilteredHistorical:
    """GJR-GARCH-t volatilities, and the joint surprises of history."""

    name: str = "filtered_historical"

    def fit(self, returns: FloatArray) -> FittedFilteredHistorical:
        """Fit a GJR-GARCH-t law to each position, and keep what it does not explain.

        Surprises are centred and scaled, so that returns are expected to be those of history and variances follow the
        fitted recursion.

        Raises
        ------
        SimulationInputError
            If the returns of a position do not vary, or are too few.
        """
        columns = columns_of(returns)
        try:
            laws = tuple(fit_gjr_garch_t(column) for column in columns.T)
        except GarchFitError as error:
            raise SimulationInputError(str(error)) from error
        variances = np.array([conditional_variances(column, law) for column, law in zip(columns.T, laws, strict=True)])
        mean = columns.mean(axis=0)
        residuals = (columns.T - mean[:, None]) / np.sqrt(variances[:, :-1])
        residuals -= residuals.mean(axis=1, keepdims=True)
        residuals /= residuals.std(axis=1, keepdims=True)
        return FittedFilteredHistorical(mean, laws, variances[:, -1].copy(), np.ascontiguousarray(residuals))


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(
    law: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    plan: Plan,
    key: LaneKey,
    first_path: int,
    fan_steps: IntArray,
    outcomes: Outcomes,
) -> None:
    """A word a session; ``(half · t) >> 32`` favours no session by more than t / 2³²."""
    mean, recursions, variance_next, residuals = law
    n, sessions = residuals.shape
    words, drawn = np.empty((WORDS_PER_BLOCK, LANES), np.uint32), np.empty(LANES, np.uint64)
    variance, surprise, rise = np.empty((n, LANES)), np.empty(LANES), np.empty((n, LANES))
    book = new_book(n, outcomes.position_gain.shape[1])
    for first in range(0, len(outcomes.terminal_wealth), LANES):
        open_book(book, plan)
        for i in range(n):
            for lane in range(LANES):
                variance[i, lane] = variance_next[i]
        fan = 0
        for step in range(len(plan.flows)):
            row = lane_row(words, step, first_path + first, STREAM, key)
            for lane in range(LANES):
                drawn[lane] = (np.uint64(row[lane]) * np.uint64(sessions)) >> _HALF
            for i in range(n):
                omega, gain, loss, beta = recursions[i, 0], recursions[i, 1], recursions[i, 2], recursions[i, 3]
                for lane in range(LANES):
                    surprise[lane] = residuals[i, drawn[lane]]
                for lane in range(LANES):
                    moved = np.sqrt(variance[i, lane]) * surprise[lane]
                    response = loss if moved < 0.0 else gain
                    new = omega + response * moved * moved + beta * variance[i, lane]
                    variance[i, lane] = new if new < HIGHEST_VARIANCE else HIGHEST_VARIANCE
                    earned = mean[i] + moved
                    rise[i, lane] = earned if earned > -1.0 else -1.0
            move(book, plan, rise, step)
            fan = keep_fan(book, outcomes, first, fan, fan_steps, step)
        keep_paths(book, outcomes, first)
