"""A cache of finished answers in front of routing, and conditional requests (RFC 9110, 9111 and 9211).

Pure ASGI, because a hit costs about as much as the server itself; the same hit inside a route costs twice that. An
answer is kept under the version of the data that was current before it was computed, so it is never older than its key.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from hashlib import blake2b

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.base.flags import Flag
from pipeline.base.settings import Settings
from pipeline.store.engine import redacted
from serving.caching.answers import Answer, Header, Memory
from serving.caching.conditional import is_current
from serving.caching.keys import Key, key_of
from serving.caching.shared import SharedCache
from serving.caching.versions import DataVersion
from serving.flags import Flags
from serving.routing import ROUTE, route_of
from serving.shared_server import SharedServer

CACHED = ("/api/", "/charts/")
"""Beginnings of the paths that are cached: health, metrics, documentation and pages are not."""
FLIGHT_SECONDS = 10.0
"""How long a request waits for the same one under way, before it is computed by itself."""
_BODY_HEADERS = frozenset({b"content-length", b"content-type", b"content-encoding"})
_HIT, _SHARED, _COLLAPSED, _COMPUTED, _SEPARATE = (
    (b"cache-status", f"fintech; {how}".encode())
    for how in ("hit", "hit; detail=shared", "fwd=miss; collapsed", "fwd=miss", "fwd=bypass")
)


@dataclass(slots=True)
class CacheCounts:
    """How requests were answered since the start."""

    hit: int = 0
    shared: int = 0
    joined: int = 0
    computed: int = 0
    bypassed: int = 0


class ResponseCache:
    """What is kept, where, and under which version.

    Parameters
    ----------
    version
        Of the data.
    memory
        Answers in this process.
    shared
        Answers that services share, if there is a server for them.
    flags
        Whether it is used.
    """

    def __init__(self, version: DataVersion, memory: Memory, shared: SharedCache | None, flags: Flags) -> None:
        self.version = version
        self.memory = memory
        self.shared = shared
        self.flags = flags
        self.counts = CacheCounts()

    @classmethod
    def of(cls, service: str, settings: Settings, server: SharedServer | None, flags: Flags) -> ResponseCache:
        """The cache of a service, as the settings want it; `open` starts it, and whoever made the server that one."""
        assert settings.database_url is not None  # required before
        url = settings.database_url.get_secret_value()
        memory = Memory(settings.cache_mib * 2**20, settings.cache_seconds)
        shared = None
        if server is not None and settings.cache_mib:
            database = blake2b(redacted(url).encode(), digest_size=6).hexdigest()
            namespace = f"fintech:{settings.app_version}:{service}:{database}:"
            shared = SharedCache(server, namespace)
        return cls(DataVersion(url), memory, shared, flags)

    def open(self) -> None:
        """Start; called in the service's loop."""
        self.version.open()

    def close(self) -> None:
        """Stop."""
        self.version.close()

    async def newest_version(self) -> str | None:
        """The version to look under; None if nothing may be kept."""
        return await self.version.current() if self.memory.maximum_bytes else None

    def known_version(self) -> str | None:
        """The same, if it is known without waiting."""
        return self.version.fresh() if self.memory.maximum_bytes else None

    async def from_shared(self, key: Key) -> Answer | None:
        """The answer that another service has kept, or this one before it was restarted."""
        if self.shared is None or not self.flags.is_on(Flag.SHARED_ANSWERS):
            return None
        packed = await self.shared.get(key.digest())
        answer = Answer.unpacked(packed) if packed is not None else None
        if answer is None or answer.age >= self.memory.seconds:
            return None
        self.memory.put(key, answer)
        return answer

    def keep(self, key: Key, answer: Answer) -> None:
        """Keep an answer, if it may be kept."""
        if self.memory.takes(answer):
            self.memory.put(key, answer)
            if self.shared is not None and self.flags.is_on(Flag.SHARED_ANSWERS):
                self.shared.put(key.digest(), answer.packed(), self.memory.seconds)


