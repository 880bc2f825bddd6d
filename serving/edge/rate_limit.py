"""Refuse clients that ask too often, and tell each how it stands.

Headers: draft-ietf-httpapi-ratelimit-headers-06 (2022), the last with a field for each number; the later drafts' one
structured field is read by few clients. Status 429: RFC 6585, section 4.
"""

from __future__ import annotations

import hmac
import math
from hashlib import blake2b

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.base.settings import Settings
from pipeline.store.engine import redacted
from serving.auth.headers import SERVICE_TOKEN
from serving.caching.keys import CALLER
from serving.callers import IDENTITY, Caller
from serving.edge.clients import client_of
from serving.edge.counting import RequestCounts, Standing
from serving.edge.rates import Rate, rate_of
from serving.errors import problem
from serving.shared_server import SharedServer

EXEMPT = frozenset({"/health", "/health/ready", "/metrics", "/favicon.ico", "/dagster-access"})
"""What machines ask for on their own, the last before every request for Dagster's pages."""
EXEMPT_FILES = ("/static/", "/docs/")
"""Beginnings of the paths of files: one page asks for several."""

Headers = list[tuple[bytes, bytes]]


class RateLimit:
    """What each client may send, what it has sent, and what it is told of both.

    Parameters
    ----------
    rate
        What a client may send.
    counts
        Of requests so far.
    service_key
        What other services send as `SERVICE_TOKEN`; None if they need none.
    """

    def __init__(self, rate: Rate, counts: RequestCounts, service_key: str | None) -> None:
        self.counts = counts
        self._service_key = service_key.encode() if service_key is not None else None
        self._amount = rate.amount
        self._seconds = rate.seconds
        self._limit_headers: Headers = [
            (b"ratelimit-limit", b"%d" % rate.amount),
            (b"ratelimit-policy", b"%d;w=%d" % (rate.amount, rate.seconds)),
        ]

    @classmethod
    def of(cls, settings: Settings, server: SharedServer | None) -> RateLimit | None:
        """The limit that the settings want; None for none."""
        rate = rate_of(settings)
        if rate is None:
            return None
        key = settings.service_api_key.get_secret_value() if settings.service_api_key else None
        return cls(rate, request_counts(rate, settings, server), key)

    def is_service(self, scope: Scope) -> bool:
        """Whether a request shows the services' key."""
        if self._service_key is None:
            return False
        name = SERVICE_TOKEN.lower().encode()
        return any(
            header == name and hmac.compare_digest(value, self._service_key) for header, value in scope["headers"]
        )

    async def pass_on(self, client: str, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Count a request of a client, and have it answered if it is within the rate."""
        standing = await self.counts.add(client)
        if standing.is_within:
            await app(scope, receive, self._telling(standing, send))
        else:
            await self.refuse(standing, scope, receive, send)

    async def refuse(self, standing: Standing, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 429."""
        wait = max(1, math.ceil(standing.seconds))
        detail = f"This client has sent the {self._amount} requests that it may send in {self._seconds} s."
        answer = problem(429, detail, {"Retry-After": str(wait)}, remedy=f"Try again after {wait} s.")
        await answer(scope, receive, self._telling(standing, send))

    def _telling(self, standing: Standing, send: Send) -> Send:
        headers = [
            *self._limit_headers,
            (b"ratelimit-remaining", b"%d" % standing.remaining),
            (b"ratelimit-reset", b"%d" % math.ceil(standing.seconds)),
        ]

        async def send_with_standing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *headers]}
            await send(message)

        return send_with_standing


class RateLimitMiddleware:
    """Count each request and refuse those beyond the rate.

    It stands behind what checks logins, so that a caller has a count wherever it calls from, and in front of the cache,
    so that cached answers count too. Other services, who show the service's key, are let through: the gateway has
    counted what it forwards.

    Parameters
    ----------
    app
        What is protected.
    limit
        What a client may send.
    """

    def __init__(self, app: ASGIApp, limit: RateLimit) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 429."""
        if scope["type"] != "http" or self._is_exempt(scope):
            await self._app(scope, receive, send)
        else:
            await self._limit.pass_on(counted_as(scope), self._app, scope, receive, send)

    def _is_exempt(self, scope: Scope) -> bool:
        path = scope["path"]
        return path in EXEMPT or path.startswith(EXEMPT_FILES) or self._limit.is_service(scope)


def request_counts(rate: Rate, settings: Settings, server: SharedServer | None) -> RequestCounts:
    """Counts that the services over one database share, if there is a server for them."""
    assert settings.database_url is not None  # required before
    database = redacted(settings.database_url.get_secret_value()).encode()
    return RequestCounts(rate, server, f"fintech:rate:{blake2b(database, digest_size=6).hexdigest()}:")


def counted_as(scope: Scope) -> str:
    """Whose count a request belongs to: the user, whatever key or token it sent, else the client's address.

    Others who logged in are counted by a digest of who they are, since names do not belong into Redis.
    """
    who: Caller | None = scope.get(IDENTITY)
    if who is not None and who.user_id is not None:
        return f"user:{who.user_id}"
    caller = scope.get(CALLER)
    if caller is None:
        return client_of(scope)
    return "caller:" + blake2b(str(caller).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
