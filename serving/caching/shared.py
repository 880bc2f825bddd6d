"""Answers in a Redis or Valkey that services share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.shared_server import TIMEOUT_SECONDS, SharedServer

if TYPE_CHECKING:
    from redis.asyncio import Redis


class SharedCache:
    """Bytes by key in a server that may be gone at any time.

    Parameters
    ----------
    server
        Where; whoever made it opens and closes it.
    namespace
        Begins each key: services of other versions or over other databases do not meet there.
    """

    def __init__(self, server: SharedServer, namespace: str) -> None:
        self._server = server
        self._namespace = namespace

    @property
    def is_out(self) -> bool:
        """Whether the server has failed and is not asked."""
        return self._server.is_out

    @property
    def failures(self) -> int:
        """How often the server did not answer, whoever asked."""
        return self._server.failures

    async def get(self, key: str) -> bytes | None:
        """What is kept under a key, if anything is and the server answers."""
        found = await self._server.ask(lambda client: client.get(self._namespace + key))
        return found if isinstance(found, bytes) else None

    def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep something, without waiting for it."""
        if not self._server.is_out:
            self._server.begin(self._put(key, value, seconds))

    async def _put(self, key: str, value: bytes, seconds: float) -> None:
        async def put(client: Redis) -> None:
            await client.set(self._namespace + key, value, px=max(1, int(seconds * 1000)))

        await self._server.ask(put, 2 * TIMEOUT_SECONDS)
