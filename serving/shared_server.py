"""A Redis or Valkey that services share. Its death and its silence cost one request 0.1 s, and no error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pipeline.base.errors import ConfigurationError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from pipeline.base.settings import Settings

logger = logging.getLogger("serving")

SCHEMES = ("redis://", "rediss://", "unix://")
TIMEOUT_SECONDS = 0.1
PROBE_SECONDS = 3.0
"""Between two tries to reach a server that has failed; requests go without it meanwhile."""
CONNECTIONS = 16
PENDING = 64
"""Pieces of work that nobody waits for; further ones are dropped."""

T = TypeVar("T")


class SharedServer:
    """A connection to a server that may be gone at any time: once it has failed it is not asked, until it answers.

    Parameters
    ----------
    url
        ``redis://…``, ``rediss://…`` or ``unix://…``.

    Raises
    ------
    ConfigurationError
        If the address cannot be used; it is not shown, for it may hold a password.
    """

    def __init__(self, url: str) -> None:
        if not url.startswith(SCHEMES):
            raise ConfigurationError(
                "REDIS_URL cannot be read",
                "Write it as redis://user:password@host:6379/0, or leave it empty.",
                exit_code=2,
            )
        self._url = url
        self._client: Redis | None = None
        self._is_out = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures = 0

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """The server of the settings, if they name one."""
        return cls(settings.redis_url.get_secret_value()) if settings.redis_url is not None else None

    def open(self) -> None:
        """Make the client; nothing is connected yet."""
        # A tenth of the API's imports, and only needed here.
        from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415

        pool = BlockingConnectionPool.from_url(
            self._url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            # The defaults wait 4.5 s for a refused port and more than 30 s for a silent server.
            retry=Retry(NoBackoff(), 0),
        )
        self._client = Redis(connection_pool=pool)

    async def close(self) -> None:
        """Give up what is pending and disconnect."""
        for task in self._tasks:
            task.cancel()
        if self._client is not None:
            await self._client.aclose()
            await self._client.connection_pool.disconnect()

    @property
    def is_out(self) -> bool:
        """Whether the server has failed and is not asked."""
        return self._is_out

    async def ask(self, question: Callable[[Redis], Awaitable[T]], seconds: float = TIMEOUT_SECONDS) -> T | None:
        """What the server answers; None if it is out or does not answer in time."""
        if self._is_out or self._client is None:
            return None
        try:
            async with asyncio.timeout(seconds):
                return await question(self._client)
        except Exception as error:  # whatever it is, requests are answered without it
            self._fail(error)
            return None

    def begin(self, work: Coroutine[Any, Any, None]) -> bool:
        """Start something that nobody waits for; False if too much of it is under way."""
        if len(self._tasks) >= PENDING:
            work.close()
            return False
        self._start(work)
        return True

    def _fail(self, error: Exception) -> None:
        self.failures += 1
        if not self._is_out:
            self._is_out = True
            logger.warning("REDIS_URL does not answer (%s); going on without it", type(error).__name__)
            self._start(self._probe())

    async def _probe(self) -> None:
        assert self._client is not None
        while self._is_out:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                async with asyncio.timeout(2 * TIMEOUT_SECONDS):
                    await self._client.ping()
            except Exception:  # noqa: S112 - tried again
                continue
            self._is_out = False
            logger.warning("REDIS_URL answers again")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
