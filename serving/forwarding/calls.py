"""One service that the gateway calls: its connections, its circuit, and how long it is waited for."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.errors import problem
from serving.forwarding.circuit import Circuit
from serving.forwarding.messages import Delivery, may_be_repeated, read_body, request_headers, target_of
from serving.forwarding.policy import Policy
from serving.observability.tracing import step
from serving.services import Service

logger = logging.getLogger("serving")


class Upstream:
    """One service, its connections and its circuit.

    Parameters
    ----------
    service
        Which.
    url
        Its address, such as ``http://risk:8000``.
    token
        What it is sent as ``X-Service-Token``.
    setting
        Name of the setting with the address, which callers are told; None tells them nothing.
    vouch
        Gives what the service is told of who asks; None tells it nothing.
    """

    def __init__(
        self,
        service: Service,
        url: str,
        token: str | None,
        setting: str | None,
        policy: Policy,
        vouch: Callable[[Scope], str | None] = lambda _: None,
    ) -> None:
        self.service = service
        self.circuit = Circuit()
        self._url = httpx.URL(url)
        self._token = token
        self._setting = setting
        self._policy = policy
        self._vouch = vouch
        self._calls = _transport(policy.connections, policy.idle_seconds)
        self._probes = _transport(2, policy.idle_seconds)
        self._recovery: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """End every connection."""
        if self._recovery is not None:
            self._recovery.cancel()
        await self._calls.aclose()
        await self._probes.aclose()

    async def answers(self) -> bool:
        """Whether the service says that it lives, within `Policy.probe_seconds`."""
        request = httpx.Request("GET", self._url.join("/health"), extensions=self._extensions(b"/health"))
        try:
            async with asyncio.timeout(self._policy.probe_seconds), _sent(self._probes, request) as response:
                await response.aread()
                return response.status_code == HTTPStatus.OK
        except (TimeoutError, httpx.HTTPError):
            return False

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request by the service, or with 503 if it gives no answer."""
        body, delivery = await read_body(receive), Delivery(send)
        if body is None:
            return
        try:
            with step(self.service.name):
                async with asyncio.timeout(self._policy.total_seconds):
                    refusal = await self._try(scope, body, delivery)
        except TimeoutError:
            if delivery.has_begun:
                raise  # all that is left is to cut the connection
            refusal = self._refused(f"has not answered within {self._policy.total_seconds:g} s", 1)
        if refusal is not None:
            await refusal(scope, receive, send)

    async def _try(self, scope: Scope, body: bytes, delivery: Delivery) -> Response | None:
        """Send the request, again if need be; what to answer if that gave nothing."""
        tries = self._policy.tries if may_be_repeated(scope) else 1
        for number in range(tries):
            if number:
                await asyncio.sleep(random.uniform(0, self._policy.backoff_seconds * 2 ** (number - 1)))  # noqa: S311
            entry = self.circuit.enter()
            if entry is None:
                return self._left_alone()
            try:
                await self._call(scope, body, delivery, entry)
                return None
            except httpx.PoolTimeout:  # shows that many wait, not that the service is down
                return self._refused("has too many requests under way", 1)
            except httpx.TransportError as error:
                self._failed(entry, error)
                if delivery.has_begun:
                    raise
        return self._refused("does not answer", 1)

    async def _call(self, scope: Scope, body: bytes, delivery: Delivery, entry: int) -> None:
        request = httpx.Request(
            scope["method"],
            self._url,
            headers=request_headers(scope, self._token, self._vouch(scope)),
            content=body,
            extensions=self._extensions(target_of(scope)),
        )
        try:
            async with _sent(self._calls, request) as response:
                await delivery.deliver(response)
            self.circuit.succeed(entry)
        except asyncio.CancelledError as error:
            # Its own limit ends a call like this, too: who has waited so long has seen a failure. Once the answer is
            # passed on as it comes, its caller may be who is slow, and is nobody else's concern.
            if not delivery.has_begun:
                self._failed(entry, error)
            raise
        finally:
            self.circuit.leave(entry)

    def _failed(self, entry: int, error: BaseException) -> None:
        if self.circuit.fail(entry):
            logger.warning("%s does not answer (%s); it is left alone", self.service.name, type(error).__name__)
            self._recovery = asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        """Ask in the background, so that no caller waits for a service that hangs."""
        await asyncio.sleep(self._policy.open_seconds)
        while not await self.answers():
            self.circuit.opened_at = time.monotonic()
            await asyncio.sleep(self._policy.open_seconds)
        self.circuit.probed()
        logger.warning("%s lives again; the next request decides", self.service.name)

    def _left_alone(self) -> Response:
        since = time.monotonic() - (self.circuit.opened_at or 0.0)
        return self._refused("has not answered before and is left alone", self._policy.open_seconds - since)

    def _refused(self, why: str, seconds: float) -> Response:
        """503, which every route documents; 502 and 504 would tell callers to do the same."""
        wait = max(1, math.ceil(seconds))
        remedy = f"Try again after {wait} s."
        if self._setting is not None:
            remedy = f"Start it, correct {self._setting}, or leave that out: this process then serves its routes."
        detail = f"{self.service.name} {why}."
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": str(wait)}, remedy=remedy)

    def _extensions(self, target: bytes) -> dict[str, object]:
        """The path as it came: httpx would resolve ``..`` in it, and lead to another route."""
        seconds = self._policy.connect_seconds
        return {"target": target, "timeout": {"connect": seconds, "pool": seconds, "read": None, "write": None}}


def _transport(connections: int, idle_seconds: float) -> httpx.AsyncHTTPTransport:
    """Connections without a client around them, whose cookies would go from one caller to the next."""
    limits = httpx.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=idle_seconds
    )
    return httpx.AsyncHTTPTransport(trust_env=False, limits=limits)


@asynccontextmanager
async def _sent(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> AsyncIterator[httpx.Response]:
    response = await transport.handle_async_request(request)
    try:
        yield response
    finally:
        await response.aclose()
