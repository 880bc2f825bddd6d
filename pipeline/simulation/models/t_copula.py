"""Positions that keep their own laws and fall together: a t copula of empirical marginals.

Demarta & McNeil (2005), "The t copula and related copulas", International Statistical Review 73. The dependence is
fitted on ranks alone: correlations from Kendall's τ by ρ = sin(π τ / 2) (Lindskog, McNeil & Schmock 2003), degrees of
freedom by the likelihood of the copula. Marginals are those of `marginals`. There is no memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.special import gammaln, stdtrit

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.covariance import nearest_correlation
from pipeline.risk.measures.student_t_fit import DEGREES_OF_FREEDOM_BOUNDS
from pipeline.simulation.models.arithmetic import SingleArray
from pipeline.simulation.models.correlating import factor_of
from pipeline.simulation.models.errors import SimulationInputError
from pipeline.simulation.models.inversion import draw_two_sided
from pipeline.simulation.models.lanes import keep_fan, keep_paths, move, new_book, open_book
from pipeline.simulation.models.marginals import Marginal, fit_marginal, transfer, transfer_table
from pipeline.simulation.models.normals import new_page, session_draws
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.models.philox import LANES, WORDS_PER_BLOCK, LaneKey, lane_key, lane_row
from pipeline.simulation.models.plan import Plan
from pipeline.simulation.models.protocol import Parameter, columns_of, of_positions
from pipeline.simulation.models.session_growth import correlate
from pipeline.simulation.models.tables import mixing_tables

STREAM = np.uint64(6)
MIXING_STREAM = np.uint64(8)

MOST_POSITIONS = 100
"""Of each a table is kept, and of each pair the ranks are compared."""


@dataclass(frozen=True, slots=True)
class FittedTCopula:
    """A copula and its marginals.

    Parameters
    ----------
    marginals
        Of each position.
    factor
        (n, n) lower triangular; times its transpose it is the copula's correlation.
    degrees_of_freedom
        Of the copula; of one position they do not matter.
    tables
        (n, cells, 2) of `transfer_table`.
    """

    marginals: tuple[Marginal, ...]
    factor: FloatArray
    degrees_of_freedom: float
    tables: FloatArray

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The copula's degrees of freedom and mean correlation, and the tails of each position."""
        correlation, n = self.factor @ self.factor.T, len(self.factor)
        tails = {
            "lower_tail_shape": [marginal.lower.shape for marginal in self.marginals],
            "upper_tail_shape": [marginal.upper.shape for marginal in self.marginals],
        }
        between = [] if n == 1 else [Parameter("correlation_mean", float((correlation.sum() - n) / (n * (n - 1))))]
        return (
            Parameter("degrees_of_freedom", self.degrees_of_freedom),
            *between,
            *(one for name, values in tails.items() for one in of_positions(name, np.array(values))),
        )

    def walk(self, outcomes: Outcomes, plan: Plan, fan_steps: IntArray, key: tuple[int, int], first_path: int) -> None:
        """Walk by independent draws (see `FittedModel.walk`)."""
        law = (self.factor.astype(np.float32), self.tables, mixing_tables(self.degrees_of_freedom))
        _walk(law, plan, lane_key(key), first_path, fan_steps, outcomes)


@dataclass(frozen=True, slots=True)
class TCopula:
    """A t copula of empirical marginals with Pareto tails."""

    name: str = "t_copula"

    def fit(self, returns: FloatArray) -> FittedTCopula:
        """Fit each marginal to its position, and the copula to ranks.

        Raises
        ------
        SimulationInputError
            If the returns of a position do not vary, or there are more than `MOST_POSITIONS`.
        """
        columns = columns_of(returns)
        if columns.shape[1] > MOST_POSITIONS:
            raise SimulationInputError(
                f"positions: {columns.shape[1]} given, and t_copula takes {MOST_POSITIONS};"
                " leave out small ones, or use student_t"
            )
        if (np.ptp(columns, axis=0) == 0.0).any():
            raise SimulationInputError("returns do not vary: they have no ranks; check the prices")
        correlation = rank_correlation(columns)
        freedom = fit_degrees_of_freedom(columns, correlation)
        marginals = tuple(fit_marginal(column) for column in columns.T)
        tables = np.array([transfer_table(marginal, freedom) for marginal in marginals])
        return FittedTCopula(marginals, factor_of(correlation), freedom, tables)


