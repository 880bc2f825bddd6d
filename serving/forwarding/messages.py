"""What passes between a caller and a service as it is, and what belongs to a connection (RFC 9110, section 7.6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from serving.auth.headers import CALLER_TOKEN, SERVICE_TOKEN
from serving.caching.answers import VARY
from serving.observability.request_ids import REQUEST_ID
from serving.observability.tracing import TRACEPARENT

if TYPE_CHECKING:
    import httpx

COLLECTED_BYTES = 8 * 2**20
"""An answer up to here is read whole before any of it is sent: it can be cached, and asked for again if it breaks."""
VIA = b"1.1 fintech-gateway"

_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding"
    b" upgrade".split()
)
_OWN_REQUEST = frozenset(b"host content-length expect forwarded via x-service-token x-fintech-caller".split())
"""Request headers that are made anew; what callers say of where they come from is not believed."""
_CREDENTIALS = frozenset(b"authorization cookie x-api-key".split())
"""Of the caller: a service is told who asks instead, where it is asked in a caller's name."""
_OWN_ANSWER = frozenset(b"age cache-status date server".split())
"""Headers of answers that the gateway's own cache and server set."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

Headers = list[tuple[bytes, bytes]]


class Delivery:
    """Sends the answer of a service on."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def deliver(self, response: httpx.Response) -> None:
        """Send an answer of known and modest length in one piece, any other as it comes."""
        length = response.headers.get("content-length", "")
        if length.isdigit() and int(length) <= COLLECTED_BYTES:
            pieces = [piece async for piece in response.aiter_raw()]
            await self._start(response)
            await self._send({"type": "http.response.body", "body": b"".join(pieces)})
            return
        held: bytes | None = None  # the last piece has to be known as such
        async for piece in response.aiter_raw():
            await (self._start(response) if held is None else self._more(held))
            held = piece
        if held is None:
            await self._start(response)
        await self._send({"type": "http.response.body", "body": held or b""})

    async def _start(self, response: httpx.Response) -> None:
        self.has_begun = True
        headers = answer_headers(response)
        await self._send({"type": "http.response.start", "status": response.status_code, "headers": headers})

    async def _more(self, piece: bytes) -> None:
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})


async def read_body(receive: Receive) -> bytes | None:
    """The whole body, whose size is limited before; None if the caller left before its end.

    So it may be sent twice, and a caller that sends it slowly holds no connection to a service.
    """
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)


def may_be_repeated(scope: Scope) -> bool:
    """Whether sending a request twice does no more than once."""
    if scope["method"] in _SAFE:
        return True
    return scope["method"] == "POST" and any(name == b"idempotency-key" for name, _ in scope["headers"])


def target_of(scope: Scope) -> bytes:
    """Path and query as they came."""
    path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    return path + b"?" + query if query else path


def request_headers(scope: Scope, token: str | None, vouched: str | None = None) -> Headers:
    """The caller's, but for those of its connection and those that say who asks and by which way.

    Parameters
    ----------
    token
        Of services.
    vouched
        By which the service is told who asks, in place of the caller's own credentials.
    """
    request_id, traceparent = REQUEST_ID.get(), TRACEPARENT.get()
    own: Headers = [(b"via", VIA)]
    if scope.get("client"):
        own.append((b"x-forwarded-for", scope["client"][0].encode("ascii", "replace")))
    if token is not None:
        own.append((SERVICE_TOKEN.lower().encode(), token.encode()))
    if vouched is not None:
        own.append((CALLER_TOKEN.lower().encode(), vouched.encode()))
    if request_id is not None:
        own.append((b"x-request-id", request_id.encode()))
    if traceparent is not None:
        own.append((b"traceparent", traceparent.encode("latin-1")))
    replaced = _OWN_REQUEST.union(name for name, _ in own)
    if scope["method"] == "GET":
        # The cache in front compares; a 304 of the service would reach others that wait for the same answer.
        replaced |= {b"if-none-match"}
    if vouched is not None:
        replaced |= _CREDENTIALS
    kept = _end_to_end(scope["headers"])
    return [*((n, v) for n, v in kept if n not in replaced and not n.startswith(b"x-forwarded-")), *own]


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Without those of one connection, which ``Connection`` may name more of."""
    lowered = [(name.lower(), value) for name, value in headers]
    named = {part.strip().lower() for name, value in lowered if name == b"connection" for part in value.split(b",")}
    return [(name, value) for name, value in lowered if name not in _HOP_BY_HOP and name not in named]


def answer_headers(response: httpx.Response) -> Headers:
    """The service's, but for those of its connection and those that the gateway's cache and server set."""
    kept = []
    dropped = _OWN_ANSWER | {b"x-request-id"} if REQUEST_ID.get() is not None else _OWN_ANSWER
    for name, value in _end_to_end(response.headers.raw):
        if name == b"vary":
            value = value.removeprefix(VARY).removeprefix(b", ")  # noqa: PLW2901 - the cache in front adds it again
        if name not in dropped and value:
            kept.append((name, value))
    return kept
