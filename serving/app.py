"""Make the application of one service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.base.settings import Settings
from pipeline.store.engine import with_tls
from serving import pages
from serving.answers.examples import attach_examples
from serving.auth.checking import Checker
from serving.auth.documentation import document_credentials
from serving.auth.loopback import require_loopback_without_login
from serving.auth.middleware import AccessMiddleware
from serving.auth.permissions import require_permission
from serving.auth.tokens import Tokens
from serving.callers import LOCAL
from serving.deps import POOL_SIZE, Connections
from serving.edge.bodies import BodyLimitMiddleware, BodyLimits
from serving.edge.clients import ClientMiddleware, TrustedProxies
from serving.edge.documentation import describe_edge
from serving.edge.heads import HeadLimitMiddleware
from serving.edge.idempotency import IdempotencyMiddleware, digest_key
from serving.edge.origins import OriginsMiddleware, checked_origins
from serving.edge.rate_limit import RateLimit, RateLimitMiddleware
from serving.edge.refusals import Refusals
from serving.edge.security_headers import SecurityHeadersMiddleware
from serving.errors import add_error_handlers, problem_responses
from serving.flags import Flags
from serving.observability.exchanges import ExchangeMiddleware
from serving.observability.instruments import Instruments
from serving.response_cache import CACHED, ResponseCache, ResponseCacheMiddleware
from serving.route_index import RouteIndex
from serving.routes import (
    api_keys,
    audit,
    auth,
    backtests,
    batches,
    calculate,
    covariance,
    currency,
    decomposition,
    explaining,
    factors,
    forecast_on_request,
    forecasts,
    fx_rates,
    health,
    instrument_risk,
    instruments,
    interest_rates,
    limits,
    measures,
    models,
    portfolio_changes,
    portfolio_forecast,
    portfolio_report,
    portfolio_risk,
    portfolio_simulations,
    portfolio_value,
    portfolios,
    prices,
    probabilities,
    quarantine,
    scores,
    simulation_fans,
    strategies,
    stress,
    tails,
    transactions,
    users,
    what_if,
)
from serving.routes.simulating import jobs as simulation_jobs
from serving.routes.simulating import of_portfolio
from serving.routes.simulating import paths as simulated_paths
from serving.routes.simulating.desk import Desk
from serving.services import Service, service_named
from serving.shared_server import SharedServer
from serving.staleness import Standings
from serving.stored_series import HeldTexts
from serving.upstream import ForwardedRequests, ForwardedRoutes, Upstreams, is_forwarded

API = "/api/v1"
MAXIMUM_BODY_BYTES = 1024 * 1024
"""33 years of dated returns with a benchmark take about 640 KiB, a portfolio of 500 positions 40."""

NOT_MODIFIED = "The answer whose ETag was sent as If-None-Match is still the newest"
THREADS = POOL_SIZE + 4
"""That answer at once; four of them may compute while the others use the connections."""

ROUTERS: tuple[tuple[str, APIRouter], ...] = (
    ("market_data", instruments.router),
    ("market_data", prices.router),
    ("market_data", batches.market_data),
    ("market_data", fx_rates.router),
    ("market_data", interest_rates.router),
    ("market_data", quarantine.router),
    ("risk", instrument_risk.router),
    ("risk", batches.risk),
    ("risk", portfolios.router),
    ("risk", portfolio_changes.router),
    ("risk", transactions.router),
    ("risk", portfolio_value.router),
    ("risk", portfolio_risk.router),
    ("risk", covariance.router),
    ("risk", factors.router),
    ("risk", decomposition.router),
    ("risk", currency.router),
    ("risk", calculate.router),
    ("risk", what_if.router),
    ("risk", portfolio_report.router),
    ("risk", measures.router),
    ("risk", tails.router),
    ("risk", backtests.router),
    ("risk", stress.router),
    ("risk", limits.router),
    *explaining.ROUTERS,
    ("simulation", portfolio_simulations.router),
    ("simulation", simulation_fans.router),
    ("simulation", simulation_jobs.router),
    ("simulation", simulated_paths.router),
    ("simulation", strategies.router),
    ("simulation", of_portfolio.router),
    ("forecast", forecasts.router),
    ("forecast", probabilities.router),
    ("forecast", batches.forecasts),
    ("forecast", portfolio_forecast.router),
    ("forecast", models.router),
    ("forecast", scores.router),
    ("forecast", forecast_on_request.router),
    ("access", auth.router),
    ("access", users.router),
    ("access", api_keys.router),
    ("access", audit.router),
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
    settings = _with_tls(settings)
    app = _Application(
        title=f"fintech-platform: {found.name}",
        description="Prices, risk, simulations and forecasts as the pipeline computed them. Every answer carries the"
        " notice of its data.",
        version=settings.app_version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        lifespan=_lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # serving.observability has its own
    )
    app.state.service = found
    app.state.settings = settings
    app.state.tokens = Tokens.of(settings)
    app.state.default_caller = LOCAL if settings.is_local else None
    app.state.guard = require_permission
    app.state.standings = Standings()
    app.state.texts = HeldTexts()
    app.state.shared = SharedServer.of(settings)
    assert settings.database_url is not None  # required above
    app.state.flags = Flags(settings.database_url.get_secret_value())
    app.state.cache = ResponseCache.of(found.name, settings, app.state.shared, app.state.flags)
    app.state.instruments = Instruments.of(found.name, settings, app.state.cache)
    app.state.upstreams = Upstreams(found, settings)
    simulates = found.serves("simulation") and app.state.upstreams.of("simulation") is None
    app.state.simulating = Desk.of(settings) if simulates else None
    add_error_handlers(app)
    _include_routes(app, found)
    _protect(app, settings)
    return app


def _with_tls(settings: Settings) -> Settings:
    """The settings with an address of the database that says how it is reached."""
    assert settings.database_url is not None  # required before
    url = with_tls(settings.database_url.get_secret_value(), settings.database_sslmode, settings.database_sslrootcert)
    return settings.model_copy(update={"database_url": SecretStr(url)})


def _operation_id(route: APIRoute) -> str:
    """Name of the route's function: what generated clients call the operation; a test keeps them unique."""
    return route.name


