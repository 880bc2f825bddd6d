"""What is refused before it is read whole.

Hand-written because FastAPI's ``max_body_size`` answers in plain text, outside of every middleware and handler, and
every failure of this API is a problem document. Specification: RFC 9110, section 15.5.14.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import problem


class BodyLimitMiddleware:
    """Refuse a body that is too large: at once if its length is declared, else as soon as it has come so far.

    Parameters
    ----------
    app
        What is protected; it turns an ``HTTPException`` into an answer.
    maximum_bytes
        Largest body.
    """

    def __init__(self, app: ASGIApp, maximum_bytes: int) -> None:
        self._app = app
        self._maximum_bytes = maximum_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _declared_length(scope) > self._maximum_bytes:
            response = problem(413, f"The body is larger than the {self._maximum_bytes} bytes that this service takes.")
            await response(scope, receive, send)
        else:
            await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._maximum_bytes:
                raise HTTPException(413)
            return message

        return receive_within_limit


def _declared_length(scope: Scope) -> int:
    """The declared length; 0 where none is, or none that is a number, which the server refuses itself."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return max((int(length) for length in lengths if length.isdigit()), default=0)
