"""How far the main job is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

WARM_UP_PARTITIONS = 20
"""No estimate before: the first partition carries the start-up."""


class Display(Protocol):
    """What shows progress."""

    def begin(self, what: str, total: int) -> None:
        """Name the work that begins, and how many partitions there are in all."""

    def advance(self, done: int, failed_checks: int) -> None:
        """Say how many partitions are done and how many checks failed."""


@contextmanager
def progress_display(console: Console) -> Iterator[Display]:
    """A bar if the console is a terminal, plain lines otherwise."""
    if not console.is_terminal:
        yield LineDisplay(console)
        return
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("partitions"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[remaining]}"),
        console=console,
        transient=True,
    ) as bar:
        yield BarDisplay(bar)


class Pace:
    """Estimates the time that is left from the partitions done so far."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.total = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def remaining(self, done: int) -> str:
        """The estimate in words; empty before anything is done."""
        if not WARM_UP_PARTITIONS < done < self.total:
            return ""
        return f"about {self.elapsed / done * (self.total - done):.0f} s left"


class BarDisplay:
    """A bar that is redrawn in place."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._pace = Pace()
        self._task = bar.add_task("starting", total=None, remaining="")

    def begin(self, what: str, total: int) -> None:
        """Change the caption and the total."""
        self._pace.total = total
        self._bar.update(self._task, description=what, total=total)

    def advance(self, done: int, failed_checks: int) -> None:
        """Move the bar."""
        failed = f" {failed_checks} checks failed" if failed_checks else ""
        self._bar.update(self._task, completed=done, remaining=self._pace.remaining(done) + failed)


class LineDisplay:
    """One line for each piece of work and for each that is done, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pace = Pace()
        self._reported = -1

    def begin(self, what: str, total: int) -> None:
        """Print what begins."""
        self._pace.total = total
        self._console.print(f"{what} ...", highlight=False)

    def advance(self, done: int, failed_checks: int) -> None:
        """Print at each further tenth of the work."""
        tenth = 10 * done // max(self._pace.total, 1)
        if tenth == self._reported:
            return
        self._reported = tenth
        parts = [f"{done}/{self._pace.total} partitions", f"{self._pace.elapsed:.0f} s", self._pace.remaining(done)]
        parts += [f"{failed_checks} checks failed"] if failed_checks else []
        self._console.print("  " + ", ".join(part for part in parts if part), highlight=False)
