"""Make the application of one service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Security
from fastapi.security import APIKeyHeader
from starlette.types import Receive, Scope, Send

from pipeline.base.settings import Settings
from serving import pages
from serving.auth import HEADER, ServiceTokenMiddleware, require_loopback_without_login
from serving.deps import POOL_SIZE, Connections
from serving.errors import add_error_handlers, problem_responses
from serving.limits import BodyLimitMiddleware
from serving.observability.exchanges import ExchangeMiddleware
from serving.observability.instruments import Instruments
from serving.response_cache import CACHED, ResponseCache, ResponseCacheMiddleware
from serving.routes import (
    backtests,
    calculate,
    covariance,
    currency,
    decomposition,
    explanations,
    factors,
    figure_explanations,
    forecasts,
    fx_rates,
    health,
    instrument_risk,
    instruments,
    interest_rates,
    limits,
    measures,
    portfolio_risk,
    portfolio_simulations,
    portfolios,
    prices,
    quarantine,
    stress,
    tails,
)
from serving.services import Service, service_named
from serving.upstream import ForwardedRequests, ForwardedRoutes, Upstreams

API = "/api/v1"
MAXIMUM_BODY_BYTES = 1024 * 1024
"""33 years of dated returns with a benchmark take about 640 KiB, a portfolio of 500 positions 40."""

NOT_MODIFIED = "The answer whose ETag was sent as If-None-Match is still the newest"
THREADS = POOL_SIZE + 4
"""That answer at once; four of them may compute while the others use the connections."""

ROUTERS: tuple[tuple[str, APIRouter], ...] = (
    ("market_data", instruments.router),
    ("market_data", prices.router),
    ("market_data", fx_rates.router),
    ("market_data", interest_rates.router),
    ("market_data", quarantine.router),
    ("risk", instrument_risk.router),
    ("risk", portfolios.router),
    ("risk", portfolio_risk.router),
    ("risk", covariance.router),
    ("risk", factors.router),
    ("risk", decomposition.router),
    ("risk", currency.router),
    ("risk", calculate.router),
    ("risk", measures.router),
    ("risk", tails.router),
    ("risk", backtests.router),
    ("risk", stress.router),
    ("risk", limits.router),
    ("risk", explanations.router),
    ("risk", figure_explanations.router),
    ("simulation", portfolio_simulations.router),
    ("forecast", forecasts.router),
)
"""Slice of each router; a new resource is one line here."""


def create_app(service: str, settings: Settings) -> FastAPI:
    """The application of a service. It opens nothing before it is started.

    Parameters
    ----------
    service
        One of `serving.services.SERVICES`.

    Raises
    ------
    ConfigurationError
        If there is no such service, the settings lack what this environment needs, or a service without login
        would be within reach of other machines.
    """
    found = service_named(service)
    require_loopback_without_login(settings)
    settings.require("database_url", *(() if settings.is_local else ("jwt_secret", "service_api_key")))
    app = _Application(
        title=f"fintech-platform: {found.name}",
        description="Prices, risk, simulations and forecasts as the pipeline computed them. Every answer carries the"
        " notice of its data.",
        version=settings.app_version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # serving.observability has its own
    )
    app.state.service = found
    app.state.settings = settings
    app.state.cache = ResponseCache.of(found.name, settings)
    app.state.instruments = Instruments.of(found.name, settings, app.state.cache)
    app.state.upstreams = Upstreams(found, settings)
    add_error_handlers(app)
    _include_routes(app, found)
    _protect(app, settings)
    return app


class _Application(FastAPI):
    """FastAPI without asking at each request for telemetry of its own, which `serving.observability` replaces."""

    def openapi(self) -> dict[str, Any]:
        """The documentation, with what the response cache answers for every route."""
        specification = super().openapi()
        for path, operations in specification["paths"].items():
            if path.startswith(CACHED) and "get" in operations:
                operations["get"]["responses"].setdefault("304", {"description": NOT_MODIFIED})
        return specification

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin with the first middleware."""
        if scope["type"] == "lifespan" or self.middleware_stack is None:
            await super().__call__(scope, receive, send)
        else:
            scope["app"] = self
            await self.middleware_stack(scope, receive, send)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Hold the connections while the service runs; a database that is down does not keep it from starting."""
    url = app.state.settings.database_url.get_secret_value()
    connections = Connections(url)
    cache: ResponseCache = app.state.cache
    instruments: Instruments = app.state.instruments
    # Of the default's 40 threads most would wait for one of the connections, and for one another.
    to_thread.current_default_thread_limiter().total_tokens = THREADS
    instruments.open()
    connections.open()
    cache.open()
    app.state.connections = connections
    try:
        yield
    finally:
        await app.state.upstreams.close()
        await cache.close()
        await to_thread.run_sync(connections.close)
        await to_thread.run_sync(instruments.close)


def _include_routes(app: FastAPI, service: Service) -> None:
    app.include_router(health.router)
    app.include_router(pages.router)
    if service.slice is None:
        from serving.pages import analysts  # noqa: PLC0415 - 0.1 s, and the gateway alone has them

        app.include_router(analysts.router)
    if app.state.instruments.metrics is not None:
        from serving.observability.metrics import metrics_router  # noqa: PLC0415 - 0.1 s, where it is wanted only

        app.include_router(metrics_router(app.state.instruments.metrics, app.state.settings))
    header = APIKeyHeader(name=HEADER, auto_error=False, description="Needed outside of FINTECH_ENV=local.")
    for slice_name, router in ROUTERS:
        if service.serves(slice_name):
            app.include_router(
                router, prefix=API, responses=problem_responses(401, 404, 422, 503), dependencies=[Security(header)]
            )
            upstream = app.state.upstreams.of(slice_name)
            if upstream is not None:
                app.router.routes.insert(-1, ForwardedRoutes(app.router.routes[-1:], upstream))


def _protect(app: FastAPI, settings: Settings) -> None:
    """Add what stands before the routes; the last one added is asked first."""
    instruments: Instruments = app.state.instruments
    app.add_middleware(BodyLimitMiddleware, maximum_bytes=MAXIMUM_BODY_BYTES)
    # What is kept is given to whoever gets here: everything that checks callers is added below.
    app.add_middleware(ResponseCacheMiddleware, cache=app.state.cache)
    app.add_middleware(ForwardedRequests, version=None if app.state.upstreams else app.state.cache.version)
    if not settings.is_local:
        assert settings.service_api_key is not None  # required above
        app.add_middleware(ServiceTokenMiddleware, key=settings.service_api_key.get_secret_value())
    if instruments.watches:
        app.add_middleware(ExchangeMiddleware, recorders=instruments.recorders, tracing=instruments.tracing)
