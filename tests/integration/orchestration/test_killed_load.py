"""A load that is killed at each of its steps: nothing of it is left, and the next one makes what none disturbed.

A step is stopped where it writes to a table that another connection keeps for itself; there the process dies.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from multiprocessing.process import BaseProcess

import psycopg
import pytest
from psycopg import sql

import pipeline.market_data.definitions  # noqa: F401 - loaded once, before the processes that die
from pipeline.base.types import MonthRange
from pipeline.store.engine import Database, database_name, libpq_url, with_database
from pipeline.store.materializations import take_turn
from pipeline.store.quarantine import decide
from tests.integration.orchestration.conftest import Platform, postgres_instance
from tests.integration.orchestration.test_traded_bars import VendorResource

MONTHS = MonthRange(date(2022, 10, 1), date(2022, 11, 1))
PATIENCE_SECONDS = 30

STEPS = (
    "materialization",
    "provider",
    "quarantine",
    "raw_payload",
    "price",
    "price_history",
    "asset_partition",
    "price_block",
    "second_price",
    "corporate_action",
    "ingest_run",
)
"""Tables in the order in which a load first writes to them."""

NOT_OF_THE_DOMAIN = (
    *("materialization_id", "first_materialization_id", "last_materialization_id", "superseded_by"),
    *("built_by", "changed_by", "run_id", "id"),
)
"""Numbers of writes and runs, which a killed load uses up; moments are left out by their type."""


def load_first(platform: Platform) -> None:
    """What stands before: another close of a bar, and a refused one that a person has released."""
    platform.materialize("market_data", ["instruments"])
    _load(platform, [["AAPL", "2022-11-08", "3"], ["MSFT", "2022-10-12", "1.01"]])


def load_again(platform: Platform) -> None:
    """The load that is killed: it inserts, revises, deletes and refuses."""
    _load(platform, [["AMD", "2022-11-08", "3"], ["MSFT", "2022-10-13", "1.01"]])


def _load(platform: Platform, disturbed: list[list[str]]) -> None:
    vendors = {
        "provider": VendorResource(name="bundled", disturbed=disturbed),
        "second_provider": VendorResource(name="bundled", disturbed=disturbed[1:]),
    }
    platform.materialize("market_data", ["prices"], MONTHS, **vendors)


def contents(database: Database, without: tuple[str, ...] = ()) -> dict[str, tuple]:
    """Rows and a checksum of every table.

    Parameters
    ----------
    without
        Columns that are left out, and with them all moments.
    """
    query = """
        SELECT table_name, string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
        FROM information_schema.columns
        WHERE table_schema = 'public' AND (cardinality(%(without)s::text[]) = 0
            OR column_name <> ALL(%(without)s) AND data_type <> 'timestamp with time zone')
        GROUP BY table_name ORDER BY table_name
    """
    with database.connect() as connection:
        columns = connection.execute(query, {"without": list(without)}).fetchall()
        return {table: connection.execute(_checksum(table, names)).fetchone() for table, names in columns}


def _checksum(table: str, names: str) -> sql.Composed:
    return sql.SQL("SELECT count(*), sum(hashtextextended(ROW({})::text, 0)) FROM {}").format(
        sql.SQL(names), sql.Identifier(table)
    )


def domain(database: Database) -> dict[str, tuple]:
    """What a load says of the world, whichever write and run said it."""
    return contents(database, NOT_OF_THE_DOMAIN)


@dataclass(frozen=True)
class Loaded:
    """A database after the first load, to be copied; and what an undisturbed second load makes of it."""

    database: Database
    storage: str
    undisturbed: dict[str, tuple]

    def copy(self, name: str) -> Database:
        with psycopg.connect(libpq_url(with_database(self.database.url, "postgres")), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                    sql.Identifier(name), sql.Identifier(database_name(self.database.url))
                )
            )
        return Database(with_database(self.database.url, name))

    def load_again(self, database: Database) -> None:
        with postgres_instance(self.storage) as instance:
            load_again(Platform(database, instance))

    def events(self) -> int:
        """Materialisations of which Dagster has heard."""
        with Database(self.storage).connect() as connection:
            row = connection.execute(
                "SELECT count(*) FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION'"
            ).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture(scope="module")
def loaded(new_database: Callable[[], Database], new_empty_database: Callable[[], str], worker_id: str) -> Loaded:
    database, storage = new_database(), new_empty_database()
    with postgres_instance(storage) as instance:
        load_first(Platform(database, instance))
    with database.connect() as connection:
        assert decide(connection, "AAPL", date(2022, 11, 8), "released", "a person", "seen in the filing")
    made = Loaded(database, storage, {})
    other = made.copy(f"undisturbed_{worker_id}")
    made.load_again(other)
    return Loaded(database, storage, domain(other))


def _child(url: str, storage: str) -> None:
    os.setpgid(0, 0)
    with postgres_instance(storage) as instance:
        load_again(Platform(Database(url), instance))


@contextmanager
def loading(database: Database, storage: str) -> Iterator[BaseProcess]:
    """The second load in a process group of its own, forked from a server that has Dagster imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_child, args=(database.url, storage), daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join(PATIENCE_SECONDS)


