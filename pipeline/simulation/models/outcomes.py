"""What is kept of a path, and the step by which every model's kernel moves one.

numba's cache of a kernel watches the kernel's own file only: after a change of `advance`, ``inversion`` or ``philox``,
delete ``models/__pycache__/*.nb?``, or the kernels keep the old step.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numba import njit

from pipeline.base.types import FloatArray

PathState: TypeAlias = tuple[float, float, float]
"""Wealth, its peak so far, and the least share of a peak so far: 1 more than the deepest fall."""

START: PathState = (1.0, 1.0, 1.0)


class Outcomes(NamedTuple):
    """What is kept of each path; a named tuple, because compiled kernels take one.

    Parameters
    ----------
    terminal_wealth
        (paths,) wealth at the horizon; the start is 1.
    max_drawdown
        (paths,) deepest fall from the running peak, 0 or negative; the start is the first peak.
    fan_wealth
        (paths, steps) wealth at the fan's steps.
    """

    terminal_wealth: FloatArray
    max_drawdown: FloatArray
    fan_wealth: FloatArray

    def part(self, rows: slice) -> Outcomes:
        """Views of some paths."""
        return Outcomes(self.terminal_wealth[rows], self.max_drawdown[rows], self.fan_wealth[rows])


def empty_outcomes(paths: int, fan_steps: int) -> Outcomes:
    """Outcomes to be filled."""
    return Outcomes(np.empty(paths), np.empty(paths), np.empty((paths, fan_steps)))


@njit(cache=True, nogil=True, error_model="numpy")
def advance(state: PathState, daily_return: float) -> PathState:
    """Compound one session; a return below -1, which a fat-tailed law can draw, ends the path at nothing."""
    wealth, peak, least = state
    wealth *= max(1.0 + daily_return, 0.0)
    peak = max(peak, wealth)
    return wealth, peak, min(least, wealth / peak)
