"""Simulations in the background: followed, waited for, cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from fintech.answers.simulations import JobAnswer, Progress, Simulated
from fintech.problems import JobError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

FIRST_LOOK_SECONDS = 0.1
LONGEST_LOOK_SECONDS = 2.0
"""Between two looks at a job; the first are quick, for most simulations take a second or two."""
_GROWTH = 1.5
_UNDER_WAY = frozenset({"queued", "running"})

Told = Callable[[int, int], None]
"""Called with the paths that are done, and all paths."""


class Jobs(Protocol):
    """Where jobs are asked for: `fintech.client.simulations`, which makes them."""

    def job(self, id_: UUID | str) -> Job:
        """The job of an id, as it is now."""

    def cancel_job(self, id_: UUID | str) -> Job:
        """The job, cancelled."""

    def terminal_values(self, id_: UUID | str) -> NDArray[np.float64]:
        """Wealth of each path at the horizon, (paths,)."""

    def simulated_paths(self, id_: UUID | str, *, first: int = 0, count: int = 1_000) -> pd.DataFrame:
        """Some paths by their numbers."""


class Job:
    """A simulation in the background, as it was when it was last asked for.

    Parameters
    ----------
    api
        Where it is asked for.
    known
        What is known of it.
    """

    def __init__(self, api: Jobs, known: JobAnswer) -> None:
        self._api = api
        self.known = known

    def __repr__(self) -> str:
        done = f"{self.progress.paths_done:,} of {self.progress.paths_total:,} paths"
        return f"<Job {self.id} {self.state}, {done}>"

    @property
    def id(self) -> UUID:
        """Its id."""
        return self.known.id

    @property
    def state(self) -> str:
        """queued, running, done, failed or cancelled."""
        return self.known.state

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self.known.progress

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state not in _UNDER_WAY

    def refresh(self) -> None:
        """Ask how it is now."""
        self.known = self._api.job(self.id).known

    def wait(self, progress: Told | None = None, timeout: float | None = None) -> Simulated:
        """Its result, once it is done.

        Parameters
        ----------
        progress
            Told at first, whenever more paths are done, and at the end.
        timeout
            Most seconds to wait; None for as long as it takes. The job goes on.

        Raises
        ------
        JobError
            If it fails, is cancelled, or is not done in time; ``state`` says which.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause, told = FIRST_LOOK_SECONDS, -1
        while True:
            if progress is not None and self.progress.paths_done != told:
                told = self.progress.paths_done
                progress(told, self.progress.paths_total)
            if self.is_over or (deadline is not None and time.monotonic() >= deadline):
                return self.result()
            left = pause if deadline is None else max(0.0, min(pause, deadline - time.monotonic()))
            time.sleep(left)
            pause = min(_GROWTH * pause, LONGEST_LOOK_SECONDS)
            self.refresh()

    def result(self) -> Simulated:
        """Its result as far as it was asked for.

        Raises
        ------
        JobError
            If it is not done.
        """
        if self.known.result is None:
            raise JobError(self.id, self.state, self.known.error)
        told = self.known.model_dump(include={"notice", "warnings", "staleness"})
        return Simulated.model_validate(self.known.result.model_dump() | told)

    def cancel(self) -> None:
        """Cancel it; one that has ended stays as it is."""
        self.known = self._api.cancel_job(self.id).known

    def terminal_values(self) -> NDArray[np.float64]:
        """Wealth of each path at the horizon, (paths,), the start is 1; asked with ``terminal_values=True``."""
        return self._api.terminal_values(self.id)

    def paths(self, first: int = 0, count: int = 1_000) -> pd.DataFrame:
        """Some paths by their numbers: what each counts, and its wealth at every step; the start is 1."""
        return self._api.simulated_paths(self.id, first=first, count=count)
