"""The version of the data, read from Postgres often enough and never in the way of a request for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from serving.caching.version_reader import VersionReader

REFRESH_SECONDS = 0.25
"""Age from which a version is read again while it is still used."""
STALE_SECONDS = 0.5
"""Age from which requests wait for the next one, as they do after an announcement."""
WAIT_SECONDS = 0.1
"""How long they wait; afterwards the last known version counts until one is read again."""
NEVER = float("-inf")


class DataVersion:
    """The newest version of the data that is known.

    Commits show at once: Postgres announces them, and those of this process need not even be announced. Where
    announcements do not come through, as behind a pooler, they show after `STALE_SECONDS` and one reading at most.
    While Postgres does not answer, the last version is the newest.

    Parameters
    ----------
    url
        Address of the application database.
    """

    def __init__(self, url: str) -> None:
        self._version: str | None = None
        self._seen_at = NEVER
        self._expired_at = NEVER
        self._announced_at = NEVER
        self._is_failing = False
        self._is_reading = False
        self._waiting: set[asyncio.Future[None]] = set()
        self._reader = VersionReader(url, self._tell, self._announce)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.readings = 0
        self.failures = 0

    def open(self) -> None:
        """Begin to read, once now, so that the first request need not wait; called in the loop that asks."""
        self._loop = asyncio.get_running_loop()
        self._reader.start()
        self._ask()

    def close(self) -> None:
        """Read no more."""
        self._reader.close()

    @property
    def age(self) -> float:
        """Seconds since the newest version was read; infinite if none ever was."""
        return time.monotonic() - self._seen_at

    def expire(self) -> None:
        """Let no version count that was read before now: this process has written."""
        self._expired_at = time.monotonic()

    def fresh(self) -> str | None:
        """The version if it is so new that nothing has to be done."""
        needed = max(time.monotonic() - REFRESH_SECONDS, self._expired_at, self._announced_at)
        return self._version if self._seen_at > needed else None

    async def current(self) -> str | None:
        """The version; None if none is known that counts, so that nothing kept may be used."""
        if self.fresh() is None:
            self._ask()
            if self._must_wait():
                await self._wait()
        return self._version if self._seen_at >= self._expired_at else None

    def _must_wait(self) -> bool:
        needed = max(time.monotonic() - STALE_SECONDS, self._expired_at, self._announced_at)
        return self._seen_at < needed and not self._is_failing

    def _ask(self) -> None:
        if not self._is_reading and self._loop is not None:
            self._is_reading = True
            self._reader.ask()

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

    def _announced(self, moment: float) -> None:
        """Have requests wait for a version read since then; one that was read before counts while there is no other."""
        self._announced_at = moment

    def _tell(self, version: str | None, started: float) -> bool:
        return self._in_the_loop(self._ended, version, started)

    def _announce(self, moment: float) -> bool:
        return self._in_the_loop(self._announced, moment)

    def _in_the_loop(self, function: Callable[..., None], *values: object) -> bool:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *values)
        except RuntimeError:  # the loop has ended
            return False
        return True
