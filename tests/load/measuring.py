"""How a bar is measured: medians of several rounds, two things in turn within one run, CPU or wall seconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Clock = Callable[[], float]
Figures = Mapping[str, float]


def cpu_seconds() -> float:
    """CPU seconds of this process, all threads."""
    return time.process_time()


def median_seconds(work: Callable[[], object], rounds: int, clock: Clock = cpu_seconds) -> float:
    """Median time of `work`, after one round that is not counted."""
    work()
    return statistics.median(_timed(work, clock) for _ in range(rounds))


def median_ratio(ours: Callable[[], object], other: Callable[[], object], rounds: int, clock: Clock) -> float:
    """Median over rounds of ours / other, each pair measured one after the other on the same machine state."""
    ours(), other()
    return statistics.median(_timed(ours, clock) / _timed(other, clock) for _ in range(rounds))


def peak_mib_of_this_process() -> float:
    """Largest resident memory so far, of this program alone: `getrusage` counts that of the process that began it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _timed(work: Callable[[], object], clock: Clock) -> float:
    started = clock()
    work()
    return clock() - started
