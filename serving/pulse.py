"""Whether Postgres answers: what ends a wait for a server that has gone silent, and refuses requests until it is back.

A server that is stopped, or a network that swallows, outlives ``statement_timeout``, which is the server's own clock,
and TCP, whose kernel still acknowledges. So whoever has waited for a moment has the server asked over a connection of
its own: a slow query is waited for, a silent server is not. This is a circuit breaker for the database (Nygard, Release
It!, 2nd ed., 2018, section 5.5).
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen

from pipeline.store.access import ScopedConnection
from pipeline.store.bounded import BoundedConnection, require_answer
from pipeline.store.engine import libpq_url

logger = logging.getLogger("serving")

FIRST_SECONDS = 0.1
"""Wait after which the server is asked whether it lives."""
SILENT_SECONDS = 0.3
"""Without a word on any connection after which it does not."""
TICK_SECONDS = 0.05
"""Between two looks of a waiting thread."""
PAUSE_SECONDS = 0.1
"""Between two questions to a server that is out."""
PATIENCE_SECONDS = 1.0
"""For the answer to one: where a network has swallowed it, a new connection is what finds the server again."""
LONGEST_SECONDS = 12.0
"""Of one statement on a server that lives: a connection of which the network has lost one end is given up."""
CONNECT_TIMEOUT_SECONDS = 2

T = TypeVar("T")
NEVER = float("-inf")


class Pulse:
    """Asks Postgres whether it lives, when somebody doubts it.

    Parameters
    ----------
    url
        Address of the application database.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._asked = threading.Event()
        self._is_closed = threading.Event()
        self._asked_at: float | None = None
        self.heard_at = NEVER
        self.is_out = False
        self.outages = 0

    def open(self) -> None:
        """Begin to ask when somebody doubts."""
        threading.Thread(target=self._ask_when_doubted, name="postgres-pulse", daemon=True).start()

    def close(self) -> None:
        """End the thread."""
        self._is_closed.set()
        self._asked.set()

    def doubt(self) -> None:
        """Have the server asked; who doubts while it is being asked waits for the same answer."""
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            self._asked.set()

    def is_silent(self, listened_seconds: float = SILENT_SECONDS) -> bool:
        """Whether the server is known to be out, or owes an answer and says nothing on any connection.

        Parameters
        ----------
        listened_seconds
            For how long somebody has listened since the last word. Of a process that was kept from running, as by a
            compiler, the clock alone would tell that the server was silent.
        """
        asked_at = self._asked_at
        # A word that came after the question was not the answer to it, which is still owed.
        if (
            asked_at is not None
            and listened_seconds >= SILENT_SECONDS
            and time.monotonic() - max(asked_at, self.heard_at) > SILENT_SECONDS
        ):
            self._lose("silent")
        return self.is_out

    def _lose(self, why: str) -> None:
        if not self.is_out:
            self.is_out = True
            self.outages += 1
            logger.warning("Postgres does not answer (%s); requests are refused until it does", why)

    def _ask_when_doubted(self) -> None:
        # Made before somebody doubts: a full machine takes longer to begin a connection than a question may last.
        connection = self._connected_early()
        while self._asked.wait() and not self._is_closed.is_set():
            self._asked.clear()
            connection = self._ask_until_it_answers(connection)
        if connection is not None:
            connection.close()

    def _ask_until_it_answers(self, connection: psycopg.Connection | None) -> psycopg.Connection | None:
        while not self._is_closed.is_set():
            is_old = connection is not None
            try:
                connection = connection or self._connect()
                require_answer(connection)
            except psycopg.Error as error:
                if connection is not None:
                    connection.close()
                connection = None
                if not is_old:  # what was connected before tells of the server that was there then
                    self._lose(type(error).__name__)
                    self._is_closed.wait(PAUSE_SECONDS)
                continue
            self.heard_at = time.monotonic()
            self._asked_at = None
            if self.is_out:
                self.is_out = False
                logger.warning("Postgres answers again")
            break
        return connection

    def _connected_early(self) -> psycopg.Connection | None:
        """A connection for the first question; None if the server is not up yet."""
        try:
            return self._connect()
        except psycopg.Error:
            return None

    def _connect(self) -> psycopg.Connection:
        return _Question.connect(
            libpq_url(self._url),
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            application_name="fintech-serving-pulse",
        )


class _Question(BoundedConnection):
    """A connection for the questions."""

    def wait(self, gen: PQGen[T], interval: float = TICK_SECONDS, timeout: float | None = PATIENCE_SECONDS) -> T:
        """As `BoundedConnection.wait`, and not as long.

        What has come while this process was kept from looking is looked for once more.
        """
        try:
            return psycopg.Connection.wait(self, gen, interval, timeout)
        except errors._WaitTimeout:
            return super().wait(gen, interval, interval)


class WatchedConnection(ScopedConnection):
    """A connection whose waits end when the server is silent; it is closed then, for its state is unknown."""

    pulse: Pulse | None = None

    def wait(self, gen: PQGen[T], interval: float = TICK_SECONDS, timeout: float | None = None) -> T:
        """As psycopg's own, which every statement goes through.

        Raises
        ------
        OperationalError
            If the server is silent, or takes longer than any statement may.
        """
        pulse = self.pulse
        if pulse is None or timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            found = super().wait(gen, interval, FIRST_SECONDS)
        except errors._WaitTimeout:
            found = self._wait_on(gen, pulse)
        pulse.heard_at = time.monotonic()
        return found

    def _wait_on(self, gen: PQGen[T], pulse: Pulse) -> T:
        deadline = time.monotonic() + LONGEST_SECONDS
        heard_at, ticks = pulse.heard_at, 0
        while time.monotonic() < deadline:
            pulse.doubt()
            try:
                return super().wait(gen, TICK_SECONDS, TICK_SECONDS)
            except errors._WaitTimeout:
                heard_at, ticks = pulse.heard_at, ticks + 1 if pulse.heard_at == heard_at else 1
                if pulse.is_silent(ticks * TICK_SECONDS):
                    break
        self.close()
        raise psycopg.OperationalError("the server has gone silent")
