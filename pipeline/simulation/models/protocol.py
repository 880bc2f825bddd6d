"""What every simulation model offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pipeline.base.types import FloatArray, IntArray
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.models.plan import Plan
from pipeline.simulation.models.steering import Steering


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fitted parameter, for the reader of a result; the unit is part of the name where there is one."""

    name: str
    value: float


class FittedModel(Protocol):
    """A model with its parameters, ready to walk."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Fitted parameters; those of a position end with its number in brackets, from 0, if there are several."""

    def walk(self, outcomes: Outcomes, plan: Plan, fan_steps: IntArray, key: tuple[int, int], first_path: int) -> None:
        """Walk paths over the plan's horizon and fill `outcomes`, a path a row; no path is kept.

        Row i depends on the parameters, the plan, `key` and ``first_path + i`` alone, so neither the chunking nor
        the threads of a run can change it. The interpreter lock is released.

        Parameters
        ----------
        outcomes
            Arrays to fill; their rows say how many paths to walk.
        plan
            Of as many positions as the model was fitted to.
        fan_steps
            (steps,) ascending sessions, each from 1 to the horizon, whose wealth is kept.
        key
            Seed and subject, each from 0 to 2⁶⁴ - 1.
        first_path
            Number of the first row's path; all are below 2³².
        """


@runtime_checkable
class SteeredModel(Protocol):
    """A fitted model that is driven by normal draws, whose sums can be drawn ahead."""

    @property
    def factor(self) -> FloatArray:
        """(n, n) lower triangular, of the positions' covariance in a session up to a multiple."""

    def walk_steered(
        self,
        outcomes: Outcomes,
        plan: Plan,
        fan_steps: IntArray,
        key: tuple[int, int],
        first_path: int,
        steering: Steering,
    ) -> None:
        """Walk as `FittedModel.walk` does, to sums that `steering` draws; rows depend on it and no more besides."""


class Model(Protocol):
    """A way to continue the returns of positions."""

    @property
    def name(self) -> str:
        """Name in the registry and in results."""

    def fit(self, returns: FloatArray) -> FittedModel:
        """Estimate the parameters from ``(t, n)`` simple returns, oldest first; ``(t,)`` is one position.

        Raises
        ------
        SimulationInputError
            If the returns do not determine them.
        """


def columns_of(returns: FloatArray) -> FloatArray:
    """(t, n) returns of positions, one where a series is given."""
    return returns.reshape(len(returns), -1)


def of_positions(name: str, values: FloatArray) -> tuple[Parameter, ...]:
    """A parameter of each of (n,) positions."""
    if len(values) == 1:
        return (Parameter(name, float(values[0])),)
    return tuple(Parameter(f"{name}[{number}]", float(value)) for number, value in enumerate(values))
