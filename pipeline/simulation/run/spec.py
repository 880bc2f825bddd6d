"""What to simulate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.base.types import REBALANCING_POLICIES, Rebalancing
from pipeline.simulation.models import MODELS, SimulationInputError
from pipeline.simulation.models.plan import CashFlow, monthly_flows
from pipeline.simulation.run.sampling import Sampling, check_sampling

MAXIMUM_PATHS = 1_000_000
MAXIMUM_FAN_STEPS = 64
MOST_FLOWS = 2_520

MOST_KEPT_VALUES = 16_000_000
"""What is kept of all paths, 8 bytes each: 128 MB in memory, and of a job for a while in the database."""

FAN_INTERVAL_SESSIONS = 21
"""A month, between the steps of a fan that are not given."""

QUANTILE_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)

_BOUNDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "horizon_sessions": (1, 2_520),
        "paths": (100, MAXIMUM_PATHS),
        "seed": (0, 2**63 - 1),
        "fit_window_sessions": (63, 10_000),
        "threads": (1, 256),
        "cost_bps": (0, 1_000),
        "monthly_flow": (-10, 10),
    }
)


@dataclass(frozen=True, slots=True)
class SimulationSpec:
    """What to simulate.

    Parameters
    ----------
    model
        Name in `MODELS`.
    horizon_sessions
        Sessions ahead.
    paths
        Paths drawn.
    seed
        First half of the random numbers' key; the subject is the other.
    fit_window_sessions
        Most recent returns that the model is fitted on.
    fan_steps
        Ascending sessions at which the spread of wealth is kept; None for every month and the horizon.
    threads
        Threads that walk paths; the result does not depend on it.
    rebalancing, drift_band
        When weights return to what they were at the start; months are of 21 sessions. Of one series it does not matter.
    cost_bps
        Of what is bought and sold, in hundredths of a percent.
    monthly_flow
        Paid in at the close of every 21st session, in values at the start; taken out if negative.
    flows
        Paid in at closes of certain sessions besides.
    contributions
        Whether what each position earns is kept.
    sampling
        How paths are drawn: plain, sobol or importance; the last two for models of normal draws.
    """

    model: str = "stationary_bootstrap"
    horizon_sessions: int = 252
    paths: int = 2_000
    seed: int = 1
    fit_window_sessions: int = 1_260
    fan_steps: tuple[int, ...] | None = None
    threads: int = 1
    rebalancing: Rebalancing = "buy_and_hold"
    drift_band: float | None = None
    cost_bps: float = 0.0
    monthly_flow: float = 0.0
    flows: tuple[CashFlow, ...] = ()
    contributions: bool = False
    sampling: Sampling = "plain"

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise SimulationInputError(f"model={self.model!r} is unknown; use one of {', '.join(sorted(MODELS))}")
        for name, (low, high) in _BOUNDS.items():
            if not low <= getattr(self, name) <= high:
                raise SimulationInputError(f"{name}={getattr(self, name)}: give a number from {low} to {high}")
        _check_fan_steps(self.fan_sessions, self.horizon_sessions)
        _check_policy(self.rebalancing, self.drift_band)
        _check_flows(self.flows, self.horizon_sessions)
        check_sampling(self.sampling, self.model, self.paths)

    @property
    def fan_sessions(self) -> tuple[int, ...]:
        """`fan_steps`, or every month up to the horizon and the horizon itself."""
        if self.fan_steps is not None:
            return self.fan_steps
        interval = max(FAN_INTERVAL_SESSIONS, -(-self.horizon_sessions // MAXIMUM_FAN_STEPS))
        return (*range(interval, self.horizon_sessions, interval), self.horizon_sessions)

    @property
    def all_flows(self) -> tuple[CashFlow, ...]:
        """Monthly ones and others."""
        return (*monthly_flows(self.monthly_flow, self.horizon_sessions), *self.flows)


def _check_fan_steps(steps: tuple[int, ...], horizon_sessions: int) -> None:
    rises = all(low < high for low, high in zip((0, *steps), (*steps, horizon_sessions + 1), strict=True))
    if not (rises and len(steps) <= MAXIMUM_FAN_STEPS):
        raise SimulationInputError(
            f"fan_steps={steps}: give at most {MAXIMUM_FAN_STEPS} ascending sessions from 1 to {horizon_sessions}"
        )


def _check_policy(rebalancing: Rebalancing, drift_band: float | None) -> None:
    if rebalancing not in REBALANCING_POLICIES:
        raise SimulationInputError(f"rebalancing={rebalancing!r}: give one of {', '.join(REBALANCING_POLICIES)}")
    if (rebalancing == "drift_band") != (drift_band is not None):
        raise SimulationInputError("drift_band: rebalancing=drift_band needs one, and no other has one; give both")
    if drift_band is not None and not 0.0 < drift_band < 1.0:
        raise SimulationInputError(f"drift_band={drift_band}: give a fraction of value between 0 and 1, such as 0.05")


def _check_flows(flows: tuple[CashFlow, ...], horizon_sessions: int) -> None:
    if len(flows) > MOST_FLOWS:
        raise SimulationInputError(f"flows: {len(flows)} are given; give at most {MOST_FLOWS}")
    for number, (session, amount) in enumerate(flows):
        if not 1 <= session <= horizon_sessions:
            raise SimulationInputError(f"flows[{number}]: session {session}; give one from 1 to {horizon_sessions}")
        if not (math.isfinite(amount) and abs(amount) <= 1e3):
            raise SimulationInputError(f"flows[{number}]: amount {amount}; give from -1000 to 1000 values at the start")
