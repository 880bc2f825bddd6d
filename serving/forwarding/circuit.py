"""A circuit breaker: a service that does not answer is left alone for a while, and its callers are told at once.

The pattern is Nygard's (Release It!, 2nd ed., 2018, section 5.5).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, get_args

State = Literal["closed", "open", "half_open"]
STATES: tuple[State, ...] = get_args(State)

FAILURES = 5
"""One after the other that open a circuit: a restart that retries outlast does not."""


class Circuit:
    """Whether calls may go through. Not for several threads: a service has one loop.

    Closed, every call may; after `failures` in a row it is open and none may, until `probed` lets one try. How that one
    ends decides. Calls that began before the last change of state decide nothing any more.

    Parameters
    ----------
    failures
        Failures in a row that open it.
    clock
        Seconds that only grow.
    """

    def __init__(self, failures: int = FAILURES, clock: Callable[[], float] = time.monotonic) -> None:
        self._most_failures = failures
        self._clock = clock
        self._failures = 0
        self._period = 0
        self._is_trying = False
        self.state: State = "closed"
        self.opened_at: float | None = None
        self.openings = 0

    def enter(self) -> int | None:
        """A number to end the call with, or None if it may not go through."""
        if self.state == "open" or (self.state == "half_open" and self._is_trying):
            return None
        self._is_trying = self.state == "half_open"
        return self._period

    def succeed(self, entry: int) -> None:
        """Say that a call was answered."""
        if entry != self._period:
            return
        self._failures = 0
        if self.state == "half_open":
            self._change("closed")

    def fail(self, entry: int) -> bool:
        """Say that a call was not answered; whether that has opened the circuit."""
        if entry != self._period:
            return False
        self._failures += 1
        if self.state == "closed" and self._failures < self._most_failures:
            return False
        self._change("open")
        self.opened_at = self._clock()
        self.openings += 1
        return True

    def leave(self, entry: int) -> None:
        """Say that a call ended without showing anything, as when its caller has gone."""
        if entry == self._period:
            self._is_trying = False

    def probed(self) -> None:
        """Let one call try."""
        if self.state == "open":
            self._change("half_open")

    def _change(self, state: State) -> None:
        self.state = state
        self._failures = 0
        self._is_trying = False
        self._period += 1
