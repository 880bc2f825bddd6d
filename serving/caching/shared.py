"""A Redis or Valkey that services share answers by. Its death and its silence cost one request 0.1 s, and no error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from pipeline.base.errors import ConfigurationError

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger("serving")

SCHEMES = ("redis://", "rediss://", "unix://")
TIMEOUT_SECONDS = 0.1
PROBE_SECONDS = 3.0
"""Between two tries to reach a server that has failed; requests go without it meanwhile."""
CONNECTIONS = 16
PENDING_PUTS = 64


class SharedCache:
    """Bytes by key in a server that may be gone at any time.

    Parameters
    ----------
    url
        ``redis://…``, ``rediss://…`` or ``unix://…``.
    namespace
        Begins each key: services of other versions or over other databases do not meet there.

    Raises
    ------
    ConfigurationError
        If the address cannot be used; it is not shown, for it may hold a password.
    """

    def __init__(self, url: str, namespace: str) -> None:
        if not url.startswith(SCHEMES):
            raise ConfigurationError(
                "REDIS_URL cannot be read",
                "Write it as redis://user:password@host:6379/0, or leave it empty.",
                exit_code=2,
            )
        self._url = url
        self._namespace = namespace
        self._client: Redis | None = None
        self._is_out = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures = 0

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

    async def get(self, key: str) -> bytes | None:
        """What is kept under a key, if anything is and the server answers."""
        if self._is_out or self._client is None:
            return None
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                found = await self._client.get(self._namespace + key)
        except Exception as error:  # whatever it is, answers are made without it
            self._fail(error)
            return None
        return found if isinstance(found, bytes) else None

    def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep something, without waiting for it."""
        if not self._is_out and self._client is not None and len(self._tasks) < PENDING_PUTS:
            self._start(self._put(self._client, key, value, seconds))

    async def _put(self, client: Redis, key: str, value: bytes, seconds: float) -> None:
        try:
            async with asyncio.timeout(2 * TIMEOUT_SECONDS):
                await client.set(self._namespace + key, value, px=max(1, int(seconds * 1000)))
        except Exception as error:
            self._fail(error)

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