class _Application(FastAPI):
    """FastAPI without asking at each request for telemetry of its own, which `serving.observability` replaces."""

    def openapi(self) -> dict[str, Any]:
        """The documentation, with what the response cache answers for every route."""
        specification = super().openapi()
        document_credentials(specification)
        for path, operations in specification["paths"].items():
            if path.startswith(CACHED) and "get" in operations:
                operations["get"]["responses"].setdefault("304", {"description": NOT_MODIFIED})
        describe_edge(specification, API)
        attach_examples(specification["paths"])
        return specification

    def build_middleware_stack(self) -> ASGIApp:
        """The middlewares, inside one that the answer to a defect passes, too."""
        return SecurityHeadersMiddleware(super().build_middleware_stack(), is_strict=not self.state.settings.is_local)

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
    shared: SharedServer | None = app.state.shared
    instruments: Instruments = app.state.instruments
    simulating: Desk | None = app.state.simulating
    # Of the default's 40 threads most would wait for one of the connections, and for one another.
    to_thread.current_default_thread_limiter().total_tokens = THREADS
    instruments.open()
    connections.open()
    if shared is not None:
        shared.open()
    app.state.flags.open()
    cache.open()
    app.state.connections = connections
    if instruments.metrics is not None:
        from serving.state_metrics import register_states  # noqa: PLC0415 - its library takes 0.1 s to import

        register_states(instruments.metrics.registry, app.state, connections)
    if simulating is not None:
        simulating.open()
    try:
        yield
    finally:
        if simulating is not None:
            await to_thread.run_sync(simulating.close)
        await app.state.upstreams.close()
        cache.close()
        app.state.flags.close()
        if shared is not None:
            await shared.close()
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
    for slice_name, router in ROUTERS:
        if service.serves(slice_name):
            app.include_router(
                router,
                prefix=API,
                responses=problem_responses(401, 403, 404, 422, 503),
            )
            upstream = app.state.upstreams.of(slice_name)
            if upstream is not None:
                app.router.routes.insert(-1, ForwardedRoutes(app.router.routes[-1:], upstream))
    app.router.routes.insert(0, RouteIndex(app.router.routes))


def _protect(app: FastAPI, settings: Settings) -> None:
    """Add what stands before the routes; the last one added is asked first."""
    instruments: Instruments = app.state.instruments
    app.add_middleware(IdempotencyMiddleware, forwards=is_forwarded, digest_key=digest_key(settings))
    app.add_middleware(BodyLimitMiddleware, limits=BodyLimits(MAXIMUM_BODY_BYTES))
    # What is kept is given to whoever gets here: everything that checks callers is added below.
    app.add_middleware(ResponseCacheMiddleware, cache=app.state.cache)
    version = None if app.state.upstreams else app.state.cache.version
    app.add_middleware(ForwardedRequests, version=version, asks_who=app.state.tokens is not None)
    limit = RateLimit.of(settings, app.state.shared)
    if limit is not None:  # in front of the cache, whose answers count, and behind logins, which name who is counted
        app.add_middleware(RateLimitMiddleware, limit=limit)
    if app.state.tokens is not None:
        assert settings.service_api_key is not None  # required above
        is_gateway = app.state.service.slice is None
        key = settings.service_api_key.get_secret_value()
        checker = Checker(app.state.tokens, key, believes_services=not is_gateway)
        refusals = Refusals(limit) if limit is not None else None
        app.add_middleware(AccessMiddleware, checker=checker, login_page=is_gateway, refusals=refusals)
    proxies = TrustedProxies(settings.trusted_proxies)
    if proxies:
        app.add_middleware(ClientMiddleware, proxies=proxies)
    if settings.cors_origins:
        app.add_middleware(OriginsMiddleware, origins=checked_origins(settings.cors_origins))
    app.add_middleware(HeadLimitMiddleware)
    if instruments.watches:
        app.add_middleware(ExchangeMiddleware, recorders=instruments.recorders, tracing=instruments.tracing)
