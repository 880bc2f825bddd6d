"""What is kept of a path.

numba's cache of a kernel watches the kernel's own file only: after a change of another file here that it calls, delete
``models/__pycache__/*.nb?``, or the kernels keep the old step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.base.types import FloatArray

FIGURES_OF_A_PATH = 4
"""Beside its wealth at the fan's steps and its positions' gains."""


class Outcomes(NamedTuple):
    """What is kept of each path; a named tuple, because compiled kernels take one. The value at the start is 1.

    Parameters
    ----------
    terminal_wealth
        (paths,) wealth at the horizon, with what was paid in and out.
    gain
        (paths,) what was earned after costs: terminal wealth less the start and what was paid in.
    max_drawdown
        (paths,) deepest fall from the running peak, 0 or negative, of a share whose number grows with what is paid in,
        so that payments are no rise or fall; the start is the first peak.
    cost
        (paths,) what trades cost.
    fan_wealth
        (paths, steps) wealth at the fan's steps.
    position_gain
        (paths, n) what each position earned before costs; (paths, 0) where it is not kept.
    """

    terminal_wealth: FloatArray
    gain: FloatArray
    max_drawdown: FloatArray
    cost: FloatArray
    fan_wealth: FloatArray
    position_gain: FloatArray

    def part(self, rows: slice) -> Outcomes:
        """Views of some paths."""
        return Outcomes(*(values[rows] for values in self))


def empty_outcomes(paths: int, fan_steps: int, positions: int = 0) -> Outcomes:
    """Outcomes to be filled; `positions` of which the gains are kept."""
    a, b, c, d = (np.empty(paths) for _ in range(FIGURES_OF_A_PATH))
    return Outcomes(a, b, c, d, np.empty((paths, fan_steps)), np.empty((paths, positions)))
