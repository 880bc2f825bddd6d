"""Watch each request from outside, once for everybody who wants to know of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.observability.request_ids import HEADER, REQUEST_ID, request_id_of
from serving.observability.tracing import TRACEPARENT, Tracing
from serving.routing import route_of

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Exchange(NamedTuple):
    """A request and its answer.

    Parameters
    ----------
    method
        ``OTHER`` if it is none of the usual.
    route
        Template of the route, ``unmatched`` if there is none: few values, whatever is asked.
    status
        500 if the application failed; 499 if the caller left before an answer began.
    seconds
        Until the last byte was given to the server.
    sent_bytes
        Of the body.
    ended_at
        Seconds since 1970.
    """

    method: str
    route: str
    status: int
    seconds: float
    sent_bytes: int
    request_id: str
    ended_at: float


Recorder = Callable[[Exchange], None]


class ExchangeMiddleware:
    """Give each request its id, and tell the recorders of its answer.

    Pure ASGI and one layer: each further one would wrap every message again.

    Parameters
    ----------
    app
        What is watched.
    recorders
        Called in the event loop when an answer has been sent, so they have to be quick.
    tracing
        Makes spans of some requests; None for no traces.
    """

    def __init__(self, app: ASGIApp, recorders: Sequence[Recorder], tracing: Tracing | None) -> None:
        self._app = app
        self._recorders = tuple(recorders)
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        given_id, traceparent = _identity(scope)
        request_id = request_id_of(given_id)
        REQUEST_ID.set(request_id)  # the server runs each request in a context of its own
        watch = _Watch(send, request_id.encode())
        try:
            if self._tracing is None or not self._tracing.takes(traceparent):
                TRACEPARENT.set(traceparent if self._tracing is None else self._tracing.left_out(traceparent))
                await self._app(scope, receive, watch)
            else:
                with self._tracing.request(scope["method"], traceparent) as span:
                    await self._app(scope, receive, watch)
                    span.end(route_of(scope), watch.status, request_id)
        except BaseException as error:
            if not watch.status:
                watch.status = 500 if isinstance(error, Exception) else 499
            raise
        finally:
            if self._recorders:
                self._tell(scope, watch, request_id, time.perf_counter() - started)

    def _tell(self, scope: Scope, watch: _Watch, request_id: str, seconds: float) -> None:
        method = scope["method"]
        exchange = Exchange(
            method if method in _METHODS else "OTHER",
            route_of(scope),
            watch.status or 499,
            seconds,
            watch.sent_bytes,
            request_id,
            time.time(),
        )
        for recorder in self._recorders:
            recorder(exchange)


class _Watch:
    """A `send` that adds the id and notes what passes."""

    __slots__ = ("_request_id", "_send", "sent_bytes", "status")

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self._request_id = request_id
        self.status = 0
        self.sent_bytes = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (HEADER, self._request_id)]
        else:
            self.sent_bytes += len(message.get("body", b""))
        await self._send(message)


def _identity(scope: Scope) -> tuple[bytes | None, str | None]:
    """What the caller calls the request, and the trace that it belongs to."""
    request_id = traceparent = None
    for name, value in scope["headers"]:
        if name == HEADER:
            request_id = value
        elif name == b"traceparent":
            traceparent = value.decode("latin-1")
    return request_id, traceparent
