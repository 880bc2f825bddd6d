"""What is taken of a request's body: read whole before its route is asked, within limits of size, time and depth.

Hand-written because FastAPI's ``max_body_size`` answers in plain text, outside of every middleware and handler, and
every failure of this API is a problem document. Specification: RFC 9110, sections 15.5.9, 15.5.14 and 15.5.16.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.edge.nesting import MAXIMUM_DEPTH, is_deeper_than
from serving.errors import problem


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How much a caller may send, and for how long.

    Parameters
    ----------
    bytes
        Largest body.
    between_seconds
        Longest pause between two pieces.
    total_seconds
        Until the last piece.
    depth
        Most levels of a JSON text.
    """

    bytes: int
    between_seconds: float = 10.0
    total_seconds: float = 30.0
    depth: int = MAXIMUM_DEPTH


class _Head(NamedTuple):
    """What the headers say of a body."""

    length: int = 0
    has_body: bool = False
    encoding: bytes = b""
    media_type: bytes = b""


class BodyLimitMiddleware:
    """Refuse a body that is too large, too slow, compressed or too deep; pass on any other in one piece.

    Parameters
    ----------
    app
        What is protected.
    limits
        Of one body.
    """

    def __init__(self, app: ASGIApp, limits: BodyLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 408, 413, 415 or 422."""
        head = _head_of(scope) if scope["type"] == "http" else _Head()
        if not head.has_body:
            await self._app(scope, receive, send)
            return
        taken = self._refused_by_head(head) or await self._read(receive)
        if isinstance(taken, bytes) and b"json" in head.media_type and is_deeper_than(taken, self._limits.depth):
            detail = f"body: nested deeper than {self._limits.depth} levels"
            taken = problem(422, detail, remedy="Send the values in the form that /docs shows.")
        if isinstance(taken, bytes):
            await self._app(scope, in_one_piece(taken, receive), send)
        elif taken is not None:
            await taken(scope, receive, send)

    def _refused_by_head(self, head: _Head) -> Response | None:
        if head.length > self._limits.bytes:
            return self._too_large()
        if head.encoding not in (b"", b"identity"):
            headers = {"Accept-Encoding": "identity"}
            return problem(415, "The body is compressed.", headers, remedy="Send it without Content-Encoding.")
        return None

    async def _read(self, receive: Receive) -> bytes | Response | None:
        """The body; an answer that refuses it; None if the caller left before its end."""
        pieces: list[bytes] = []
        received = 0
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limits.total_seconds
        try:
            async with asyncio.timeout_at(end) as limit:
                while True:
                    limit.reschedule(min(end, loop.time() + self._limits.between_seconds))
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    pieces.append(message.get("body", b""))
                    received += len(pieces[-1])
                    if received > self._limits.bytes:
                        return self._too_large()
                    if not message.get("more_body", False):
                        return b"".join(pieces)
        except TimeoutError:
            return self._too_slow()

    def _too_large(self) -> Response:
        return problem(413, f"The body is larger than the {self._limits.bytes} bytes that this service takes.")

    def _too_slow(self) -> Response:
        detail = (
            f"The body did not come: a piece may take {self._limits.between_seconds:g} s, and the whole"
            f" {self._limits.total_seconds:g} s."
        )
        return problem(408, detail, {"Connection": "close"}, remedy="Send it again over a faster connection.")


def in_one_piece(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read before, and then what else happens."""
    is_given = False

    async def receive_again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _head_of(scope: Scope) -> _Head:
    length, has_body, encoding, media_type = 0, False, b"", b""
    for name, value in scope["headers"]:
        if name == b"content-length":
            # What is no number the server has refused.
            length = max(length, int(value)) if value.isdigit() else length
            has_body = has_body or length > 0
        elif name == b"transfer-encoding":
            has_body = True
        elif name == b"content-encoding":
            encoding = value.strip().lower()
        elif name == b"content-type":
            media_type = value.lower()
    return _Head(length, has_body, encoding, media_type)
