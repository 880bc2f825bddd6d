"""Geometric Brownian motion of correlated positions: normal log returns without memory.

The log returns of a session are normal with a common covariance, and the mean that makes the expected simple return
that of history: Black & Scholes (1973), "The pricing of options and corporate liabilities", Journal of Political
Economy 81; Glasserman (2003), "Monte Carlo methods in financial engineering", section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from pipeline.base.types import FloatArray, IntArray
from pipeline.simulation.models.arithmetic import SingleArray
from pipeline.simulation.models.correlating import covariance_of, factor_of
from pipeline.simulation.models.errors import SimulationInputError
from pipeline.simulation.models.lanes import keep_fan, keep_paths, new_book, open_book, settle_if_due
from pipeline.simulation.models.normals import new_page, session_draws
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.models.philox import LANES, LaneKey, lane_key
from pipeline.simulation.models.plan import Plan
from pipeline.simulation.models.protocol import Parameter, columns_of, of_positions
from pipeline.simulation.models.session_growth import grow
from pipeline.simulation.models.steered import walk_gbm
from pipeline.simulation.models.steering import Steering, bridge_of

STREAM = np.uint64(3)


@dataclass(frozen=True, slots=True)
class FittedGbm:
    """The law of a session's log returns.

    Parameters
    ----------
    mean
        (n,) expected log return.
    factor
        (n, n) lower triangular; times its transpose it is their covariance.
    """

    mean: FloatArray
    factor: FloatArray

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Means and standard deviations of log returns, per session."""
        deviation = np.sqrt(np.sum(self.factor * self.factor, axis=1))
        return (*of_positions("log_return_mean", self.mean), *of_positions("log_return_deviation", deviation))

    def walk(self, outcomes: Outcomes, plan: Plan, fan_steps: IntArray, key: tuple[int, int], first_path: int) -> None:
        """Walk by independent draws (see `FittedModel.walk`)."""
        law = (self.mean.astype(np.float32), self.factor.astype(np.float32))
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
        bridge = bridge_of(steering.profile)
        law = (self.mean.astype(np.float32), self.factor.astype(np.float32), bridge, STREAM)
        walk_gbm(law, plan, steering, (lane_key(key), first_path), fan_steps, outcomes)


@dataclass(frozen=True, slots=True)
class Gbm:
    """Correlated geometric Brownian motions."""

    name: str = "gbm"

    def fit(self, returns: FloatArray) -> FittedGbm:
        """Estimate the covariance of log returns by Ledoit & Wolf (2004), and means from those of simple returns.

        A log return with variance s² has the mean log(1 + r) - s²/2, for which wealth is expected to grow by r a
        session, the mean simple return of history.

        Raises
        ------
        SimulationInputError
            If no position's returns vary.
        """
        columns = columns_of(returns)
        if (np.ptp(columns, axis=0) == 0.0).all():
            raise SimulationInputError("returns do not vary: no volatility can be fitted; check the prices")
        covariance = covariance_of(np.log1p(columns))
        mean = np.log1p(columns.mean(axis=0)) - 0.5 * np.diag(covariance)
        return FittedGbm(mean, factor_of(covariance))


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(
    law: tuple[SingleArray, SingleArray],
    plan: Plan,
    key: LaneKey,
    first_path: int,
    fan_steps: IntArray,
    outcomes: Outcomes,
) -> None:
    """A word a position and session; lanes without a path are walked in vain."""
    mean, factor = law
    n = len(mean)
    page, book = new_page(n), new_book(n, outcomes.position_gain.shape[1])
    for first in range(0, len(outcomes.terminal_wealth), LANES):
        open_book(book, plan)
        fan = 0
        for step in range(len(plan.flows)):
            z = session_draws(page, step, first_path + first, STREAM, key)
            grow(mean, factor, z, book)
            settle_if_due(book, plan, step)
            fan = keep_fan(book, outcomes, first, fan, fan_steps, step)
        keep_paths(book, outcomes, first)