class ResponseCacheMiddleware:
    """Answer GET and HEAD of the API from what is kept; of equal requests at one time, compute one.

    HEAD of any other address is its GET without the body.

    Logins have to be checked in front of it: an answer that is kept is given to whoever has its key, though the route
    might refuse them. A route whose answers may not be kept says ``Cache-Control: no-store``; they are computed for
    each request, as are refusals that follow from who asks.

    Parameters
    ----------
    app
        What is cached.
    cache
        Where; it is opened and closed with the service.
    """

    def __init__(self, app: ASGIApp, cache: ResponseCache) -> None:
        self._app = app
        self._cache = cache
        self._flights: dict[Key, asyncio.Future[Answer | None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from what is kept, or pass the request on."""
        is_cached = scope["type"] == "http" and scope["path"].startswith(CACHED)
        read = self._read if is_cached else self._app
        if scope["type"] == "http" and scope["method"] == "HEAD":
            asked = {**scope, "method": "GET"}
            await read(asked, receive, _without_body(send))
            scope[ROUTE] = route_of(asked)
        elif not is_cached or scope["method"] == "GET":
            await read(scope, receive, send)
        else:
            await self._write(scope, receive, send)

    async def _write(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on that may change data: the caller's next one sees what it did."""

        async def expire_and_send(message: Message) -> None:
            self._cache.version.expire()
            await send(message)

        await self._app(scope, receive, expire_and_send)

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        version = self._cache.known_version() or await self._cache.newest_version()
        key = key_of(scope, version + self._cache.flags.mark) if version is not None else None
        answer = self._cache.memory.get(key) if key is not None else None
        how = _HIT
        if answer is not None:
            self._cache.counts.hit += 1
        elif key is None:
            self._cache.counts.bypassed += 1
            answer, how = await self._compute(scope, receive, send), _SEPARATE
        else:
            answer, how = await self._fetch(key, scope, receive, send)
        if answer is not None:
            scope[ROUTE] = answer.route
            await _send(answer, how, scope, send)

    async def _fetch(self, key: Key, scope: Scope, receive: Receive, send: Send) -> tuple[Answer | None, Header]:
        """The answer by another request that is under way, by a service beside this one, or by computing it."""
        flight = self._flights.get(key)
        if flight is None:
            return await self._lead(key, scope, receive, send)
        await asyncio.wait([flight], timeout=FLIGHT_SECONDS)
        answer = flight.result() if flight.done() else None
        if answer is not None and answer.is_for_all_with_its_key:
            self._cache.counts.joined += 1
            return answer, _COLLAPSED
        # What it waited for failed, streams, takes too long or is its caller's own. One after the other they would wait
        # for ever.
        self._cache.counts.bypassed += 1
        return await self._compute(scope, receive, send), _SEPARATE

    async def _lead(self, key: Key, scope: Scope, receive: Receive, send: Send) -> tuple[Answer | None, Header]:
        flight: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._flights[key] = flight
        answer = None
        try:
            answer = await self._cache.from_shared(key)
            if answer is not None:
                self._cache.counts.shared += 1
                return answer, _SHARED
            self._cache.counts.computed += 1
            answer = await self._compute(scope, receive, send)
            if answer is not None:
                self._cache.keep(key, answer)
            return answer, _COMPUTED
        finally:
            del self._flights[key]
            flight.set_result(answer)

    async def _compute(self, scope: Scope, receive: Receive, send: Send) -> Answer | None:
        """The application's answer; None if it is a stream, which has been sent."""
        recorder = _Recorder(send)
        await self._app(scope, receive, recorder)
        if recorder.is_stream or recorder.start is None:
            return None
        start = recorder.start
        headers = [(name.lower(), value) for name, value in start.get("headers", ())]
        return Answer.of(start["status"], headers, recorder.body, route_of(scope))


class _Recorder:
    """A `send` that keeps an answer of one piece, and lets one of several pass."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.start: Message | None = None
        self.body = b""
        self.is_stream = False

    async def __call__(self, message: Message) -> None:
        if self.is_stream:
            await self._send(message)
        elif message["type"] == "http.response.start":
            self.start = message
        elif message.get("more_body", False):
            assert self.start is not None
            self.is_stream = True
            await self._send(self.start)
            await self._send(message)
        else:
            self.body = message.get("body", b"")


async def _send(answer: Answer, how: Header, scope: Scope, send: Send) -> None:
    """Send an answer, or 304 if the caller has it."""
    status, headers, body = answer.status, answer.headers, answer.body
    if answer.tag:
        asked = dict(scope["headers"]).get(b"if-none-match")
        if asked is not None and is_current(asked, answer.tag):
            status, body = 304, b""
            headers = [(name, value) for name, value in headers if name not in _BODY_HEADERS]
        headers = [*headers, (b"age", b"%d" % answer.age), how]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head
