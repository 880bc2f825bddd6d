"""Services behind the gateway: where one has an address, its routes are answered by HTTP instead of in this process.

What belongs to a service are the routes that the gateway would serve itself, so nothing is listed twice, and the
documentation stays the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi.routing import iter_route_contexts
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.base.settings import Settings, env_name
from serving.auth.tokens import Tokens
from serving.auth.vouching import Vouching
from serving.caching.versions import DataVersion
from serving.callers import BY_SERVICE
from serving.errors import problem
from serving.forwarding.circuit import Circuit
from serving.forwarding.messages import VIA
from serving.forwarding.policy import Policy
from serving.routing import ROUTE
from serving.services import SERVICES, Service

if TYPE_CHECKING:
    from serving.forwarding.calls import Upstream

ADDRESSES: Mapping[str, str] = {
    "risk": "risk_engine_url",
    "simulation": "portfolio_service_url",
    "market_data": "market_data_url",
    "forecast": "ai_engine_url",
}
"""Slice → field of `Settings` with the address of its service."""

POLICY = Policy()


class Upstreams:
    """The services that a gateway calls: none without an address, and none for other services.

    Parameters
    ----------
    service
        Who calls.
    settings
        With the addresses.
    """

    def __init__(self, service: Service, settings: Settings) -> None:
        vouch = Vouching(Tokens.of(settings))
        token = settings.service_api_key.get_secret_value() if settings.service_api_key else None
        self._by_slice: dict[str, Upstream] = {}
        for other in SERVICES if service.slice is None else ():
            if other.slice is None:
                continue
            url = getattr(settings, ADDRESSES[other.slice])
            if url is not None:
                setting = env_name(ADDRESSES[other.slice]) if settings.is_local else None
                self._by_slice[other.slice] = _upstream(other, url, token, setting, POLICY, vouch)

    def __len__(self) -> int:
        return len(self._by_slice)

    def of(self, slice_name: str) -> Upstream | None:
        """The service of a slice; None if its routes are answered here."""
        return self._by_slice.get(slice_name)

    def circuits(self) -> dict[str, Circuit]:
        """Name → circuit."""
        return {upstream.service.name: upstream.circuit for upstream in self._by_slice.values()}

    async def answers(self) -> dict[str, bool]:
        """Name → whether the service says that it lives; asked all at once."""
        upstreams = list(self._by_slice.values())
        lives = await asyncio.gather(*(upstream.answers() for upstream in upstreams))
        return {upstream.service.name: is_alive for upstream, is_alive in zip(upstreams, lives, strict=True)}

    async def close(self) -> None:
        """End every connection."""
        for upstream in self._by_slice.values():
            await upstream.close()


def _upstream(
    service: Service, url: str, token: str | None, setting: str | None, policy: Policy, vouch: Vouching
) -> Upstream:
    from serving.forwarding.calls import Upstream  # noqa: PLC0415 - 0.2 s, and only a gateway that calls needs it

    return Upstream(service, url, token, setting, policy, vouch)


class ForwardedRoutes(BaseRoute):
    """Stands before routes and sends what they would answer to their service.

    A path that they have with another method is left to them: they know the methods to name.

    Parameters
    ----------
    routes
        As they were included in the application.
    upstream
        Who answers.
    """

    def __init__(self, routes: Sequence[BaseRoute], upstream: Upstream) -> None:
        self._upstream = upstream
        self._templates = [
            (compile_path(found.path)[0], frozenset(found.methods or ()), found.path)
            for found in iter_route_contexts(routes)
            if found.path is not None
        ]

    @property
    def paths(self) -> list[str]:
        """Their templates."""
        return [template for _, _, template in self._templates]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether one of the routes would answer."""
        if scope["type"] == "http":
            for pattern, methods, template in self._templates:
                if scope["method"] in methods and pattern.match(scope["path"]):
                    return Match.FULL, {ROUTE: template}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request that matches."""
        await self._upstream.forward(scope, receive, send)


def is_forwarded(scope: Scope) -> bool:
    """Whether the application of a request sends it to another service."""
    routes = scope["app"].router.routes
    return any(isinstance(route, ForwardedRoutes) and route.matches(scope)[0] is Match.FULL for route in routes)


class ForwardedRequests:
    """Takes what a gateway forwards.

    A service lets it see all that was written before: the gateway keeps the answer under the version of the data that
    it knows, and the cache of the service may still know an older one, whose answer would be kept as the new one's.

    A gateway refuses it: an address of its own that leads back to it would have each request wait for itself.

    Parameters
    ----------
    app
        With the cache.
    version
        Of that cache; None for a gateway that calls services.
    asks_who
        Whether callers are checked: then the gateway is known by the services' key, else by its ``Via`` alone. Whoever
        else sends that header could have every request read the version anew.
    """

    def __init__(self, app: ASGIApp, version: DataVersion | None, *, asks_who: bool) -> None:
        self._app = app
        self._version = version
        self._asks_who = asks_who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the version read again if the request comes from a gateway, or refuse it."""
        if scope["type"] == "http" and (b"via", VIA) in scope["headers"] and self._is_believed(scope):
            if self._version is None:
                await _led_back()(scope, receive, send)
                return
            self._version.expire()
        await self._app(scope, receive, send)

    def _is_believed(self, scope: Scope) -> bool:
        return not self._asks_who or BY_SERVICE in scope


def _led_back() -> Response:
    settings = ", ".join(env_name(field) for field in ADDRESSES.values())
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The gateway has the address of a service that is itself.",
        {"Retry-After": "60"},
        remedy=f"Correct {settings}, which name the other services.",
    )
