"""Memory of a million paths, in a process of its own: that of the benchmark has held peers' arrays."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from pipeline.simulation.run import SimulationSpec, simulate
from tests.load.measuring import peak_mib_of_this_process

POSITIONS, SESSIONS, WINDOW, PATHS = 20, 252, 1_260, 1_000_000


def peak_mib_of_a_million() -> float:
    """MiB of a process that simulates a million paths of twenty positions, and does nothing else.

    Of the second, for the first may compile the kernels, which takes more memory than the paths.
    """
    command = [sys.executable, "-m", "tests.load.sim_room"]
    return [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(2)][-1]


if __name__ == "__main__":
    returns = 0.01 * np.random.default_rng(1).standard_normal((WINDOW, POSITIONS))
    # A short horizon: what is kept of a path does not depend on it.
    spec = SimulationSpec("gbm", paths=PATHS, horizon_sessions=SESSIONS // 12, rebalancing="daily", threads=2)
    simulate(returns, spec, 1, np.full(POSITIONS, 1.0 / POSITIONS))
    print(peak_mib_of_this_process())
