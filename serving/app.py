"""Make the application of one service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Security
from fastapi.security import APIKeyHeader

from pipeline.base.settings import Settings
from serving import pages
from serving.auth import HEADER, ServiceTokenMiddleware, require_loopback_without_login
from serving.deps import Connections
from serving.errors import add_error_handlers, problem_responses
from serving.limits import BodyLimitMiddleware
from serving.routes import (
    explanations,
    forecasts,
    fx_rates,
    health,
    instrument_risk,
    instruments,
    interest_rates,
    limits,
    portfolio_risk,
    portfolio_simulations,
    portfolios,
    prices,
    quarantine,
    stress,
)
from serving.services import Service, service_named

API = "/api/v1"
MAXIMUM_BODY_BYTES = 256 * 1024
"""A portfolio of 500 positions takes about 40 KiB."""

ROUTERS: tuple[tuple[str, APIRouter], ...] = (
    ("market_data", instruments.router),
    ("market_data", prices.router),
    ("market_data", fx_rates.router),
    ("market_data", interest_rates.router),
    ("market_data", quarantine.router),
    ("risk", instrument_risk.router),
    ("risk", portfolios.router),
    ("risk", portfolio_risk.router),
    ("risk", stress.router),
    ("risk", limits.router),
    ("risk", explanations.router),
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
    app = FastAPI(
        title=f"fintech-platform: {found.name}",
        description="Prices, risk, simulations and forecasts as the pipeline computed them. Every answer carries the"
        " notice of its data.",
        version=settings.app_version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.service = found
    app.state.settings = settings
    add_error_handlers(app)
    _include_routes(app, found)
    _protect(app, settings)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Hold the connections while the service runs; a database that is down does not keep it from starting."""
    url = app.state.settings.database_url.get_secret_value()
    connections = Connections(url)
    connections.open()
    app.state.connections = connections
    try:
        yield
    finally:
        await to_thread.run_sync(connections.close)


def _include_routes(app: FastAPI, service: Service) -> None:
    app.include_router(health.router)
    app.include_router(pages.router)
    header = APIKeyHeader(name=HEADER, auto_error=False, description="Needed outside of FINTECH_ENV=local.")
    for slice_name, router in ROUTERS:
        if service.serves(slice_name):
            app.include_router(
                router, prefix=API, responses=problem_responses(401, 404, 422, 503), dependencies=[Security(header)]
            )


def _protect(app: FastAPI, settings: Settings) -> None:
    """Add what stands before the routes; the last one added is asked first."""
    app.add_middleware(BodyLimitMiddleware, maximum_bytes=MAXIMUM_BODY_BYTES)
    if settings.is_local:
        return
    assert settings.service_api_key is not None  # required above
    app.add_middleware(ServiceTokenMiddleware, key=settings.service_api_key.get_secret_value())
