"""From returns to walked paths."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from pipeline.base.types import FloatArray, IntArray
from pipeline.simulation.models import MODELS, FittedModel, SimulationInputError
from pipeline.simulation.models.outcomes import FIGURES_OF_A_PATH, Outcomes, empty_outcomes
from pipeline.simulation.models.plan import Plan, plan_of
from pipeline.simulation.models.protocol import SteeredModel
from pipeline.simulation.models.steering import Steering
from pipeline.simulation.run.described import describe
from pipeline.simulation.run.results import SimulationResult
from pipeline.simulation.run.samples import Sample
from pipeline.simulation.run.sampling import sample_of, steering_for
from pipeline.simulation.run.spec import MOST_KEPT_VALUES, SimulationSpec

CHUNK_PATHS = 256
"""Paths walked by one call: enough to forget its cost, few enough to keep every thread busy to the end."""

ONE_SERIES = np.ones(1)


def simulate(
    returns: FloatArray,
    spec: SimulationSpec,
    subject: int,
    weights: FloatArray | None = None,
    targets: FloatArray | None = None,
) -> SimulationResult:
    """Simulate a portfolio from recent returns, of itself or of its positions.

    Parameters
    ----------
    returns
        (t,) daily simple returns of a portfolio, oldest first; or (t, n) of its positions, in its currency. The last
        ``fit_window_sessions`` are used.
    subject
        Number of the portfolio, from 0: each has random numbers of its own.
    weights
        (n,) of the positions at the start; they sum to 1. None for one series.
    targets
        (n,) to which they return by the spec's policy; None for those of the start.

    Raises
    ------
    SimulationInputError
        If there are fewer returns than the window, one is not a finite number above -1, weights do not fit them, or
        the model cannot be fitted to them.
    """
    return begin(returns, spec, subject, weights, targets).result()


@dataclass(frozen=True, slots=True)
class Begun:
    """A simulation whose model is fitted: its paths may be walked in parts, in any order and in any process.

    Parameters
    ----------
    subject
        Second half of the random numbers' key.
    sessions_given
        Returns that the fit window was taken from.
    steering
        Of the paths; None where they are independent.
    """

    fitted: FittedModel
    spec: SimulationSpec
    subject: int
    sessions_given: int
    plan: Plan
    steering: Steering | None = None

    def empty_outcomes(self, paths: int | None = None) -> Outcomes:
        """Outcomes to be filled, of every path or of some."""
        kept = len(self.plan.weights) if self.spec.contributions else 0
        return empty_outcomes(self.spec.paths if paths is None else paths, len(self.spec.fan_sessions), kept)

    def result(self) -> SimulationResult:
        """Walk every path, and describe them."""
        outcomes = self.empty_outcomes()
        self.walk(outcomes, 0)
        return self.describe(outcomes)

    def walk(self, outcomes: Outcomes, first_path: int) -> None:
        """Fill `outcomes`, a path a row, beginning with a path: together the parts are `walk_paths` bit for bit."""
        _walk_rows(outcomes, self, first_path)

    def by_seed(self, seed: int) -> Begun:
        """The same with other random numbers, without another fit."""
        return _steered(replace(self, spec=replace(self.spec, seed=seed)))

    def sample(self) -> Sample:
        """What each of all paths counts."""
        return sample_of(self.steering, self.spec.paths, (self.spec.seed, self.subject))

    def describe(self, outcomes: Outcomes) -> SimulationResult:
        """The result of every path's outcomes."""
        return describe(outcomes, self.spec, self.fitted, self.sessions_given, self.sample())


def begin(
    returns: FloatArray,
    spec: SimulationSpec,
    subject: int,
    weights: FloatArray | None = None,
    targets: FloatArray | None = None,
) -> Begun:
    """Fit the model of a simulation; parameters and errors as in `simulate`."""
    if not 0 <= subject < 2**64:
        raise SimulationInputError(f"subject={subject}: give a number from 0 to {2**64 - 1}")
    window = _fit_window(returns, spec)
    if weights is None and window.shape[1] > 1:
        raise SimulationInputError(f"weights: none for {window.shape[1]} positions; give one for each")
    plan = plan_of_spec(spec, ONE_SERIES if weights is None else weights, targets)
    if len(plan.weights) != window.shape[1]:
        raise SimulationInputError(
            f"weights: {len(plan.weights)} for {window.shape[1]} columns of returns; give one for each position"
        )
    require_room(spec, len(plan.weights))
    return _steered(Begun(MODELS[spec.model].fit(window), spec, subject, len(returns), plan))


