"""Headers that tell browsers what an answer may do; a page that needs more says so itself.

Source: OWASP Secure Headers Project, and the OWASP REST Security Cheat Sheet for answers that are no pages.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Header = tuple[bytes, bytes]

HEADERS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
OF_DOCUMENTS: tuple[Header, ...] = (
    *HEADERS,
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
"""Of what a browser makes a document of, and of a redirection to one; data has no links, no scripts and no windows.
Three headers less are a tenth of the time of a kept answer: the server checks each, each time (measured)."""
DOCUMENTS = (b"text/html", b"image/svg+xml")
NO_STORE: Header = (b"cache-control", b"no-store")
"""Of all that says nothing else: refusals name what a caller asked for, and answers to POST are theirs."""
PUBLIC = ("/docs", "/static/", "/openapi.json", "/favicon.ico")
"""Beginnings of the paths of what is the same for everybody."""
STRICT_TRANSPORT: Header = (b"strict-transport-security", b"max-age=31536000")
"""A year; without subdomains, which may not be the platform's."""


class SecurityHeadersMiddleware:
    """Add what an answer does not say itself; outermost, so that the answer to a defect has them, too.

    Parameters
    ----------
    app
        Whose answers.
    is_strict
        Whether a browser that came by HTTPS is told to come by nothing else.
    """

    def __init__(self, app: ASGIApp, *, is_strict: bool) -> None:
        self._app = app
        self._is_strict = is_strict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": self._completed(scope, message.get("headers", ()))}
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _completed(self, scope: Scope, given: list[Header]) -> list[Header]:
        said = dict(given)  # whose names are in lower case, as ASGI has them
        media_type = said.get(b"content-type")
        wanted = OF_DOCUMENTS if media_type is None or media_type.startswith(DOCUMENTS) else HEADERS
        headers = [*given, *(header for header in wanted if header[0] not in said)]
        if b"cache-control" not in said and not scope["path"].startswith(PUBLIC):
            headers.append(NO_STORE)
        # The scheme may be what a proxy saw, which is known by now.
        if self._is_strict and scope["scheme"] == "https":
            headers.append(STRICT_TRANSPORT)
        return headers
