"""How far the main job is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

WARM_UP_PARTITIONS = 20
"""No estimate before: the first partition carries the start-up."""


class Display(Protocol):
    """What shows progress."""

    def begin(self, what: str, total: int, total_work: float) -> None:
        """Name the work that begins, and how many partitions and how much work there are in all."""

    def advance(self, done: int, work: float, failed_checks: int) -> None:
        """Say how many partitions and how much work are done, and how many checks failed."""


@contextmanager
def progress_display(console: Console) -> Iterator[Display]:
    """A bar if the console is a terminal, plain lines otherwise."""
    pace = Pace()
    if not console.is_terminal:
        yield LineDisplay(console, pace)
        return
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeColumn(pace),
        console=console,
        expand=True,
        transient=True,
    ) as bar:
        yield BarDisplay(bar, pace)


class Pace:
    """Estimates the time that is left from the work done so far.

    Parameters
    ----------
    clock
        Gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._end: float | None = None
        self.total = 0
        self.total_work = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started

    def advance(self, done: int, work: float) -> None:
        """Estimate again."""
        known = WARM_UP_PARTITIONS < done < self.total
        self._end = self.elapsed * self.total_work / work if known and work > 0.0 else None

    def begin(self, total: int, total_work: float) -> None:
        """Take a new total, from which the next estimate is made."""
        if self._end is not None:
            self._end *= total_work / self.total_work
        self.total, self.total_work = total, total_work

    def remaining(self) -> str:
        """The estimate in words, counting down until the next one; empty while there is none."""
        if self._end is None:
            return ""
        return f"about {max(self._end - self.elapsed, 1.0):.0f} s left"


class TimeColumn(ProgressColumn):
    """Seconds so far and the estimate, renewed while a long piece of work says nothing."""

    def __init__(self, pace: Pace) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._pace = pace

    def render(self, task: Task) -> Text:
        """Write the times, and what failed."""
        parts = [f"{self._pace.elapsed:.0f} s", self._pace.remaining(), _failures(task.fields["failed_checks"])]
        return Text(", ".join(part for part in parts if part))


class BarDisplay:
    """A bar that is redrawn in place."""

    def __init__(self, bar: Progress, pace: Pace) -> None:
        self._bar = bar
        self._pace = pace
        self._task = bar.add_task("starting", total=None, failed_checks=0)

    def begin(self, what: str, total: int, total_work: float) -> None:
        """Change the caption and the total."""
        self._pace.begin(total, total_work)
        self._bar.update(self._task, description=what, total=total)

    def advance(self, done: int, work: float, failed_checks: int) -> None:
        """Move the bar."""
        self._pace.advance(done, work)
        self._bar.update(self._task, completed=done, failed_checks=failed_checks)


class LineDisplay:
    """One line for each piece of work and for each tenth that is done, for logs."""

    def __init__(self, console: Console, pace: Pace) -> None:
        self._console = console
        self._pace = pace
        self._reported = -1

    def begin(self, what: str, total: int, total_work: float) -> None:
        """Print what begins."""
        self._pace.begin(total, total_work)
        self._print(f"{what} ...")

    def advance(self, done: int, work: float, failed_checks: int) -> None:
        """Print at each further tenth of the work."""
        self._pace.advance(done, work)
        tenth = 10 * done // max(self._pace.total, 1)
        if tenth == self._reported:
            return
        self._reported = tenth
        parts = [
            f"{done}/{self._pace.total} partitions",
            f"{self._pace.elapsed:.0f} s",
            self._pace.remaining(),
            _failures(failed_checks),
        ]
        self._print("  " + ", ".join(part for part in parts if part))

    def _print(self, line: str) -> None:
        # A log has no width to wrap at.
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _failures(failed_checks: int) -> str:
    return f"{failed_checks} checks failed" if failed_checks else ""
