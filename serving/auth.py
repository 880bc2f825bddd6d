"""Who may ask: outside of ``FINTECH_ENV=local`` only callers that know the service's key."""

from __future__ import annotations

import hmac
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import Settings
from serving.errors import problem

HEADER = "X-Service-Token"
PROTECTED = ("/api/", "/portfolios", "/instruments", "/quality", "/tables")
"""Beginnings of the paths that show data; so does ``/`` itself."""


class ServiceTokenMiddleware:
    """Refuse requests for data without the key, before their body is read.

    Pure ASGI: one ``BaseHTTPMiddleware`` would divide the throughput by four (measured).

    Parameters
    ----------
    app
        What is protected.
    key
        The key that callers send in the header `HEADER`.
    """

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._key = key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] in ("http", "websocket") and _shows_data(scope["path"]) and not self._knows(scope):
            response = problem(401, f"Send the service's key in the header {HEADER}.", {"WWW-Authenticate": HEADER})
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        name = HEADER.lower().encode()
        given = [value for header, value in scope["headers"] if header == name]
        return len(given) == 1 and hmac.compare_digest(given[0], self._key)


def _shows_data(path: str) -> bool:
    return path == "/" or path.startswith(PROTECTED)


def require_loopback_without_login(settings: Settings) -> None:
    """Refuse to serve without a login where other machines could ask.

    Raises
    ------
    ConfigurationError
        If the environment is local and the host is not a loopback address.
    """
    if settings.is_local and not is_loopback(settings.host):
        raise ConfigurationError(
            f"HOST={settings.host} is within reach of other machines, and FINTECH_ENV=local asks for no login",
            "Set HOST=127.0.0.1, or FINTECH_ENV=staging with JWT_SECRET and SERVICE_API_KEY.",
            exit_code=2,
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host; a name other than localhost may lead anywhere."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
