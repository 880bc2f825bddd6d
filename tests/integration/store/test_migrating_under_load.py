"""A migration beside those who use the tables: it waits a little, lets them in, and never leaves a half."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg
import pytest
from alembic import command

from pipeline.base.errors import DatabaseError
from pipeline.store import migrating
from pipeline.store.engine import Database, libpq_url
from tests.integration.store.test_migrating import to_revision

BEFORE = "0015"
"""The next revision alters portfolio_tail."""


@pytest.fixture
def used(new_empty_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A database at an earlier revision."""
    address = new_empty_database()
    to_revision(address, command.upgrade, BEFORE)
    monkeypatch.setattr(migrating, "LOCK_PATIENCE", "200ms")
    return address


def revision(address: str) -> str:
    with Database(address).connect() as connection:
        [(found,)] = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return str(found)


def test_a_table_that_is_never_let_go_is_named_and_nothing_is_left(used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrating, "PAUSES_SECONDS", (0.05, 0.05))
    with psycopg.connect(libpq_url(used)) as reader:
        reader.execute("SELECT FROM portfolio_tail")
        with pytest.raises(DatabaseError, match=r"in use at each of 3 tries .*lock timeout.*pg_stat_activity"):
            migrating.migrate(used)
    assert revision(used) == BEFORE
    with Database(used).connect() as connection:
        columns = "SELECT FROM information_schema.columns WHERE table_name = 'limit_event' AND column_name = 'ordinal'"
        assert connection.execute(columns).fetchone() is None


def test_it_is_tried_again_and_readers_come_in_between(used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrating, "PAUSES_SECONDS", (1.0, 1.0, 1.0, 1.0))
    done: list[bool] = []
    with psycopg.connect(libpq_url(used)) as reader:
        reader.execute("SELECT FROM portfolio_tail")
        migration = threading.Thread(target=lambda: done.append(migrating.migrate(used)))
        migration.start()
        time.sleep(0.6)  # its first try has ended
        with psycopg.connect(libpq_url(used), options="-c statement_timeout=5s") as other:
            other.execute("SELECT FROM portfolio_tail")
        assert not done
    migration.join(60)
    assert done == [True]
    assert revision(used) != BEFORE


def test_whoever_waits_for_another_migration_waits_as_long_as_it_takes(used: str) -> None:
    """The turn is taken before locks are bounded."""
    done: list[bool] = []
    with psycopg.connect(libpq_url(used)) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended('fintech migrations', 0))")
        migration = threading.Thread(target=lambda: done.append(migrating.migrate(used)))
        migration.start()
        time.sleep(0.6)
        assert not done
    migration.join(60)
    assert done == [True]