def kill(process: BaseProcess) -> None:
    assert process.pid is not None
    os.killpg(process.pid, signal.SIGKILL)
    process.join(PATIENCE_SECONDS)
    assert process.exitcode == -signal.SIGKILL


def wait_until(happens: Callable[[], bool], process: BaseProcess | None = None) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happens():
        assert process is None or process.is_alive(), "the load ended before the step came"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def keep(connection: psycopg.Connection, table: str) -> None:
    """Let others read a table and not write to it."""
    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(sql.Identifier(table)))


def is_waited_for(keeper: psycopg.Connection) -> bool:
    """Whether another connection waits for what this one keeps; `pg_stat_activity` stands still in a transaction."""
    row = keeper.execute(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
    ).fetchone()
    return row == (True,)


def is_alone(database: Database) -> bool:
    """Whether the server has seen that the process died."""
    with database.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend'"
        ).fetchone()
    return row == (1,)


def killed_at(
    loaded: Loaded, database: Database, keeper: Database, take: Callable[[psycopg.Connection], object]
) -> None:
    """Run the second load up to the step that needs what `take` takes, and kill it there."""
    with keeper.connect() as connection:
        take(connection)
        with loading(database, loaded.storage) as process:
            wait_until(lambda: is_waited_for(connection), process)
            kill(process)
    wait_until(lambda: is_alone(database))


def assert_load_reaches_the_same(loaded: Loaded, database: Database, but_for: frozenset[str] = frozenset()) -> None:
    loaded.load_again(database)
    reached = domain(database)
    assert {table for table, rows in reached.items() if rows != loaded.undisturbed[table]} == but_for


@pytest.mark.parametrize("table", STEPS)
def test_a_load_that_is_killed_while_it_writes_leaves_nothing(loaded: Loaded, worker_id: str, table: str) -> None:
    database = loaded.copy(f"killed_at_{table}_{worker_id}")
    before, events = contents(database), loaded.events()
    killed_at(loaded, database, database, lambda connection: keep(connection, table))
    assert (contents(database), loaded.events()) == (before, events)
    assert_load_reaches_the_same(loaded, database)
    assert loaded.events() == events + 2


def test_a_load_that_is_killed_before_its_turn_leaves_nothing(loaded: Loaded, worker_id: str) -> None:
    database = loaded.copy(f"killed_before_{worker_id}")
    before, events = contents(database), loaded.events()
    killed_at(loaded, database, database, lambda connection: take_turn(connection, "prices"))
    assert (contents(database), loaded.events()) == (before, events)
    assert_load_reaches_the_same(loaded, database)


def test_a_load_that_is_killed_after_its_commit_is_whole_although_dagster_never_heard(
    loaded: Loaded, worker_id: str
) -> None:
    """Dagster's event log is kept from the moment on at which the load has only its last table before it."""
    database = loaded.copy(f"killed_after_{worker_id}")
    events = loaded.events()
    with Database(loaded.storage).connect() as event_log, loading(database, loaded.storage) as process:
        with database.connect() as connection:
            keep(connection, "ingest_run")
            wait_until(lambda: is_waited_for(connection), process)
            keep(event_log, "event_logs")
        wait_until(lambda: is_waited_for(event_log), process)
        kill(process)
    wait_until(lambda: is_alone(database))
    assert loaded.events() == events
    assert domain(database) == loaded.undisturbed
    assert_load_reaches_the_same(
        loaded, database, frozenset({"materialization", "ingest_run", "data_change"})
    )  # of two
    assert loaded.events() == events + 2


def test_the_load_that_is_killed_does_everything_a_load_can(loaded: Loaded, worker_id: str) -> None:
    """Else a step would be left out without anybody noticing."""
    database = loaded.copy(f"everything_{worker_id}")
    before = domain(database)
    changed = {table for table, rows in loaded.undisturbed.items() if rows != before[table]}
    assert changed >= {"quarantine", "price", "price_history", "price_block", "second_price", "ingest_run"}
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM quarantine_decision").fetchone() == (1,)
