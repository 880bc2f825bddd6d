"""The same paths by numpy, as one would write them, and by arch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from arch import arch_model

from pipeline.base.types import FloatArray
from pipeline.simulation.models.gbm import FittedGbm
from pipeline.simulation.models.plan import Plan
from pipeline.simulation.models.stationary_bootstrap import FittedBootstrap
from pipeline.simulation.models.student_t import FittedStudentT

CHUNK = 1_000
"""Paths whose draws still fit a cache or two; in single precision, which halves numpy's time."""


def numpy_gbm_paths(law: FittedGbm, plan: Plan, paths: int) -> None:
    """Chunk by chunk in single precision."""
    draws, mean, factor = np.random.default_rng(1), law.mean.astype(np.float32), law.factor.T.astype(np.float32)
    for _ in range(paths // CHUNK):
        growth = draws.standard_normal((CHUNK, plan.horizon, len(mean)), dtype=np.float32) @ factor
        growth += mean
        _walk(np.exp(growth, out=growth), plan)


def numpy_gbm_paths_at_once(law: FittedGbm, plan: Plan, paths: int) -> None:
    """All paths in arrays of double precision, correlated by numpy's own multivariate normal law."""
    draws = np.random.default_rng(1)
    covariance = law.factor @ law.factor.T
    _walk(np.exp(draws.multivariate_normal(law.mean, covariance, size=(paths, plan.horizon))), plan)


def numpy_t_paths(law: FittedStudentT, plan: Plan, paths: int) -> None:
    """Chunk by chunk in single precision."""
    draws, freedom = np.random.default_rng(1), law.degrees_of_freedom
    location, factor = law.location.astype(np.float32), law.factor.T.astype(np.float32)
    for _ in range(paths // CHUNK):
        growth = draws.standard_normal((CHUNK, plan.horizon, len(location)), dtype=np.float32) @ factor
        growth *= np.sqrt(freedom / draws.chisquare(freedom, (CHUNK, plan.horizon, 1))).astype(np.float32)
        growth += 1.0 + location
        _walk(np.maximum(growth, 0.0, out=growth), plan)


def numpy_bootstrap_paths(law: FittedBootstrap, plan: Plan, paths: int) -> None:
    """Chunk by chunk: a new block begins, or the next session of the same."""
    draws, history = np.random.default_rng(1), 1.0 + law.history
    for _ in range(paths // CHUNK):
        begins = draws.random((CHUNK, plan.horizon)) < 1.0 / law.mean_block_sessions
        starts = draws.integers(len(history), size=(CHUNK, plan.horizon))
        picked = starts.copy()
        for step in range(1, plan.horizon):
            following = (picked[:, step - 1] + 1) % len(history)
            picked[:, step] = np.where(begins[:, step], starts[:, step], following)
        _walk(history[picked], plan)


def _walk(growth: FloatArray, plan: Plan) -> FloatArray:
    """Wealth at the horizon and deepest falls of (paths, horizon, n) growth."""
    weights = plan.weights.astype(growth.dtype)
    value = np.broadcast_to(weights, growth[:, 0].shape).copy()
    peak, least = np.ones(len(growth), growth.dtype), np.ones(len(growth), growth.dtype)
    for step in range(plan.horizon):
        value *= growth[:, step]
        wealth = value.sum(axis=1)
        np.maximum(peak, wealth, out=peak)
        np.minimum(least, wealth / peak, out=least)
        if plan.rebalances[step]:
            value = weights * wealth[:, None]
    return np.stack([wealth, least])


def arch_forecast_paths(returns: FloatArray, sessions: int, paths: int) -> Callable[[], object]:
    """Paths of a fitted GJR-GARCH-t law whose surprises are resampled, by arch's own forecast."""
    fitted = arch_fit(returns)
    return lambda: fitted.forecast(horizon=sessions, method="bootstrap", simulations=paths, reindex=False)


def arch_fit(returns: FloatArray):  # type: ignore[no-untyped-def]
    """GJR-GARCH with Student-t surprises."""
    return arch_model(100.0 * returns, mean="Constant", vol="GARCH", p=1, o=1, q=1, dist="t").fit(disp="off")
