"""A real Postgres for whoever asks for it: one server for all workers, a fresh migrated database a test."""

from __future__ import annotations

import fcntl
import gc
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql

from pipeline.store.embedded import embedded_server
from pipeline.store.engine import Database, database_name, libpq_url, with_database
from pipeline.store.migrating import migrate
from tests.kernels import use_kernels

CONNECTIONS = 400
"""Each worker holds some twenty services at a time, and each of them up to twelve."""
MEMORY = Path("/dev/shm")
ROOM_BYTES = 10 * 2**30
"""What the machine must have left of memory for databases to lie there: a copy, of 500 files, takes 25 ms there, and
100 to 300 on a disk. All that are in use together need two to three GiB."""


def pytest_configure() -> None:
    """Keep compiled code together, before anything is imported that compiles."""
    use_kernels()


def pytest_collection_finish() -> None:
    """Keep tests out of garbage collections: each would look at 13,000 of them, and stop services here for a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def server(testrun_uid: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the server's ``postgres`` database; the last worker stops the server and removes its data.

    The data lies outside pytest's own folder: root's server runs as another user, and the next pytest
    session closes that folder to others. Workers begin and end one at a time.
    """
    lock = tmp_path_factory.getbasetemp().parent / f"{testrun_uid}.lock"
    with ExitStack() as stack:
        with _alone(lock):
            folder = _data_folder(f"fintech-tests-{testrun_uid}")
            if not folder.exists():
                with embedded_server(folder) as address:
                    _set_up(address)
            address = stack.enter_context(embedded_server(folder))
        try:
            yield address
        finally:
            with _alone(lock):
                stack.close()
                if not (folder / "postmaster.pid").exists():
                    # Many small files, for which shutil takes long.
                    subprocess.run(["rm", "-rf", folder], check=False)


def _data_folder(name: str) -> Path:
    """In memory where there is room; every worker finds the one that the first has chosen."""
    places = (MEMORY, Path(tempfile.gettempdir()))
    for place in places:
        if (place / name).exists():
            return place / name
    room = shutil.disk_usage(MEMORY).free if os.access(MEMORY, os.W_OK) else 0
    has_room = min(room, psutil.virtual_memory().available) >= ROOM_BYTES
    return places[0 if has_room else 1] / name


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _set_up(address: str) -> None:
    """Settings of a server that is thrown away; it reads them when it starts again."""
    settings = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": CONNECTIONS}
    with psycopg.connect(libpq_url(address), autocommit=True) as connection:
        for name, value in settings.items():
            setting = sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
            connection.execute(setting)


@pytest.fixture(scope="session")
def made_databases() -> list[str]:
    """Addresses of all that were made, the newest last."""
    return []


@pytest.fixture(autouse=True)
def drop_databases(made_databases: list[str]) -> Iterator[None]:
    """Drop what a test has made for itself when all else of it has ended: what more tests share was made before."""
    kept = len(made_databases)
    yield
    for address in made_databases[kept:]:
        with psycopg.connect(libpq_url(with_database(address, "postgres")), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database_name(address)} WITH (FORCE)")
    del made_databases[kept:]


@pytest.fixture(scope="session")
def new_empty_database(server: str, worker_id: str, made_databases: list[str]) -> Callable[[], str]:
    """Make databases without any table; gives their addresses."""
    numbers = itertools.count()

    def make() -> str:
        address = with_database(server, f"empty_{worker_id}_{next(numbers)}")
        Database(address).ensure_exists()
        made_databases.append(address)
        return address

    return make


@pytest.fixture(scope="session")
def copy_of(server: str, worker_id: str, made_databases: list[str]) -> Callable[[str], str]:
    """Make databases that have all of another, which nobody uses any more; takes and gives addresses."""
    numbers = itertools.count()

    def copy(address: str) -> str:
        name = f"test_{worker_id}_{next(numbers)}"
        with psycopg.connect(libpq_url(with_database(server, "postgres")), autocommit=True) as connection:
            # Dagster's pools end with their garbage, whenever that is collected.
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                [database_name(address)],
            )
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {database_name(address)} STRATEGY FILE_COPY")
        made_databases.append(with_database(server, name))
        return made_databases[-1]

    return copy


@pytest.fixture(scope="session")
def new_database(server: str, worker_id: str, copy_of: Callable[[str], str]) -> Callable[[], Database]:
    """Make migrated databases by copying one that was migrated once a worker."""
    template = with_database(server, f"template_{worker_id}")
    Database(template).ensure_exists()
    migrate(template)
    return lambda: Database(copy_of(template))


@pytest.fixture
def database(new_database: Callable[[], Database]) -> Database:
    """An empty migrated database."""
    return new_database()
