"""What every simulation model offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pipeline.base.types import FloatArray, IntArray
from pipeline.simulation.models.outcomes import Outcomes


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fitted parameter, for the reader of a result; the unit is part of the name where there is one."""

    name: str
    value: float


class FittedModel(Protocol):
    """A model with its parameters, ready to walk."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Fitted parameters."""

    def walk(
        self, outcomes: Outcomes, fan_steps: IntArray, horizon_sessions: int, key: tuple[int, int], first_path: int
    ) -> None:
        """Walk paths over the horizon and fill `outcomes`, a path a row; no path is kept.

        Row i depends on the parameters, `key` and ``first_path + i`` alone, so neither the chunking nor
        the threads of a run can change it. The interpreter lock is released.

        Parameters
        ----------
        outcomes
            Arrays to fill; their rows say how many paths to walk.
        fan_steps
            (steps,) ascending sessions, each from 1 to `horizon_sessions`, whose wealth is kept.
        key
            Seed and subject, each from 0 to 2⁶⁴ - 1.
        """


class Model(Protocol):
    """A way to continue a series of returns."""

    @property
    def name(self) -> str:
        """Name in the registry and in results."""

    def fit(self, returns: FloatArray) -> FittedModel:
        """Estimate the parameters from ``(n,)`` simple returns, oldest first.

        Raises
        ------
        SimulationInputError
            If the returns do not determine them.
        """
