"""A simulation run: fit a model to recent returns, draw paths, describe where they end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.risk.measures.tail import historical_es, historical_var
from pipeline.simulation.models import MODELS, FittedModel, Parameter, SimulationInputError
from pipeline.simulation.models.outcomes import Outcomes, empty_outcomes

CHUNK_PATHS = 64
"""Paths walked by one call: enough to forget its cost, few enough to keep every thread busy to the end."""

MAXIMUM_PATHS = 1_000_000
MAXIMUM_FAN_STEPS = 64

FAN_INTERVAL_SESSIONS = 21
"""A month, between the steps of a fan that are not given."""

QUANTILE_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


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
    """

    model: str = "stationary_bootstrap"
    horizon_sessions: int = 252
    paths: int = 2_000
    seed: int = 1
    fit_window_sessions: int = 1_260
    fan_steps: tuple[int, ...] | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise SimulationInputError(f"model={self.model!r} is unknown; use one of {', '.join(sorted(MODELS))}")
        bounds = {
            "horizon_sessions": (1, 2_520),
            "paths": (100, MAXIMUM_PATHS),
            "seed": (0, 2**63 - 1),
            "fit_window_sessions": (63, 10_000),
            "threads": (1, 256),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise SimulationInputError(f"{name}={getattr(self, name)}: give a number from {low} to {high}")
        _check_fan_steps(self.fan_sessions, self.horizon_sessions)

    @property
    def fan_sessions(self) -> tuple[int, ...]:
        """`fan_steps`, or every month up to the horizon and the horizon itself."""
        if self.fan_steps is not None:
            return self.fan_steps
        interval = max(FAN_INTERVAL_SESSIONS, -(-self.horizon_sessions // MAXIMUM_FAN_STEPS))
        return (*range(interval, self.horizon_sessions, interval), self.horizon_sessions)


def _check_fan_steps(steps: tuple[int, ...], horizon_sessions: int) -> None:
    rises = all(low < high for low, high in zip((0, *steps), (*steps, horizon_sessions + 1), strict=True))
    if not (rises and len(steps) <= MAXIMUM_FAN_STEPS):
        raise SimulationInputError(
            f"fan_steps={steps}: give at most {MAXIMUM_FAN_STEPS} ascending sessions from 1 to {horizon_sessions}"
        )


@dataclass(frozen=True, slots=True)
class Fan:
    """How wealth spreads over the horizon; the start is 1.

    Parameters
    ----------
    steps
        Sessions ahead.
    levels
        Quantile levels.
    wealth
        For each step the quantile at each level: the order statistic ⌈qn⌉, without interpolation.
    """

    steps: tuple[int, ...]
    levels: tuple[float, ...]
    wealth: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """Where the paths end.

    Returns are fractions of the value at the start; VaR and ES are positive losses at the horizon; quantiles
    are order statistics ⌈qn⌉, without interpolation. Errors are Monte Carlo standard errors: of a mean,
    ``s / √n``; of VaR, half the distance between the order statistics one binomial standard deviation to
    each side of it (David & Nagaraja 2003, section 7.1); of ES, the standard error of the
    Rockafellar–Uryasev objective at its minimum. They do not contain the error of the fit.

    ``fit_first`` and ``fit_last`` are positions in the returns that were given.
    """

    model: str
    horizon_sessions: int
    paths: int
    seed: int
    fit_window_sessions: int
    fit_first: int
    fit_last: int
    return_mean: float
    return_mean_error: float
    return_05: float
    return_25: float
    return_50: float
    return_75: float
    return_95: float
    var_95: float
    var_95_error: float
    var_99: float
    var_99_error: float
    es_975: float
    es_975_error: float
    probability_of_loss: float
    max_drawdown_mean: float
    max_drawdown_05: float
    fan: Fan
    parameters: tuple[Parameter, ...]


def simulate(returns: FloatArray, spec: SimulationSpec, subject: int) -> SimulationResult:
    """Simulate a portfolio from its recent returns.

    Parameters
    ----------
    returns
        (t,) daily simple returns, oldest first; the last ``fit_window_sessions`` are used.
    subject
        Number of the portfolio, from 0: each has random numbers of its own.

    Raises
    ------
    SimulationInputError
        If there are fewer returns than the window, one is not a finite number above -1, or the model
        cannot be fitted to them.
    """
    begun = begin(returns, spec, subject)
    return begun.describe(walk_paths(begun.fitted, spec, subject))


@dataclass(frozen=True, slots=True)
class Begun:
    """A simulation whose model is fitted: its paths may be walked in parts, in any order and in any process.

    Parameters
    ----------
    subject
        Second half of the random numbers' key.
    sessions_given
        Returns that the fit window was taken from.
    """

    fitted: FittedModel
    spec: SimulationSpec
    subject: int
    sessions_given: int

    def empty_outcomes(self) -> Outcomes:
        """Outcomes of every path, to be filled."""
        return empty_outcomes(self.spec.paths, len(self.spec.fan_sessions))

    def walk(self, outcomes: Outcomes, first_path: int) -> None:
        """Fill `outcomes`, a path a row, beginning with a path: together the parts are `walk_paths` bit for bit."""
        _walk_rows(outcomes, self.fitted, self.spec, self.subject, first_path)

    def describe(self, outcomes: Outcomes) -> SimulationResult:
        """The result of every path's outcomes."""
        return _describe(outcomes, self.spec, self.fitted, self.sessions_given)


def begin(returns: FloatArray, spec: SimulationSpec, subject: int) -> Begun:
    """Fit the model of a simulation; parameters and errors as in `simulate`."""
    if not 0 <= subject < 2**64:
        raise SimulationInputError(f"subject={subject}: give a number from 0 to {2**64 - 1}")
    return Begun(MODELS[spec.model].fit(_fit_window(returns, spec)), spec, subject, len(returns))


def walk_paths(fitted: FittedModel, spec: SimulationSpec, subject: int) -> Outcomes:
    """Walk every path, chunk by chunk; the same bits for any chunk and any number of threads."""
    outcomes = empty_outcomes(spec.paths, len(spec.fan_sessions))
    _walk_rows(outcomes, fitted, spec, subject, 0)
    return outcomes


def _walk_rows(outcomes: Outcomes, fitted: FittedModel, spec: SimulationSpec, subject: int, first_path: int) -> None:
    fan_steps: IntArray = np.array(spec.fan_sessions, dtype=np.int64)

    def walk_chunk(first: int) -> None:
        rows = slice(first, first + CHUNK_PATHS)
        fitted.walk(outcomes.part(rows), fan_steps, spec.horizon_sessions, (spec.seed, subject), first_path + first)

    firsts = range(0, len(outcomes.terminal_wealth), CHUNK_PATHS)
    if spec.threads == 1:
        for first in firsts:
            walk_chunk(first)
    else:
        with ThreadPoolExecutor(spec.threads) as pool:
            list(pool.map(walk_chunk, firsts))


@dataclass(frozen=True, slots=True)
class Probability:
    """A share of the paths, and its binomial standard error ``√(p (1 - p) / n)``."""

    value: float
    error: float


def probability_of_goal(outcomes: Outcomes, goal_return: float) -> Probability:
    """How likely the return at the horizon is `goal_return`, a fraction of the start, or more."""
    return _share(outcomes.terminal_wealth - 1.0 >= goal_return)


def probability_of_ruin(outcomes: Outcomes, ruin_drawdown: float) -> Probability:
    """How likely wealth falls by `ruin_drawdown` (positive fraction) or more from its peak, at any time on the way."""
    return _share(-outcomes.max_drawdown >= ruin_drawdown)


def _share(happens: BoolArray) -> Probability:
    value = float(happens.mean())
    return Probability(value, float(np.sqrt(value * (1.0 - value) / len(happens))))


def _fit_window(returns: FloatArray, spec: SimulationSpec) -> FloatArray:
    if returns.ndim != 1:
        raise SimulationInputError(f"returns: {returns.ndim} dimensions are given; give the series of one portfolio")
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
    return window


def _describe(outcomes: Outcomes, spec: SimulationSpec, fitted: FittedModel, sessions_given: int) -> SimulationResult:
    terminal = np.sort(outcomes.terminal_wealth - 1.0)
    drawdown = outcomes.max_drawdown
    return_05, return_25, return_50, return_75, return_95 = _quantiles(terminal, QUANTILE_LEVELS)
    return SimulationResult(
        model=spec.model,
        horizon_sessions=spec.horizon_sessions,
        paths=spec.paths,
        seed=spec.seed,
        fit_window_sessions=spec.fit_window_sessions,
        fit_first=sessions_given - spec.fit_window_sessions,
        fit_last=sessions_given - 1,
        return_mean=float(terminal.mean()),
        return_mean_error=float(terminal.std(ddof=1) / np.sqrt(spec.paths)),
        return_05=return_05,
        return_25=return_25,
        return_50=return_50,
        return_75=return_75,
        return_95=return_95,
        var_95=float(historical_var(terminal, 0.95)),
        var_95_error=_quantile_error(terminal, 0.05),
        var_99=float(historical_var(terminal, 0.99)),
        var_99_error=_quantile_error(terminal, 0.01),
        es_975=float(historical_es(terminal, 0.975)),
        es_975_error=_shortfall_error(terminal, 0.975),
        probability_of_loss=float((terminal < 0.0).mean()),
        max_drawdown_mean=float(drawdown.mean()),
        max_drawdown_05=_quantiles(drawdown, (0.05,))[0],
        fan=_fan(outcomes.fan_wealth, spec.fan_sessions),
        parameters=fitted.parameters,
    )


def _fan(fan_wealth: FloatArray, steps: tuple[int, ...]) -> Fan:
    return Fan(steps, QUANTILE_LEVELS, tuple(_quantiles(at_step, QUANTILE_LEVELS) for at_step in fan_wealth.T))


def _quantiles(sample: FloatArray, levels: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(np.quantile(sample, levels, method="inverted_cdf").tolist())


def _quantile_error(ordered: FloatArray, level: float) -> float:
    """Standard error of an order statistic, from the binomial spread of its rank.

    Between ranks the distance is interpolated: 2,000 paths have ±4.4 ranks at 1 %, and rounding them
    would understate the error by a tenth.
    """
    n = len(ordered)
    spread = np.sqrt(n * level * (1.0 - level))
    low, high = np.interp([n * level - spread, n * level + spread], np.arange(n), ordered)
    return float(high - low) / 2.0


def _shortfall_error(terminal: FloatArray, confidence: float) -> float:
    excess = np.maximum(-terminal - historical_var(terminal, confidence), 0.0) / (1.0 - confidence)
    return float(excess.std(ddof=1) / np.sqrt(len(terminal)))
