"""Reads the version of the data in a thread, when it is asked to, and hears of commits that change it.

A thread reads, because a server that has gone silent holds a reading for ever, and a coroutine that is cancelled in
psycopg waits for its cancel request first.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg

from pipeline.base.errors import PlatformError
from pipeline.store.bounded import BoundedConnection
from pipeline.store.data_version import listen, read_data_version, take_announcements
from pipeline.store.engine import libpq_url

logger = logging.getLogger("serving")

PAUSE_SECONDS = 0.25
"""After a reading that failed."""
APART_SECONDS = 0.05
"""Between two announcements that are told: a load commits by the hundred, and what is kept shall not be for nothing."""
CONNECT_TIMEOUT_SECONDS = 2

Tell = Callable[[str | None, float], bool]
"""Takes a version, None if it cannot be read, and when it was begun to be read; False if nobody listens any more."""


class VersionReader:
    """A thread with a connection of its own.

    Parameters
    ----------
    url
        Address of the application database.
    tell
        What is read, if it was asked for.
    announce
        Takes the moment at which a newer version was heard of; called at once, but not twice within `APART_SECONDS`.
        False as of `tell`.
    """

    def __init__(self, url: str, tell: Tell, announce: Callable[[float], bool]) -> None:
        self._url = url
        self._tell = tell
        self._announce = announce
        self._connection: psycopg.Connection | None = None
        self._wakes: tuple[socket.socket, socket.socket] | None = None
        self._is_closed = threading.Event()
        self._has_heard = False
        self._announced_at = float("-inf")

    def start(self) -> None:
        """Begin to wait for being asked."""
        self._wakes = socket.socketpair()
        threading.Thread(target=self._run, name="data-version", daemon=True).start()

    def ask(self) -> None:
        """Have the version read; a reader that has ended does nothing."""
        with suppress(OSError):
            if self._wakes is not None:
                self._wakes[1].send(b"\0")

    def close(self) -> None:
        """End the thread as soon as it is not waiting for the server."""
        self._is_closed.set()
        self.ask()

    def _run(self) -> None:
        assert self._wakes is not None
        woken, wakes = self._wakes
        with woken, wakes:
            while True:
                is_asked = self._wait(woken)
                if self._is_closed.is_set() or not self._passed_on():
                    break
                if is_asked and not self._read_and_told():
                    break
        self._disconnect()

    def _wait(self, woken: socket.socket) -> bool:
        """Wait until there is something to do; whether that is a reading."""
        waiting = select.poll()
        waiting.register(woken, select.POLLIN)
        if self._connection is not None:
            waiting.register(self._connection, select.POLLIN)
        due = self._announced_at + APART_SECONDS - time.monotonic()
        ready = waiting.poll(max(0.0, due) * 1_000 if self._has_heard else None)
        is_asked = any(number == woken.fileno() for number, _ in ready)
        if is_asked:
            woken.recv(1_024)
        self._hear()
        return is_asked

    def _hear(self) -> None:
        try:
            if self._connection is not None:
                take_announcements(self._connection)
        except psycopg.Error:  # the server has ended it; the next reading connects again, and says so if it cannot
            self._disconnect()

    def _heard(self) -> None:
        self._has_heard = True

    def _passed_on(self) -> bool:
        if not self._has_heard or time.monotonic() < self._announced_at + APART_SECONDS:
            return True
        self._has_heard = False
        self._announced_at = time.monotonic()
        return self._announce(self._announced_at)

    def _read_and_told(self) -> bool:
        started = time.monotonic()
        version = None
        self._has_heard = False  # what was heard until now will have been read
        try:
            version = read_data_version(self._connected())
        except (psycopg.Error, PlatformError) as error:
            logger.warning("The version of the data cannot be read: %s", type(error).__name__)
            self._disconnect()
        if not self._tell(version, started):
            return False
        if version is None:
            self._is_closed.wait(PAUSE_SECONDS)
        return True

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = BoundedConnection.connect(
                libpq_url(self._url),
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                application_name="fintech-serving-version",
                options="-c statement_timeout=2000",
            )
            listen(self._connection, self._heard)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
