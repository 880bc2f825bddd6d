"""Clients of a real service, and of one that does what a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import fintech
from pipeline.store.engine import Database
from tests.integration.serving.gateways import Puppet, running_puppet
from tests.integration.serving.running import Running, local_settings, running_service
from tests.integration.serving.seeding import Seeded, seed


@pytest.fixture(scope="module")
def seeded(new_database: Callable[[], Database]) -> Seeded:
    return seed(new_database())


@pytest.fixture(scope="module")
def service(seeded: Seeded) -> Iterator[Running]:
    with running_service("backend-api", local_settings(seeded.database.url)) as running:
        yield running


@pytest.fixture(scope="module")
def api(service: Running) -> Iterator[fintech.Client]:
    with fintech.Client(f"http://127.0.0.1:{service.port}") as made:
        yield made


@pytest.fixture
def puppet() -> Iterator[Puppet]:
    made = Puppet()
    with running_puppet(made):
        yield made


@pytest.fixture
def own_api(new_database: Callable[[], Database]) -> Iterator[fintech.Client]:
    """A client of a service whose database nobody else changes or reads."""
    with (
        running_service("backend-api", local_settings(seed(new_database()).database.url)) as running,
        fintech.Client(f"http://127.0.0.1:{running.port}") as made,
    ):
        yield made