def plan_of_spec(spec: SimulationSpec, weights: FloatArray, targets: FloatArray | None = None) -> Plan:
    """What is done along paths."""
    one = len(weights) == 1  # a single weight never leaves its target
    return plan_of(
        weights,
        spec.horizon_sessions,
        "buy_and_hold" if one else spec.rebalancing,
        targets=targets,
        drift_band=None if one else spec.drift_band,
        cost_bps=spec.cost_bps,
        flows=spec.all_flows,
    )


def walk_paths(fitted: FittedModel, spec: SimulationSpec, subject: int, plan: Plan | None = None) -> Outcomes:
    """Walk every path, chunk by chunk; the same bits for any chunk and any number of threads.

    Parameters
    ----------
    plan
        None for that of one series.
    """
    planned = plan_of_spec(spec, ONE_SERIES) if plan is None else plan
    begun = _steered(Begun(fitted, spec, subject, spec.fit_window_sessions, planned))
    outcomes = begun.empty_outcomes()
    begun.walk(outcomes, 0)
    return outcomes


def _steered(begun: Begun) -> Begun:
    spec = begun.spec
    key = (spec.seed, begun.subject)
    return replace(begun, steering=steering_for(spec.sampling, begun.fitted, begun.plan, spec.paths, key))


def require_room(spec: SimulationSpec, positions: int) -> None:
    """Refuse what is too much to keep, before anything is read for it.

    Raises
    ------
    SimulationInputError
        Naming the field.
    """
    steps, kept = len(spec.fan_sessions), positions if spec.contributions else 0
    if spec.paths * (FIGURES_OF_A_PATH + steps + kept) <= MOST_KEPT_VALUES:
        return
    left = MOST_KEPT_VALUES // spec.paths - FIGURES_OF_A_PATH
    if kept >= left:
        most = MOST_KEPT_VALUES // (FIGURES_OF_A_PATH + steps + kept)
        raise SimulationInputError(
            f"contributions: of {kept} positions on {spec.paths} paths they are more than can be kept;"
            f" give at most {most} paths, or leave them out"
        )
    raise SimulationInputError(
        f"fan_steps: {steps} steps of {spec.paths} paths are more than can be kept;"
        f" give at most {left - kept} fan_steps, or fewer paths"
    )


def _walk_rows(outcomes: Outcomes, begun: Begun, first_path: int) -> None:
    spec, fitted, plan, steering = begun.spec, begun.fitted, begun.plan, begun.steering
    fan_steps: IntArray = np.array(spec.fan_sessions, dtype=np.int64)
    key = (spec.seed, begun.subject)

    def walk_chunk(first: int) -> None:
        part = outcomes.part(slice(first, first + CHUNK_PATHS))
        if steering is None:
            fitted.walk(part, plan, fan_steps, key, first_path + first)
        else:
            assert isinstance(fitted, SteeredModel)
            fitted.walk_steered(part, plan, fan_steps, key, first_path + first, steering)

    firsts = range(0, len(outcomes.terminal_wealth), CHUNK_PATHS)
    if spec.threads == 1:
        for first in firsts:
            walk_chunk(first)
    else:
        with ThreadPoolExecutor(spec.threads) as pool:
            list(pool.map(walk_chunk, firsts))


def _fit_window(returns: FloatArray, spec: SimulationSpec) -> FloatArray:
    """(window, n)."""
    if returns.ndim not in (1, 2) or returns.shape[-1] == 0:
        raise SimulationInputError(
            f"returns: {returns.ndim} dimensions are given; give a series, or a column a position"
        )
    if len(returns) < spec.fit_window_sessions:
        raise SimulationInputError(
            f"{len(returns)} returns are given, and the fit needs {spec.fit_window_sessions};"
            " give a longer history or a shorter fit_window_sessions"
        )
    window = np.ascontiguousarray(returns[-spec.fit_window_sessions :], dtype=np.float64)
    if not np.isfinite(window).all():
        raise SimulationInputError("returns: NaN or infinite; drop those sessions or repair their prices")
    if (window <= -1.0).any():
        raise SimulationInputError("returns: -1 or below, a total loss; give fractions, not percent")
    return window.reshape(len(window), -1)
