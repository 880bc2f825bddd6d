"""Gateways whose routes other services answer, and services that misbehave."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.server import Address, listening_socket
from serving.services import SERVICES, service_named
from serving.upstream import ADDRESSES
from tests.integration.serving.running import Running, local_settings, running_service, wait_until

RISK = "/api/v1/portfolios/held/risk"
"""What another service answers."""


@contextmanager
def running_five(url: str, **changes: object) -> Iterator[tuple[Running, dict[str, Running]]]:
    """A gateway and the four services that it calls, by slice."""
    with ExitStack() as stack:
        behind = {
            service.slice: stack.enter_context(running_service(service.name, local_settings(url, **changes)))
            for service in SERVICES
            if service.slice is not None
        }
        addresses = {ADDRESSES[name]: f"http://127.0.0.1:{running.port}" for name, running in behind.items()}
        settings = local_settings(url, **{**changes, **addresses})
        yield stack.enter_context(running_service("backend-api", settings)), behind


@contextmanager
def serving_all(url: str, *, over_http: bool) -> Iterator[httpx.Client]:
    """A client of a gateway that serves every slice itself, or of one that calls four services."""
    if over_http:
        with running_five(url) as (gateway, _):
            yield gateway.client
    else:
        with running_service("backend-api", local_settings(url)) as service:
            yield service.client


class Puppet:
    """A service of a test: it does what `answer` says, on a port of its own."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[Scope] = []
        self.bodies: list[bytes] = []
        self.answer: Callable[[Scope, Receive, Send], Awaitable[None]] = say(b"{}")
        self.lives = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/health":
            await (say(b"{}") if self.lives else hang)(scope, receive, send)
            return
        self.asked.append(scope)
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        self.bodies.append(body)
        await self.answer(scope, receive, send)

    def headers(self, number: int = -1) -> dict[bytes, bytes]:
        return dict(self.asked[number]["headers"])


def say(body: bytes, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> ASGIApp:
    """An answer of one piece."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        own = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
        await send({"type": "http.response.start", "status": status, "headers": own})
        await send({"type": "http.response.body", "body": body})

    return answer


async def hang(scope: Scope, receive: Receive, send: Send) -> None:
    """No answer."""
    await asyncio.sleep(30)


async def break_off(scope: Scope, receive: Receive, send: Send) -> None:
    """A connection that is closed in the middle of an answer."""
    headers = [(b"content-length", b"100")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})


@contextmanager
def running_puppet(puppet: Puppet, port: int = 0) -> Iterator[None]:
    """Let a puppet answer, on the port that it had before or on a free one."""
    with listening_socket(Address(service_named("python-risk-engine"), "127.0.0.1", port)) as listener:
        puppet.port = listener.getsockname()[1]
        config = uvicorn.Config(puppet, ws="none", lifespan="off", log_level="critical", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)


def timed(
    client: httpx.Client, path: str = RISK, method: str = "GET", **options: object
) -> tuple[httpx.Response, float]:
    started = time.monotonic()
    answer = client.request(method, path, **options)  # type: ignore[arg-type]
    return answer, time.monotonic() - started


def require_refusal(answer: httpx.Response, detail: str) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert detail in answer.json()["detail"]
    assert "RISK_ENGINE_URL" in answer.json()["remedy"]


def circuit(client: httpx.Client) -> str:
    return client.get("/health/ready").json()["upstreams"]["python-risk-engine"]["circuit"]