def rank_correlation(columns: FloatArray) -> FloatArray:
    """(n, n) correlation of a t copula from Kendall's τ of each pair, made positive semidefinite (Higham 2002)."""
    sessions, n = columns.shape
    if n == 1:
        return np.ones((1, 1))
    concordance = np.zeros((n, n))
    for session in range(sessions - 1):
        signs = np.sign(columns[session + 1 :] - columns[session]).astype(np.float32)
        concordance += signs.T @ signs  # whole numbers below 2²⁴: exact
    pairs = np.sqrt(np.outer(np.diag(concordance), np.diag(concordance)))  # ties are no pairs: Kendall's τ-b
    found = np.sin(0.5 * np.pi * concordance / pairs)
    np.fill_diagonal(found, 1.0)
    return nearest_correlation(found)


def fit_degrees_of_freedom(columns: FloatArray, correlation: FloatArray) -> float:
    """Maximise the copula's likelihood at the ranks, given its correlation; the highest bound for one position."""
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - 20 MB, and for this fit only

    sessions, n = columns.shape
    if n == 1:
        return DEGREES_OF_FREEDOM_BOUNDS[1]
    ranks = np.argsort(np.argsort(columns, axis=0, kind="stable"), axis=0)
    places = np.arange(1, sessions + 1) / (sessions + 1.0)
    values, vectors = np.linalg.eigh(correlation)
    values = np.maximum(values, 1e-10)
    log_determinant = float(np.log(values).sum())

    def cost(log_freedom: float) -> float:
        freedom = math.exp(log_freedom)
        quantiles = np.asarray(stdtrit(freedom, places))
        apart = quantiles[ranks] @ vectors / np.sqrt(values)
        joint = np.log1p(np.sum(apart * apart, axis=1) / freedom).sum()
        single = n * np.log1p(quantiles * quantiles / freedom).sum()
        constant = gammaln(0.5 * (freedom + n)) + (n - 1) * gammaln(0.5 * freedom) - n * gammaln(0.5 * (freedom + 1))
        likelihood = sessions * (constant - 0.5 * log_determinant)
        return float(0.5 * (freedom + n) * joint - 0.5 * (freedom + 1.0) * single - likelihood)

    low, high = DEGREES_OF_FREEDOM_BOUNDS
    found = minimize_scalar(cost, bounds=(math.log(low), math.log(high)), method="bounded", options={"xatol": 1e-4})
    return math.exp(float(found.x))


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(
    law: tuple[SingleArray, FloatArray, FloatArray],
    plan: Plan,
    key: LaneKey,
    first_path: int,
    fan_steps: IntArray,
    outcomes: Outcomes,
) -> None:
    """A word a session and one a position, as in ``student_t``."""
    factor, tables, mixing = law
    n = len(factor)
    words, cells = np.empty((WORDS_PER_BLOCK, LANES), np.uint32), np.empty(LANES, np.uint64)
    rise, page = np.empty((n, LANES), np.float32), new_page(n)
    spread, zero = np.empty(LANES), np.zeros(n, np.float32)
    book = new_book(n, outcomes.position_gain.shape[1])
    for first in range(0, len(outcomes.terminal_wealth), LANES):
        open_book(book, plan)
        fan = 0
        for step in range(len(plan.flows)):
            draw_two_sided(lane_row(words, step, first_path + first, MIXING_STREAM, key), mixing, cells, spread)
            z = session_draws(page, step, first_path + first, STREAM, key)
            correlate(zero, factor, z, rise)
            for i in range(n):
                transfer(tables[i], spread, cells, rise[i])
            move(book, plan, rise, step)
            fan = keep_fan(book, outcomes, first, fan, fan_steps, step)
        keep_paths(book, outcomes, first)
