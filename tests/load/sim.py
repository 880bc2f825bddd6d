"""Paths of one portfolio over a year, against numpy drawing the same law in chunks, and against their random words."""

from __future__ import annotations

import numpy as np
from numba import njit

from pipeline.simulation.models import MODELS
from pipeline.simulation.models.philox import WORDS_PER_BLOCK, random_words
from pipeline.simulation.run import SimulationSpec, walk_paths
from tests.load.measuring import Figures, cpu_seconds, median_ratio, median_seconds, peak_mib_of_this_process
from tests.load.risk import bundled_returns

ROUNDS = 5
PATHS = 50_000
SESSIONS = 252
CHUNK = 2_000


def measure() -> Figures:
    """CPU seconds for 100,000 paths of 252 sessions with their drawdowns, and Student's t by its two limits."""
    returns = bundled_returns()[0][-1260:]
    figures: dict[str, float] = {}
    for name, model in MODELS.items():
        fitted, spec = model.fit(returns), SimulationSpec(model=name, paths=PATHS)
        seconds = median_seconds(lambda fitted=fitted, spec=spec: walk_paths(fitted, spec, 1), ROUNDS)
        figures[f"{name}_cpu_s_per_100k_paths"] = seconds * 100_000 / PATHS
    fitted, spec = MODELS["student_t"].fit(returns), SimulationSpec(model="student_t", paths=PATHS)
    law = {parameter.name: parameter.value for parameter in fitted.parameters}

    def walk() -> None:
        walk_paths(fitted, spec, 1)

    figures["t_vs_numpy_chunked"] = median_ratio(lambda: _numpy_paths(law), walk, ROUNDS, cpu_seconds)
    figures["rng_limit_share"] = median_ratio(lambda: _words(PATHS, SESSIONS), walk, ROUNDS, cpu_seconds)
    return figures | {"peak_mib": peak_mib_of_this_process()}


def _numpy_paths(law: dict[str, float]) -> None:
    draws = np.random.default_rng(1)
    for _ in range(PATHS // CHUNK):
        returns = law["location"] + law["scale"] * draws.standard_t(law["degrees_of_freedom"], (CHUNK, SESSIONS))
        wealth = np.cumprod(1.0 + np.maximum(returns, -1.0), axis=1)
        (wealth / np.maximum.accumulate(wealth, axis=1)).min(axis=1)


@njit(nogil=True)
def _words(paths: int, sessions: int) -> np.uint64:
    """The random words of those paths and nothing else: a word a session."""
    mixed = np.uint64(0)
    for path in range(paths):
        for block in range(sessions // WORDS_PER_BLOCK):
            a, b, c, d = random_words(np.uint64(block), np.uint64(path), np.uint64(2), np.uint64(1), np.uint64(1))
            mixed ^= a ^ b ^ c ^ d
    return mixed
