"""How soon the API can start."""

from __future__ import annotations

import statistics
import subprocess
import sys

from tests.load.measuring import Figures

ROUNDS = 5
_PROGRAM = "import sys, time; t = time.perf_counter(); import serving.app; "
_PROGRAM += "print(time.perf_counter() - t, sum(name.partition('.')[0] == 'dagster' for name in sys.modules))"


def measure() -> Figures:
    """Seconds to import the application in a fresh interpreter, and the modules of Dagster that it loads."""
    rounds = [_import() for _ in range(ROUNDS)]
    return {
        "import_s": statistics.median(seconds for seconds, _ in rounds),
        "dagster_modules": max(modules for _, modules in rounds),
    }


def _import() -> tuple[float, float]:
    ended = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    seconds, modules = ended.stdout.split()
    return float(seconds), float(modules)
