"""A simulation run: fit a model to recent returns, draw paths, describe where they end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numba import njit

from pipeline.base.types import FloatArray
from pipeline.risk.measures.tail import historical_es, historical_var
from pipeline.simulation.models import MODELS, FittedModel, SimulationInputError

CHUNK_PATHS = 64
"""Paths drawn at once: with 252 steps 126 KiB, which stays in the processor's second-level cache."""

MAXIMUM_PATHS = 1_000_000


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
    threads
        Threads that draw; the result does not depend on it.
    """

    model: str = "stationary_bootstrap"
    horizon_sessions: int = 252
    paths: int = 2_000
    seed: int = 1
    fit_window_sessions: int = 1_260
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


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """Where the paths end.

    Returns are fractions of the value at the start; VaR and ES are positive losses at the horizon.
    Errors are Monte Carlo standard errors: of a mean, ``s / √n``; of VaR, half the distance between the
    order statistics one binomial standard deviation apart from it (David & Nagaraja 2003, section 7.1); of
    ES, the standard error of the Rockafellar–Uryasev objective at its minimum.
    """

    model: str
    horizon_sessions: int
    paths: int
    seed: int
    fit_window_sessions: int
    return_mean: float
    return_mean_error: float
    return_05: float
    return_25: float
    return_50: float
    return_75: float
    return_95: float
    var_95: float
    var_99: float
    var_99_error: float
    es_975: float
    es_975_error: float
    probability_of_loss: float
    max_drawdown_mean: float
    parameters: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What is kept of each path: its terminal return and its deepest fall, both ``(paths,)``."""

    terminal_return: FloatArray
    max_drawdown: FloatArray


def simulate(returns: FloatArray, spec: SimulationSpec, subject: int) -> SimulationResult:
    """Simulate a portfolio from its recent returns.

    Parameters
    ----------
    returns
        (t,) daily simple returns, oldest first; the last ``fit_window_sessions`` are used.
    subject
        Number of the portfolio: each has random numbers of its own.

    Raises
    ------
    SimulationInputError
        If there are fewer returns than the window, or one is not a finite number above -1.
    """
    window = _fit_window(returns, spec)
    fitted = MODELS[spec.model].fit(window)
    outcomes = draw_outcomes(fitted, spec, subject)
    return _describe(outcomes, spec, fitted)


def draw_outcomes(fitted: FittedModel, spec: SimulationSpec, subject: int) -> Outcomes:
    """Draw every path in chunks and keep its outcome; the same bits for any number of threads."""
    outcomes = Outcomes(np.empty(spec.paths), np.empty(spec.paths))
    key = (spec.seed, subject)

    def draw_chunk(first: int) -> None:
        part = slice(first, min(first + CHUNK_PATHS, spec.paths))
        path_returns = np.empty((part.stop - part.start, spec.horizon_sessions))
        fitted.draw(path_returns, key, first)
        _accumulate(path_returns, outcomes.terminal_return[part], outcomes.max_drawdown[part])

    firsts = range(0, spec.paths, CHUNK_PATHS)
    if spec.threads == 1:
        for first in firsts:
            draw_chunk(first)
    else:
        with ThreadPoolExecutor(spec.threads) as pool:
            list(pool.map(draw_chunk, firsts))
    return outcomes


def _fit_window(returns: FloatArray, spec: SimulationSpec) -> FloatArray:
    if len(returns) < spec.fit_window_sessions:
        raise SimulationInputError(
            f"{len(returns)} returns are given, and the fit needs {spec.fit_window_sessions};"
            " give a longer history or a shorter fit_window_sessions"
        )
    window = returns[-spec.fit_window_sessions :]
    if not np.isfinite(window).all():
        raise SimulationInputError("returns: NaN or infinite; drop those sessions or repair their prices")
    if (window <= -1.0).any():
        raise SimulationInputError("returns: -1 or below, a total loss; give fractions, not percent")
    return window


@njit(cache=True, nogil=True, error_model="numpy")
def _accumulate(returns: FloatArray, terminal_return: FloatArray, max_drawdown: FloatArray) -> None:
    """Compound each path; a return below -1, which a fat-tailed law can draw, ends it at nothing."""
    paths, horizon = returns.shape
    for row in range(paths):
        wealth = peak = 1.0
        deepest = 0.0
        for step in range(horizon):
            wealth *= max(1.0 + returns[row, step], 0.0)
            peak = max(peak, wealth)
            deepest = min(deepest, wealth / peak - 1.0)
        terminal_return[row] = wealth - 1.0
        max_drawdown[row] = deepest


def _describe(outcomes: Outcomes, spec: SimulationSpec, fitted: FittedModel) -> SimulationResult:
    terminal = np.sort(outcomes.terminal_return)
    quantiles = np.quantile(terminal, [0.05, 0.25, 0.5, 0.75, 0.95], method="inverted_cdf").tolist()
    return SimulationResult(
        model=spec.model,
        horizon_sessions=spec.horizon_sessions,
        paths=spec.paths,
        seed=spec.seed,
        fit_window_sessions=spec.fit_window_sessions,
        return_mean=float(terminal.mean()),
        return_mean_error=float(terminal.std(ddof=1) / np.sqrt(spec.paths)),
        return_05=quantiles[0],
        return_25=quantiles[1],
        return_50=quantiles[2],
        return_75=quantiles[3],
        return_95=quantiles[4],
        var_95=float(historical_var(terminal, 0.95)),
        var_99=float(historical_var(terminal, 0.99)),
        var_99_error=_quantile_error(terminal, 0.01),
        es_975=float(historical_es(terminal, 0.975)),
        es_975_error=_shortfall_error(terminal, 0.975),
        probability_of_loss=float((terminal < 0.0).mean()),
        max_drawdown_mean=float(outcomes.max_drawdown.mean()),
        parameters=fitted.parameters,
    )


def _quantile_error(ordered: FloatArray, level: float) -> float:
    """Standard error of an order statistic, from the binomial spread of its rank."""
    n = len(ordered)
    spread = np.sqrt(n * level * (1.0 - level))
    low, high = np.clip(np.round([n * level - spread, n * level + spread]).astype(int), 0, n - 1)
    return float(ordered[high] - ordered[low]) / 2.0


def _shortfall_error(terminal: FloatArray, confidence: float) -> float:
    excess = np.maximum(-terminal - historical_var(terminal, confidence), 0.0) / (1.0 - confidence)
    return float(excess.std(ddof=1) / np.sqrt(len(terminal)))
