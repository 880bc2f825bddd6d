"""A real Postgres for whoever asks for it: one server for all workers, a fresh migrated database a test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pipeline.store.embedded import embedded_server
from pipeline.store.engine import Database, libpq_url, with_database
from pipeline.store.migrating import migrate


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """Address of the server; workers share it, and the last one to end stops it."""
    root = tmp_path_factory.getbasetemp()
    shared = root if worker_id == "master" else root.parent
    with embedded_server(shared / "pg") as address:
        yield address


@pytest.fixture(scope="session")
def new_empty_database(server: str, worker_id: str) -> Callable[[], str]:
    """Make databases without any table; gives their addresses."""
    numbers = itertools.count()

    def make() -> str:
        address = with_database(server, f"empty_{worker_id}_{next(numbers)}")
        Database(address).ensure_exists()
        return address

    return make


@pytest.fixture(scope="session")
def new_database(server: str, worker_id: str) -> Callable[[], Database]:
    """Make migrated databases by copying one that was migrated once a worker."""
    template = f"template_{worker_id}"
    migrate_url = with_database(server, template)
    Database(migrate_url).ensure_exists()
    migrate(migrate_url)
    numbers = itertools.count()

    def make() -> Database:
        name = f"test_{worker_id}_{next(numbers)}"
        with psycopg.connect(libpq_url(with_database(server, "postgres")), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return Database(with_database(server, name))

    return make


@pytest.fixture
def database(new_database: Callable[[], Database]) -> Database:
    """An empty migrated database."""
    return new_database()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder of one test."""
    return tmp_path / "data"
