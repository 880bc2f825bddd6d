"""What a rollout has done, kept in a file, so that another process can undo it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from deploy.rollout.errors import RefusedError
from deploy.rollout.services import PARTS, Part

FORMAT = 1


class Progress(StrEnum):
    """How far one part has come."""

    WAITING = "waiting"
    """Not touched yet."""
    DEPLOYING = "deploying"
    """Perhaps replaced."""
    SERVING = "serving"
    """Replaced, and through its gate."""
    RESTORED = "restored"
    """What served before serves again, and went through the gate."""
    STUCK = "stuck"
    """It could not be restored; the cause says why."""


class Outcome(StrEnum):
    """How a rollout ended."""

    UNFINISHED = "unfinished"
    DONE = "done"
    ROLLED_BACK = "rolled back"
    ROLLBACK_FAILED = "rollback failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a rollout.

    Parameters
    ----------
    part
        What is replaced.
    image
        What by, a reference by digest.
    previous
        What served before; None if nothing did.
    progress
        How far it has come.
    cause
        Why it went no further.
    """

    part: Part
    image: str
    previous: str | None
    progress: Progress = Progress.WAITING
    cause: str | None = None

    @property
    def touched(self) -> bool:
        """Whether the part may run something other than before."""
        return self.progress in (Progress.DEPLOYING, Progress.SERVING, Progress.STUCK)


class Journal:
    """The steps of one rollout; each change is on the disk before the next call to the platform.

    Parameters
    ----------
    path
        The file.
    target
        Name of the target.
    steps
        In the order of deployment.
    outcome
        How it ended.
    """

    def __init__(self, path: Path, target: str, steps: Iterable[Step], outcome: Outcome = Outcome.UNFINISHED) -> None:
        self._path = path
        self.target = target
        self._steps = {step.part: step for step in steps}
        self.outcome = outcome

    @classmethod
    def begin(cls, path: Path, target: str, steps: Iterable[Step]) -> Journal:
        """Write a new journal.

        Raises
        ------
        RefusedError
            If the file holds a rollout that was neither finished nor undone, or cannot be written.
        """
        if path.exists() and (found := cls.read(path, target).outcome) in (
            Outcome.UNFINISHED,
            Outcome.ROLLBACK_FAILED,
        ):
            raise RefusedError(
                f"--journal: {path} holds a rollout that is {found}; undo it first (`python -m deploy.rollout"
                " rollback`), or remove the file"
            )
        journal = cls(path, target, steps)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            journal._write()
        except OSError as error:
            raise RefusedError(f"--journal: {path} cannot be written ({error}); name a file that can") from error
        return journal

    @classmethod
    def read(cls, path: Path, target: str) -> Journal:
        """Read a journal of the target.

        Raises
        ------
        RefusedError
            If there is none, it cannot be understood, or it is another target's.
        """
        try:
            read = json.loads(path.read_text())
            if read["format"] != FORMAT:
                raise RefusedError(f"--journal: {path} has format {read['format']}, not {FORMAT}; use its own version")
            journal = cls(path, read["target"], map(_step, read["steps"]), Outcome(read["outcome"]))
        except FileNotFoundError as error:
            raise RefusedError(f"--journal: there is no {path}; name the journal of the rollout") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RefusedError(f"--journal: {path} is no journal ({error!r}); name the one of the rollout") from error
        if journal.target != target:
            raise RefusedError(f"--journal: {path} is of {journal.target}, not of {target}; name that target")
        return journal

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps.values())

    def mark(self, part: Part, progress: Progress, cause: str | None = None) -> None:
        """Record how far a part has come."""
        self._steps[part] = replace(self._steps[part], progress=progress, cause=cause)
        self._write()

    def end(self, outcome: Outcome) -> None:
        """Record how the rollout ended."""
        self.outcome = outcome
        self._write()

    def touched(self) -> list[Step]:
        """The steps whose parts may run something other than before, the last one first."""
        return [step for step in reversed(self._steps.values()) if step.touched]

    def _write(self) -> None:
        steps = [{**asdict(step), "part": step.part.name} for step in self]
        text = json.dumps({"format": FORMAT, "target": self.target, "outcome": self.outcome, "steps": steps}, indent=2)
        draft = self._path.with_name(f"{self._path.name}.new")
        with draft.open("w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)  # at once: whoever reads finds the old journal or the new one, whole


_PARTS = {part.name: part for part in PARTS}


def _step(read: dict[str, Any]) -> Step:
    return Step(**{**read, "part": _PARTS[read["part"]], "progress": Progress(read["progress"])})
