"""A simulation run: fit a model to recent returns, walk paths, describe what becomes of a portfolio along them."""

from __future__ import annotations

from pipeline.simulation.models.plan import CashFlow
from pipeline.simulation.run.begun import Begun, begin, require_room, simulate, walk_paths
from pipeline.simulation.run.contributions import Contribution, Contributions
from pipeline.simulation.run.described import probability_of_goal, probability_of_ruin, probability_of_wealth
from pipeline.simulation.run.results import Fan, Quantiles, SimulationResult
from pipeline.simulation.run.samples import Probability, Sample
from pipeline.simulation.run.sampling import SAMPLINGS, Sampling
from pipeline.simulation.run.spec import (
    FAN_INTERVAL_SESSIONS,
    MAXIMUM_FAN_STEPS,
    MAXIMUM_PATHS,
    MOST_KEPT_VALUES,
    QUANTILE_LEVELS,
    SimulationSpec,
)

__all__ = [
    "FAN_INTERVAL_SESSIONS",
    "MAXIMUM_FAN_STEPS",
    "MAXIMUM_PATHS",
    "MOST_KEPT_VALUES",
    "QUANTILE_LEVELS",
    "SAMPLINGS",
    "Begun",
    "CashFlow",
    "Contribution",
    "Contributions",
    "Fan",
    "Probability",
    "Quantiles",
    "Sample",
    "Sampling",
    "SimulationResult",
    "SimulationSpec",
    "begin",
    "probability_of_goal",
    "probability_of_ruin",
    "probability_of_wealth",
    "require_room",
    "simulate",
    "walk_paths",
]
