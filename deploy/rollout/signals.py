"""SIGTERM and SIGINT: the first one ends the rollout, none ends the rollback."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from deploy.rollout.errors import CancelledError

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Cancellation:
    """Turns the first signal into `CancelledError`, unless it is held.

    Parameters
    ----------
    say
        Told of a signal that is not obeyed.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._held = False

    def hold(self) -> None:
        """From now on signals are noted, not obeyed: half a rollback is worse than a slow one."""
        self._held = True

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Handle signals within the block."""
        former = {number: signal.signal(number, self._arrived) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._held:
            self._say(name)
            return
        self._held = True  # a runner that cancels sends SIGINT and, seconds later, SIGTERM
        raise CancelledError(f"cancelled by {name}")
