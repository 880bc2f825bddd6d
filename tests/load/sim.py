"""Paths of a portfolio over a year: every model against numpy, or arch, doing the same, and against random words alone.

Twenty bundled stocks for 252 sessions, restored to equal weights every month, with the wealth and the deepest fall of
each path. Every figure is CPU seconds of one thread, peers in turn with the kernels within the same run; slow peers
walk fewer paths, and their time is scaled. Compiling and fitting are not counted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

from pipeline.base.types import FloatArray
from pipeline.risk.measures.gjr_garch import fit_gjr_garch_t
from pipeline.simulation.models import MODELS, FittedModel
from pipeline.simulation.models.normals import new_page, session_draws
from pipeline.simulation.models.outcomes import empty_outcomes
from pipeline.simulation.models.philox import LANES, LaneKey, lane_key
from pipeline.simulation.models.plan import Plan, plan_of
from pipeline.simulation.run.begun import CHUNK_PATHS
from tests.bundled import stock_returns
from tests.load.measuring import Figures, cpu_seconds, median_ratio, median_seconds
from tests.load.sim_errors import error_gains
from tests.load.sim_peers import (
    arch_fit,
    arch_forecast_paths,
    numpy_bootstrap_paths,
    numpy_gbm_paths,
    numpy_gbm_paths_at_once,
    numpy_t_paths,
)
from tests.load.sim_room import peak_mib_of_a_million

ROUNDS = 5
POSITIONS, SESSIONS, WINDOW = 20, 252, 1_260
PATHS = 8_192
PEER_PATHS = 2_000
NAIVE_PATHS = 10_000
"""At once, which takes 1.2 GB; a hundred thousand, which somebody who writes so has in mind, would take 12."""
WEIGHTS = np.full(POSITIONS, 1.0 / POSITIONS)


def measure() -> Figures:
    """CPU seconds for 100,000 paths, and how many times as fast as peers."""
    returns = stock_returns()[-WINDOW:, :POSITIONS]
    plan = plan_of(WEIGHTS, SESSIONS, "monthly")
    fitted = {name: model.fit(returns) for name, model in MODELS.items()}
    figures: dict[str, float] = {}
    for name, model in fitted.items():
        seconds = median_seconds(lambda model=model: walk(model, plan, PATHS), ROUNDS)
        figures[f"{name}_cpu_s_per_100k_paths"] = seconds * 100_000 / PATHS
    gbm, student_t, bootstrap = fitted["gbm"], fitted["student_t"], fitted["stationary_bootstrap"]
    figures["gbm_vs_numpy_chunked"] = times_as_fast(lambda: numpy_gbm_paths(gbm, plan, PEER_PATHS), gbm, plan)
    figures["gbm_vs_naive"] = times_as_fast(
        lambda: numpy_gbm_paths_at_once(gbm, plan, NAIVE_PATHS), gbm, plan, NAIVE_PATHS
    )
    figures["t_vs_numpy_chunked"] = times_as_fast(lambda: numpy_t_paths(student_t, plan, PEER_PATHS), student_t, plan)
    figures["bootstrap_vs_numpy"] = times_as_fast(
        lambda: numpy_bootstrap_paths(bootstrap, plan, PEER_PATHS), bootstrap, plan
    )
    figures["fhs_vs_arch"] = _fhs_vs_arch()
    figures["rng_limit_share"] = _rng_limit_share(gbm, plan)
    figures["own_draws_share"] = _own_draws_share(gbm, plan)
    figures |= error_gains(returns, WEIGHTS)
    return figures | {"fit_vs_arch": _fit_vs_arch(returns), "peak_mib": peak_mib_of_a_million()}


def walk(fitted: FittedModel, plan: Plan, paths: int) -> None:
    """Walk paths by chunks, as runs do."""
    outcomes, no_fan = empty_outcomes(paths, 0), np.empty(0, dtype=np.int64)
    for first in range(0, paths, CHUNK_PATHS):
        fitted.walk(outcomes.part(slice(first, first + CHUNK_PATHS)), plan, no_fan, (1, 1), first)


def times_as_fast(peer: Callable[[], object], fitted: FittedModel, plan: Plan, peer_paths: int = PEER_PATHS) -> float:
    """Median over rounds of the peer's time for a path by ours."""
    return median_ratio(peer, lambda: walk(fitted, plan, PATHS), ROUNDS, cpu_seconds) * PATHS / peer_paths


def _fhs_vs_arch() -> float:
    """One stock: arch's forecast gives paths of returns; ours are walked to wealth and falls besides."""
    one, returns = plan_of(np.ones(1), SESSIONS), stock_returns()[-2 * WINDOW :, 0]  # arch asks for five horizons
    fitted = MODELS["filtered_historical"].fit(returns)
    return times_as_fast(arch_forecast_paths(returns, SESSIONS, PEER_PATHS), fitted, one)


def _fit_vs_arch(returns: FloatArray) -> float:
    """Fits of GJR-GARCH with Student-t surprises to five years of twenty stocks."""
    return median_ratio(
        lambda: [arch_fit(column) for column in returns.T[:5]],
        lambda: [fit_gjr_garch_t(column) for column in returns.T[:5]],
        ROUNDS,
        cpu_seconds,
    )


def _rng_limit_share(fitted: FittedModel, plan: Plan) -> float:
    """Time of numpy's fastest normal draws alone by that of the whole walk with its own; above 1 the walk is faster."""
    generator = np.random.Generator(np.random.SFC64(1))
    drawn = np.empty(SESSIONS * POSITIONS, np.float32)  # stays in the cache

    def draws() -> None:
        for _ in range(PEER_PATHS):
            generator.standard_normal(out=drawn, dtype=np.float32)

    return times_as_fast(draws, fitted, plan)


def _own_draws_share(fitted: FittedModel, plan: Plan) -> float:
    """Time of our normal draws alone by that of the whole walk with them."""
    draws = lambda: _normal_draws(PATHS, lane_key((1, 1)))  # noqa: E731
    return median_ratio(draws, lambda: walk(fitted, plan, PATHS), ROUNDS, cpu_seconds)


@njit(nogil=True)
def _normal_draws(paths: int, key: LaneKey) -> float:
    """The draws of the walk, and nothing else."""
    page, mixed = new_page(POSITIONS), 0.0
    for first in range(0, paths, LANES):
        for step in range(SESSIONS):
            mixed += session_draws(page, step, first, np.uint64(3), key)[0, 0]
    return mixed
