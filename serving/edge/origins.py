"""Pages of other hosts that may call the API from a browser (the Fetch standard's CORS protocol)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from pipeline.base.errors import ConfigurationError
from serving.errors import problem

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = (
    "Authorization",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Prefer",
    "X-API-Key",
    "X-Request-ID",
)
ANSWER_HEADERS = (
    "Age",
    "Cache-Status",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit-Limit",
    "RateLimit-Policy",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "X-Answer-Metadata",
    "X-Request-ID",
)
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")


class OriginsMiddleware(CORSMiddleware):
    """Let pages of some origins call, without cookies: a page sends the user's token itself.

    Parameters
    ----------
    app
        What may be called.
    origins
        As `checked_origins` gave them.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=ANSWER_HEADERS,
            allow_credentials=False,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """What a browser asks before a call; a refusal is a problem document."""
        answer = super().preflight_response(request_headers)
        if answer.status_code == 200:
            return answer
        what = bytes(answer.body).decode().removeprefix("Disallowed CORS ")
        return problem(403, f"Pages of another origin may not call this: {what} is not allowed.", {"Vary": "Origin"})


def checked_origins(origins: Sequence[str]) -> tuple[str, ...]:
    """The origins, if each is one as browsers send it.

    Raises
    ------
    ConfigurationError
        Naming one that is none; ``*`` is not taken, for it would open the API to every page a user visits.
    """
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ConfigurationError(
                f"FINTECH_CORS_ORIGINS: {origin!r} is no origin",
                "Write scheme, host and port as browsers send them, in small letters and without a path:"
                " https://app.example.com.",
                exit_code=2,
            )
    return tuple(origins)
