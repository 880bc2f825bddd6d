"""Whether a database can be worked with."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import psycopg
import pytest

from pipeline.base.errors import DatabaseError
from pipeline.store.engine import Database, libpq_url, with_database
from pipeline.store.migrating import migrate
from pipeline.store.readiness import check_readiness


def test_a_migrated_database_answers_with_its_revision(database: Database) -> None:
    with database.connect() as connection:
        expected = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert (check_readiness(database.url, 5),) == expected


def test_a_database_without_a_schema_is_told_how_to_get_one(new_empty_database: Callable[[], str]) -> None:
    address = new_empty_database()
    with pytest.raises(DatabaseError, match="has no schema yet") as caught:
        check_readiness(address, 5)
    assert "fintech run" in caught.value.remedy
    migrate(address)
    assert check_readiness(address, 5)


def test_a_schema_that_was_begun_and_never_finished_is_none(new_empty_database: Callable[[], str]) -> None:
    address = new_empty_database()
    with psycopg.connect(libpq_url(address), autocommit=True) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num text)")
    with pytest.raises(DatabaseError, match="has no schema yet"):
        check_readiness(address, 5)


def test_a_database_that_does_not_exist_is_named(server: str) -> None:
    with pytest.raises(DatabaseError, match='database "not_there" does not exist'):
        check_readiness(with_database(server, "not_there"), 5)


def test_a_server_that_is_gone_is_named_without_its_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"postgresql://me:hunter2@127.0.0.1:{taken.getsockname()[1]}/fintech?sslpassword=hunter2"
        with pytest.raises(DatabaseError, match="No Postgres answers at postgresql://me@127") as caught:
            check_readiness(address, 5)
    assert "hunter2" not in str(caught.value)


def test_a_server_that_stays_silent_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(DatabaseError, match="No Postgres answers"):
            check_readiness(f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/fintech", 2)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("name", ["with space", "ümlaut", "a/b", "50%", "Capital"])
def test_a_database_of_any_name_is_made_and_found(server: str, name: str) -> None:
    made = Database(with_database(server, name))
    made.ensure_exists()
    made.ensure_exists()
    with made.connect() as connection:
        assert connection.execute("SELECT current_database()").fetchone() == (name,)
