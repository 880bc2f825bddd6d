"""Limits on the head of a request. The server limits its bytes (`serving.server.LONGEST_HEAD_BYTES`)."""

from __future__ import annotations

from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.errors import problem

MAXIMUM_HEADERS = 100
MAXIMUM_TARGET_BYTES = 8_000
"""Path and query; what RFC 9110, section 4.1, asks servers to take."""


class HeadLimitMiddleware:
    """Refuse heads that nobody sends by accident, before anything keeps a part of them.

    Parameters
    ----------
    app
        What is protected.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 414 or 431."""
        if scope["type"] == "http":
            if len(scope["raw_path"]) + len(scope["query_string"]) > MAXIMUM_TARGET_BYTES:
                detail = f"The address is longer than the {MAXIMUM_TARGET_BYTES} bytes that this service takes."
                await problem(HTTPStatus.REQUEST_URI_TOO_LONG, detail)(scope, receive, send)
                return
            if len(scope["headers"]) > MAXIMUM_HEADERS:
                detail = f"The request has more than the {MAXIMUM_HEADERS} headers that this service takes."
                await problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)(scope, receive, send)
                return
        await self._app(scope, receive, send)
