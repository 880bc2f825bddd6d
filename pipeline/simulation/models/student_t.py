"""Multivariate Student-t returns: fat tails that positions share, without memory.

Normal draws with a common covariance, all of a session times one √(ν / χ²(ν)): Kotz & Nadarajah (2004), "Multivariate t
distributions and their applications", section 1.1. Large returns therefore come together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from pipeline.base.types import FloatArray, IntArray
from pipeline.simulation.models.arithmetic import SingleArray, return_at_most_lost
from pipeline.simulation.models.correlating import covariance_of, factor_of
from pipeline.simulation.models.errors import SimulationInputError
from pipeline.simulation.models.inversion import draw_two_sided
from pipeline.simulation.models.lanes import keep_fan, keep_paths, move, new_book, open_book
from pipeline.simulation.models.normals import new_page, session_draws
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.models.philox import LANES, WORDS_PER_BLOCK, LaneKey, lane_key, lane_row
from pipeline.simulation.models.plan import Plan
from pipeline.simulation.models.protocol import Parameter, columns_of, of_positions
from pipeline.simulation.models.session_growth import correlate
from pipeline.simulation.models.steered import walk_student_t
from pipeline.simulation.models.steering import Steering
from pipeline.simulation.models.student_t_fit import most_likely
from pipeline.simulation.models.tables import mixing_tables

STREAM = np.uint64(5)
MIXING_STREAM = np.uint64(7)


@dataclass(frozen=True, slots=True)
class FittedStudentT:
    """The law of a session's returns.

    Parameters
    ----------
    location
        (n,) expected returns.
    factor
        (n, n) lower triangular; times its transpose it is the scale matrix.
    degrees_of_freedom
        Of all positions.
    """

    location: FloatArray
    factor: FloatArray
    degrees_of_freedom: float

    @property
    def scale(self) -> FloatArray:
        """(n,) of each position."""
        scale: FloatArray = np.sqrt(np.sum(self.factor * self.factor, axis=1))
        return scale

    @property
    def standard_deviation(self) -> FloatArray:
        """(n,) of the law, per session: scale · √(ν / (ν - 2))."""
        deviation: FloatArray = self.scale * math.sqrt(self.degrees_of_freedom / (self.degrees_of_freedom - 2.0))
        return deviation

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Locations and scales, per session, and the degrees of freedom."""
        return (
            *of_positions("location", self.location),
            *of_positions("scale", self.scale),
            Parameter("degrees_of_freedom", self.degrees_of_freedom),
        )

    def walk(self, outcomes: Outcomes, plan: Plan, fan_steps: IntArray, key: tuple[int, int], first_path: int) -> None:
        """Walk by independent draws (see `FittedModel.walk`)."""
        law = (self.location.astype(np.float32), self.factor.astype(np.float32), mixing_tables(self.degrees_of_freedom))
        _walk(law, plan, lane_key(key), first_path, fan_steps, outcomes)

    def walk_steered(
        self,
        outcomes: Outcomes,
        plan: Plan,
        fan_steps: IntArray,
        key: tuple[int, int],
        first_path: int,
        steering: Steering,
    ) -> None:
        """Walk to sums that are drawn ahead (see `SteeredModel.walk_steered`)."""
        mixing, factor = mixing_tables(self.degrees_of_freedom), self.factor.astype(np.float32)
        law = (self.location.astype(np.float32), factor, mixing, (STREAM, MIXING_STREAM))
        walk_student_t(law, plan, steering, (lane_key(key), first_path), fan_steps, outcomes)


@dataclass(frozen=True, slots=True)
class StudentT:
    """A multivariate Student-t law fitted by maximum likelihood."""

    name: str = "student_t"

    def fit(self, returns: FloatArray) -> FittedStudentT:
        """Maximise the likelihood over a common scale and the degrees of freedom, at the means and the correlations.

        The location is not left to the likelihood: a symmetric law puts it near the median, which for
        skewed returns lies above the mean and would compound to a drift that history did not have. The shape of the
        scale matrix is that of the covariance by Ledoit & Wolf (2004).

        Raises
        ------
        SimulationInputError
            If the returns of a position do not vary.
        """
        columns = columns_of(returns)
        spread = columns.std(axis=0)
        if (spread <= 1e-12).any():
            raise SimulationInputError("returns do not vary: a Student-t law cannot be fitted; check the prices")
        mean = columns.mean(axis=0)
        standard = (columns - mean) / spread
        shape = factor_of(covariance_of(standard))
        apart = np.linalg.solve(shape, standard.T) if len(spread) > 1 else standard.T
        scale, freedom = most_likely(np.sum(apart * apart, axis=0), len(spread))
        return FittedStudentT(mean, np.ascontiguousarray(scale * spread[:, None] * shape), freedom)


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(
    law: tuple[SingleArray, SingleArray, FloatArray],
    plan: Plan,
    key: LaneKey,
    first_path: int,
    fan_steps: IntArray,
    outcomes: Outcomes,
) -> None:
    """A word a session and one a position; a return below -1, which the law can draw, leaves nothing."""
    location, factor, mixing = law
    n = len(location)
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
                for lane in range(LANES):
                    rise[i, lane] = return_at_most_lost(location[i], np.float32(spread[lane]), rise[i, lane])
            move(book, plan, rise, step)
            fan = keep_fan(book, outcomes, first, fan, fan_steps, step)
        keep_paths(book, outcomes, first)
