"""The version of the data, read from Postgres often enough and never in the way of a request for long.

A thread reads, because a server that has gone silent holds a reading for ever, and a coroutine that is cancelled in
psycopg waits for its cancel request first.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import psycopg

from pipeline.base.errors import PlatformError
from pipeline.store.bounded import BoundedConnection
from pipeline.store.data_version import read_data_version
from pipeline.store.engine import libpq_url

logger = logging.getLogger("serving")

REFRESH_SECONDS = 0.25
"""Age from which a version is read again while it is still used."""
STALE_SECONDS = 0.5
"""Age from which requests wait for the next one."""
WAIT_SECONDS = 0.1
"""How long they wait; afterwards the last known version counts until one is read again."""
PAUSE_SECONDS = 0.25
"""After a reading that failed."""
CONNECT_TIMEOUT_SECONDS = 2
NEVER = float("-inf")


class DataVersion:
    """The newest version of the data that is known, by a connection of its own.

    A commit shows after `STALE_SECONDS` and one reading at most, less than a second; a commit of this process at once.
    While Postgres does not answer, the last version is the newest.

    Parameters
    ----------
    url
        Address of the application database.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._version: str | None = None
        self._seen_at = NEVER
        self._expired_at = NEVER
        self._is_failing = False
        self._is_reading = False
        self._waiting: set[asyncio.Future[None]] = set()
        self._asked = threading.Event()
        self._is_closed = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.readings = 0
        self.failures = 0

    def open(self) -> None:
        """Begin to read when asked; called in the loop that asks."""
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read_when_asked, name="data-version", daemon=True).start()

    def close(self) -> None:
        """End the thread as soon as it is not waiting for the server."""
        self._is_closed.set()
        self._asked.set()

    @property
    def age(self) -> float:
        """Seconds since the newest version was read; infinite if none ever was."""
        return time.monotonic() - self._seen_at

    def expire(self) -> None:
        """Let no version count that was read before now: this process has written."""
        self._expired_at = time.monotonic()

    def fresh(self) -> str | None:
        """The version if it is so new that nothing has to be done."""
        is_fresh = self._seen_at >= self._expired_at and time.monotonic() - self._seen_at < REFRESH_SECONDS
        return self._version if is_fresh else None

    async def current(self) -> str | None:
        """The version; None if none is known that counts, so that nothing kept may be used."""
        if self.fresh() is None:
            self._ask()
            if self._must_wait():
                await self._wait()
        return self._version if self._seen_at >= self._expired_at else None

    def _must_wait(self) -> bool:
        needed = max(time.monotonic() - STALE_SECONDS, self._expired_at)
        return self._seen_at < needed and not self._is_failing

    def _ask(self) -> None:
        if not self._is_reading and self._loop is not None:
            self._is_reading = True
            self._asked.set()

    async def _wait(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while self._must_wait():
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(ended)
            await asyncio.wait([ended], timeout=deadline - time.monotonic())
            self._waiting.discard(ended)
            if not ended.done():
                self._is_failing = True  # the next requests do not wait as well
                return
            self._ask()

    def _ended(self, version: str | None, started: float) -> None:
        """Take over what the thread read, in the loop."""
        self._is_reading = False
        self._is_failing = version is None
        if version is None:
            self.failures += 1
        else:
            self.readings += 1
            self._version, self._seen_at = version, started
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    def _read_when_asked(self) -> None:
        connection: psycopg.Connection | None = None
        while self._asked.wait() and not self._is_closed.is_set():
            self._asked.clear()
            started = time.monotonic()
            version = None
            try:
                connection = connection or self._connect()
                version = read_data_version(connection)
            except (psycopg.Error, PlatformError) as error:
                logger.warning("The version of the data cannot be read: %s", type(error).__name__)
                if connection is not None:
                    connection.close()
                connection = None
            if not self._tell(version, started):
                break
            if version is None:
                self._is_closed.wait(PAUSE_SECONDS)
        if connection is not None:
            connection.close()

    def _connect(self) -> psycopg.Connection:
        return BoundedConnection.connect(
            libpq_url(self._url),
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            application_name="fintech-serving-version",
            options="-c statement_timeout=2000",
        )

    def _tell(self, version: str | None, started: float) -> bool:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._ended, version, started)
        except RuntimeError:  # the loop has ended
            return False
        return True
