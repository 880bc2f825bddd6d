"""What every simulation model offers."""

from __future__ import annotations

from typing import Protocol

from pipeline.base.types import FloatArray


class FittedModel(Protocol):
    """A model with its parameters, ready to draw."""

    @property
    def parameters(self) -> dict[str, float]:
        """Fitted parameters by name, for the reader of a result."""

    def draw(self, returns: FloatArray, key: tuple[int, int], first_path: int) -> None:
        """Fill ``(paths, horizon)`` with simple returns, a path a row.

        Row i depends on the parameters, `key` and ``first_path + i`` alone, so neither the chunking nor
        the threads of a run can change it. The interpreter lock is released.

        Parameters
        ----------
        key
            Seed and subject, each below 2⁶⁴.
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
