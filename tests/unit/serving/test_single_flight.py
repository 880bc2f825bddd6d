"""Equal requests at one time: one computation, whoever leads and whatever happens to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from serving.caching.answers import Memory
from serving.flags import Flags
from serving.response_cache import ResponseCache, ResponseCacheMiddleware

Messages = list[dict[str, Any]]


class KnownVersion:
    """A version that is known without a database."""

    def __init__(self) -> None:
        self.version: str | None = "1"

    def fresh(self) -> str | None:
        return self.version

    async def current(self) -> str | None:
        return self.version

    def expire(self) -> None:
        self.version = f"{self.version}+"


class Application:
    """Answers when it is let, and counts."""

    def __init__(self, answer: Callable[[Callable], Awaitable[None]]) -> None:
        self.calls = 0
        self.let = asyncio.Event()
        self._answer = answer

    async def __call__(self, _scope, _receive, send) -> None:
        self.calls += 1
        await self.let.wait()
        await self._answer(send)


async def succeed(send) -> None:
    await respond(send, 200)


async def fail(send) -> None:
    raise ZeroDivisionError


async def stream(send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"1", "more_body": True})
    await send({"type": "http.response.body", "body": b"2"})


async def respond(send, status: int, *headers: tuple[bytes, bytes]) -> None:
    given = [(b"Content-Type", b"text/plain"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": given})
    await send({"type": "http.response.body", "body": b"body"})


def responding(status: int, *headers: tuple[bytes, bytes]) -> Callable[[Callable], Awaitable[None]]:
    return lambda send: respond(send, status, *headers)


def middleware(app: Application) -> ResponseCacheMiddleware:
    return ResponseCacheMiddleware(app, ResponseCache(KnownVersion(), Memory(10**6, 300), None, Flags("")))  # type: ignore[arg-type]


async def ask(cache: ResponseCacheMiddleware, method: str = "GET", path: str = "/api/v1/x") -> Messages:
    sent: Messages = []

    async def send(message) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    await cache({"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}, receive, send)
    return sent


async def together(cache: ResponseCacheMiddleware, app: Application, count: int) -> list[Messages | BaseException]:
    asked = [asyncio.create_task(ask(cache)) for _ in range(count)]
    await asyncio.sleep(0.01)
    app.let.set()
    return await asyncio.gather(*asked, return_exceptions=True)


def test_one_of_a_hundred_computes() -> None:
    async def run() -> None:
        app = Application(succeed)
        cache = middleware(app)
        answers = await together(cache, app, 100)
        assert app.calls == 1
        assert {(answer[0]["status"], answer[1]["body"]) for answer in answers} == {(200, b"body")}
        counts = cache._cache.counts
        assert (counts.computed, counts.joined, counts.hit) == (1, 99, 0)
        await ask(cache)
        assert (app.calls, counts.hit) == (1, 1)

    asyncio.run(run())


@pytest.mark.parametrize("status", [404, 422, 503])
def test_a_refusal_of_the_request_is_shared_but_not_kept(status: int) -> None:
    async def run() -> None:
        app = Application(responding(status))
        cache = middleware(app)
        answers = await together(cache, app, 100)
        assert {answer[0]["status"] for answer in answers} == {status}
        assert app.calls == 1
        await ask(cache)
        assert app.calls == 2

    asyncio.run(run())


@pytest.mark.parametrize("status", [400, 401, 403, 405, 409, 412, 429, 500])
def test_a_refusal_of_the_caller_is_nobody_elses(status: int) -> None:
    async def run() -> None:
        app = Application(responding(status))
        cache = middleware(app)
        answers = await together(cache, app, 10)
        assert {answer[0]["status"] for answer in answers} == {status}
        assert app.calls == 10
        assert (cache._cache.counts.computed, cache._cache.counts.joined, cache._cache.counts.bypassed) == (1, 0, 9)

    asyncio.run(run())


@pytest.mark.parametrize("header", [(b"Cache-Control", b"private, No-Store"), (b"Set-Cookie", b"a=b")])
@pytest.mark.parametrize("status", [200, 404])
def test_what_may_not_be_kept_is_computed_for_each(status: int, header: tuple[bytes, bytes]) -> None:
    async def run() -> None:
        app = Application(responding(status, header))
        cache = middleware(app)
        await together(cache, app, 10)
        assert app.calls == 10

    asyncio.run(run())


def test_a_leader_that_fails_leaves_the_others_to_themselves() -> None:
    async def run() -> None:
        app = Application(fail)
        cache = middleware(app)
        answers = await together(cache, app, 10)
        assert all(isinstance(answer, ZeroDivisionError) for answer in answers)
        assert app.calls == 10
        assert not cache._flights
        app._answer = succeed
        assert (await ask(cache))[0]["status"] == 200

    asyncio.run(run())


def test_a_leader_that_is_cancelled_leaves_the_others_to_themselves() -> None:
    async def run() -> None:
        app = Application(succeed)
        cache = middleware(app)
        leader, waiter = (asyncio.create_task(ask(cache)) for _ in range(2))
        await asyncio.sleep(0.01)
        leader.cancel()
        app.let.set()
        assert (await waiter)[0]["status"] == 200
        assert app.calls == 2
        assert not cache._flights

    asyncio.run(run())


def test_a_waiter_that_is_cancelled_harms_nobody() -> None:
    async def run() -> None:
        app = Application(succeed)
        cache = middleware(app)
        leader, waiter, other = (asyncio.create_task(ask(cache)) for _ in range(3))
        await asyncio.sleep(0.01)
        waiter.cancel()
        app.let.set()
        assert (await leader)[0]["status"] == (await other)[0]["status"] == 200

    asyncio.run(run())


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.response_cache.FLIGHT_SECONDS", 0.01)

    async def run() -> None:
        app = Application(succeed)
        cache = middleware(app)
        leader = asyncio.create_task(ask(cache))
        await asyncio.sleep(0)
        waiter = asyncio.create_task(ask(cache))
        await asyncio.sleep(0.05)
        assert app.calls == 2
        app.let.set()
        await asyncio.gather(leader, waiter)

    asyncio.run(run())


def test_a_stream_passes_and_is_not_kept() -> None:
    async def run() -> None:
        app = Application(stream)
        cache = middleware(app)
        app.let.set()
        for calls in (1, 2):
            sent = await ask(cache)
            assert [message.get("body") for message in sent] == [None, b"1", b"2"]
            assert app.calls == calls
        assert [message.get("body") for message in await ask(cache, "HEAD")] == [None, b"", b""]

    asyncio.run(run())


def test_a_write_makes_what_is_kept_old() -> None:
    async def run() -> None:
        app = Application(succeed)
        cache = middleware(app)
        app.let.set()
        await ask(cache)
        await ask(cache, "POST")
        await ask(cache)
        assert app.calls == 3

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics", "/docs", "/openapi.json", "/"])
def test_other_paths_pass(path: str) -> None:
    async def run() -> None:
        app = Application(succeed)
        cache = middleware(app)
        app.let.set()
        for calls in (1, 2):
            sent = await ask(cache, path=path)
            assert sent[0]["headers"] == [(b"Content-Type", b"text/plain")]
            assert app.calls == calls

    asyncio.run(run())


def test_without_a_version_nothing_is_kept() -> None:
    async def run() -> None:
        app = Application(succeed)
        cache = middleware(app)
        cache._cache.version.version = None  # type: ignore[attr-defined]
        app.let.set()
        for calls in (1, 2):
            sent = await ask(cache)
            assert b"etag" in dict(sent[0]["headers"])
            assert app.calls == calls

    asyncio.run(run())
