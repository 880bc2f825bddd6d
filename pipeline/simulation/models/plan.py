"""What is done with a portfolio along a path: when weights are restored, what that costs, what is paid in and out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from pipeline.base.types import BoolArray, FloatArray, Rebalancing
from pipeline.simulation.models.errors import SimulationInputError

MONTH_SESSIONS = 21

_INTERVALS: Mapping[Rebalancing, int | None] = MappingProxyType(
    {"daily": 1, "monthly": MONTH_SESSIONS, "quarterly": 3 * MONTH_SESSIONS, "buy_and_hold": None, "drift_band": None}
)
"""Sessions between two rebalancings: a path has no calendar, so its months are of 21 sessions."""

WEIGHT_SUM_TOLERANCE = 1e-6


class CashFlow(NamedTuple):
    """Money paid in, or taken out if it is negative, at the close of a session ahead; 1 is the value at the start."""

    session: int
    amount: float


class Plan(NamedTuple):
    """A named tuple, because compiled kernels take one.

    Parameters
    ----------
    weights
        (n,) at the start; they sum to 1.
    targets
        (n,) to which they return; they sum to 1 too.
    rebalances
        (horizon,) whether the weights return to their targets at the close of each session.
    flows
        (horizon,) paid in at the close of each session, in values at the start; negative for withdrawals.
    cost
        Of what is bought and sold, as a fraction of it.
    band
        Fraction of value by which a weight may leave its target; infinity for any.
    """

    weights: FloatArray
    targets: FloatArray
    rebalances: BoolArray
    flows: FloatArray
    cost: float
    band: float

    @property
    def horizon(self) -> int:
        """Sessions."""
        return len(self.flows)

    def of_one_series(self) -> Plan:
        """The same of a portfolio whose returns are already those of its weights."""
        return Plan(np.ones(1), np.ones(1), np.zeros(self.horizon, dtype=np.bool_), self.flows, self.cost, math.inf)


def plan_of(
    weights: FloatArray,
    horizon_sessions: int,
    rebalancing: Rebalancing = "buy_and_hold",
    *,
    targets: FloatArray | None = None,
    drift_band: float | None = None,
    cost_bps: float = 0.0,
    flows: Sequence[CashFlow] = (),
) -> Plan:
    """The plan of a portfolio.

    Parameters
    ----------
    targets
        (n,) to which weights return; None for those of the start.
    cost_bps
        Of what is bought and sold, in hundredths of a percent.
    flows
        Several of one session add up.

    Raises
    ------
    SimulationInputError
        If weights are no numbers or do not sum to 1, or a flow lies outside of the horizon.
    """
    interval = _INTERVALS[rebalancing]
    ends = np.arange(1, horizon_sessions + 1)
    rebalances = np.zeros(horizon_sessions, dtype=np.bool_) if interval is None else ends % interval == 0
    paid = np.zeros(horizon_sessions)
    for session, amount in flows:
        if not 1 <= session <= horizon_sessions:
            raise SimulationInputError(f"flows: one at session {session}; give sessions from 1 to {horizon_sessions}")
        paid[session - 1] += amount
    start = _checked("weights", weights)
    ends_at = start if targets is None else _checked("targets", targets)
    if len(ends_at) != len(start):
        raise SimulationInputError(f"targets: {len(ends_at)} for {len(start)} weights; give one for each")
    return Plan(start, ends_at, rebalances, paid, cost_bps / 10_000.0, math.inf if drift_band is None else drift_band)


def _checked(name: str, weights: FloatArray) -> FloatArray:
    if weights.ndim != 1 or len(weights) == 0 or not np.isfinite(weights).all():
        raise SimulationInputError(f"{name}: none, or NaN or infinite; give a finite one for each position")
    total = float(weights.sum())
    if abs(total - 1.0) > WEIGHT_SUM_TOLERANCE:
        raise SimulationInputError(f"{name} sum to {total:.6g}; they must sum to 1")
    return np.ascontiguousarray(weights / total, dtype=np.float64)


def monthly_flows(amount: float, horizon_sessions: int) -> tuple[CashFlow, ...]:
    """The same amount at the end of every month of 21 sessions."""
    if amount == 0.0:
        return ()
    return tuple(CashFlow(session, amount) for session in range(MONTH_SESSIONS, horizon_sessions + 1, MONTH_SESSIONS))
