"""Which core of the machine a worker answers on.

Python runs one thread of a process at a time. Where they are spread over the cores, each change from one to the other
wakes a core and moves what the interpreter has at hand into its cache: a read from Postgres, which goes from the loop
to a thread and back, then costs 1.2 ms of the processor instead of 0.73 (measured on two cores). So each process that
answers keeps to a core, unless ``FINTECH_OWN_CORE=false`` leaves that to the system. Threads that compute, mostly
without the interpreter, do not.

None moves to another core later. What keeps to no core, as runs, databases and programs that ask do, is moved away by
the system; two workers that looked for a calm core by themselves met on one, and stayed (tried).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_allowed: frozenset[int] = frozenset()
"""The cores that this process might use before it settled on one; empty where it has not."""


def settle_on_core(number: int) -> None:
    """Keep this thread, and those that it starts from now on, to one of the cores: another one for the next number.

    Where the system cannot do that, or there is no choice, nothing happens.
    """
    global _allowed  # noqa: PLW0603 - it belongs to the process, as what it describes does
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        _allowed = frozenset(cores)
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def use_all_cores() -> None:
    """Let this thread run on every core that its process might use."""
    if _allowed:
        os.sched_setaffinity(0, _allowed)


def freely(function: Callable[[], T]) -> T:
    """Call a function on every core."""
    with all_cores():
        return function()


@contextmanager
def all_cores() -> Iterator[None]:
    """Let this thread, and those that it starts, run on every core meanwhile: one that answers other requests, too."""
    if not _allowed:
        yield
        return
    before = os.sched_getaffinity(0)
    use_all_cores()
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
