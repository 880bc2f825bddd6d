"""Value at risk and expected shortfall at today's volatility.

The volatility is the exponentially weighted average of squared returns *of the window*, its weights summing
to 1: σ² = Σ λᵏ r²(t-1-k) / Σ λᵏ. What lies before the window never matters, so a figure is the same
whatever history it is computed from.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.base import special
from pipeline.base.types import FloatArray
from pipeline.risk.measures.parametric_tail import gaussian_law_tail
from pipeline.risk.measures.simulated_losses import compounded, losses_tail, uniform_draws
from pipeline.risk.measures.tail import fitted_historical_tail
from pipeline.risk.measures.tail_spec import FittedTail, TailEstimate, TailSpec

WARM_UP_SESSIONS = 22
"""A month of returns before the first residual: a volatility of fewer is mostly its last return."""

VOLATILITY_FLOOR = 0.01
"""As a part of the window's root mean square. A stretch without trades leaves a volatility of nearly nothing,
by which the next move would count as thousands of standard deviations."""


def ewma_tail(returns: FloatArray, spec: TailSpec) -> TailEstimate:
    """Of a normal law with mean 0 and the exponentially weighted volatility (RiskMetrics 1996, chapter 5).

    Parameters
    ----------
    returns
        (..., n) simple returns of one session.

    Returns
    -------
    TailEstimate
        (...) each; 0 for returns that are all 0.
    """
    return fitted_ewma_tail(returns, spec)(spec.confidence)


def fitted_ewma_tail(returns: FloatArray, spec: TailSpec) -> FittedTail:
    """`ewma_tail` at any confidence."""
    volatility = ewma_volatility(returns, spec.ewma_lambda)
    mean = np.zeros_like(volatility)
    return lambda confidence: gaussian_law_tail(mean, volatility, confidence)


def ewma_paths_tail(returns: FloatArray, spec: TailSpec) -> FittedTail:
    """Of compounded normal returns whose variance follows the recursion along each path."""
    shocks = special.ndtri(uniform_draws(spec.seed, spec.horizon_sessions, spec.paths))
    return _walked(returns, spec, lambda _, session: shocks[session])


def filtered_historical_tail(returns: FloatArray, spec: TailSpec) -> TailEstimate:
    """Of past surprises at today's volatility (Barone-Adesi, Giannopoulos & Vosper 1999).

    Each return is divided by the volatility of the returns before it in the window; the residuals times
    today's volatility are the scenarios of `historical_var` and `historical_es`.

    Parameters
    ----------
    returns
        (..., n) simple returns of one session, n > `WARM_UP_SESSIONS`.

    Returns
    -------
    TailEstimate
        (...) each.
    """
    return fitted_filtered_historical_tail(returns, spec)(spec.confidence)


def fitted_filtered_historical_tail(returns: FloatArray, spec: TailSpec) -> FittedTail:
    """`filtered_historical_tail` at any confidence."""
    residuals, volatility = filtered(returns, spec.ewma_lambda)
    of_residuals = fitted_historical_tail(residuals)

    def at(confidence: float) -> TailEstimate:
        estimate = of_residuals(confidence)
        return TailEstimate(volatility * estimate.var, volatility * estimate.es)

    return at


def filtered_historical_paths_tail(returns: FloatArray, spec: TailSpec) -> FittedTail:
    """Of compounded returns: residuals drawn with replacement, each updating its path's variance."""
    draws = uniform_draws(spec.seed, spec.horizon_sessions, spec.paths)
    residuals = filtered(returns, spec.ewma_lambda)[0].reshape(-1, returns.shape[-1] - WARM_UP_SESSIONS)
    picks = (draws * residuals.shape[-1]).astype(np.int64)
    return _walked(returns, spec, lambda row, session: residuals[row][picks[session]])


def ewma_volatility(returns: FloatArray, decay: float) -> FloatArray:
    """(...) volatility for the session after each window (..., n), per session."""
    weights = decay ** np.arange(returns.shape[-1] - 1.0, -1.0, -1.0)
    variance = np.sum(returns * returns * weights, axis=-1) / np.sum(weights)
    volatility: FloatArray = np.sqrt(variance)
    return volatility


def filtered(returns: FloatArray, decay: float) -> tuple[FloatArray, FloatArray]:
    """Residuals of each window after the warm-up, and the volatility for the session after it.

    Parameters
    ----------
    returns
        (..., n) simple returns.

    Returns
    -------
    residuals
        (..., n - `WARM_UP_SESSIONS`) returns over the volatility before them; 0 if the window stands still.
    volatility
        (...) per session.
    """
    squares = np.ascontiguousarray(np.moveaxis(returns * returns, -1, 0))
    volatility = np.empty_like(squares[WARM_UP_SESSIONS:])
    total, weight = np.zeros(squares.shape[1:]), 0.0
    for session, square in enumerate(squares):
        if session >= WARM_UP_SESSIONS:
            volatility[session - WARM_UP_SESSIONS] = total / weight
        total, weight = decay * total + square, decay * weight + 1.0
    floor = VOLATILITY_FLOOR * np.sqrt(np.mean(returns * returns, axis=-1))
    scale = np.ascontiguousarray(np.moveaxis(np.maximum(np.sqrt(volatility), floor), 0, -1))
    residuals = np.zeros(scale.shape)
    np.divide(returns[..., WARM_UP_SESSIONS:], scale, out=residuals, where=scale > 0.0)
    return residuals, np.maximum(np.sqrt(total / weight), floor)


def _walked(returns: FloatArray, spec: TailSpec, shock: Callable[[int, int], FloatArray]) -> FittedTail:
    """Simulate each window in turn; `shock` gives (paths,) shocks of a row and a session."""
    rows = returns.reshape(-1, returns.shape[-1])
    start = np.maximum(
        ewma_volatility(rows, spec.ewma_lambda), VOLATILITY_FLOOR * np.sqrt(np.mean(rows * rows, axis=-1))
    )
    earned = np.empty((len(rows), spec.paths))
    for row, volatility in enumerate(start):
        variance = np.full(spec.paths, volatility * volatility)
        wealth = np.ones(spec.paths)
        for session in range(spec.horizon_sessions):
            moved = np.sqrt(variance) * shock(row, session)
            wealth = compounded(wealth, moved)
            variance = spec.ewma_lambda * variance + (1.0 - spec.ewma_lambda) * moved * moved
        earned[row] = wealth - 1.0
    return lambda confidence: losses_tail(earned, confidence).reshaped(returns.shape[:-1])
