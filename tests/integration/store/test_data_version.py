"""What changes the version of the data, and that nothing is forgotten."""

from __future__ import annotations

from datetime import date

import psycopg

from pipeline.store import materializations
from pipeline.store.data_version import UNWATCHED, read_data_version
from pipeline.store.engine import Database
from pipeline.store.limits import NewLimit, replace_limits
from pipeline.store.providers import record_provider
from pipeline.store.quarantine import decide
from pipeline.store.schema import WRITER
from pipeline.store.symbol_changes import rename_instrument
from pipeline.store.tables import all_tables
from tests.integration.serving.seeding import seed


def version(database: Database) -> str:
    with database.connect() as connection:
        return read_data_version(connection)


def test_every_table_numbers_its_changes(database: Database) -> None:
    """A new table names the write of each row, or has the trigger of migration 0007, or needs neither."""
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
            " WHERE tgname = 'note_data_change' AND tgenabled = 'O'"
        )
        watched = {row[0] for row in rows}
    tables = all_tables().tables.values()
    numbered = {table.name for table in tables if WRITER in table.columns}
    forgotten = {table.name for table in tables} - numbered - watched - UNWATCHED.keys()
    assert not forgotten, f"add the trigger note_data_change to {forgotten} (see migration 0007), or name why not"
    assert not watched & UNWATCHED.keys()


def test_what_changes_data_changes_the_version(database: Database) -> None:
    seeded = seed(database)
    seen = [version(database)]
    assert version(database) == seen[0]
    with database.connect() as connection:
        record_provider(connection, "other", "A notice.")
    seen.append(version(database))
    with database.connect() as connection:
        replace_limits(connection, seeded.portfolios["held"], [NewLimit("var_99_1d", "above", 0.1, 0.2)])
    seen.append(version(database))
    with database.connect() as connection:
        connection.execute("UPDATE portfolio SET name = 'Renamed' WHERE slug = 'held'")
    seen.append(version(database))
    with database.connect() as connection:
        connection.execute("DELETE FROM portfolio WHERE slug = 'young'")
    seen.append(version(database))
    rename_instrument(database, "MSFT", "MSX", date(2022, 12, 1))
    seen.append(version(database))
    assert len(set(seen)) == len(seen)
    assert version(database) == seen[-1]


def test_a_decision_changes_the_version(database: Database) -> None:
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO quarantine (provider, symbol, session, rule, payload, materialization_id)"
            " VALUES ('p', 'AAPL', '2020-01-02', 'r', '{}', 1)"
        )
    before = version(database)
    with database.connect() as connection:
        decide(connection, "AAPL", date(2020, 1, 2), "rejected", "somebody", "")
    assert version(database) != before


def test_what_is_rolled_back_changes_nothing(database: Database) -> None:
    before = version(database)
    with database.connect() as connection:
        materializations.touch(connection, "a", "test", "1")
        connection.rollback()
    assert version(database) == before


def test_a_write_that_began_earlier_and_ends_later_changes_the_version(database: Database) -> None:
    """The highest number alone would say nothing of it."""
    with database.connect() as early:
        materializations.begin(early, "a", "test", "1")
        with database.connect() as late:
            materializations.begin(late, "b", "test", "1")
        between = version(database)
    assert version(database) != between


def test_the_version_is_read_by_keys(database: Database) -> None:
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO materialization (asset, run_id, code_version)"
            " SELECT 'a', 'r', 'c' FROM generate_series(1, 20000)"
        )
        connection.execute("ANALYZE materialization")
        plan = connection.execute(
            "EXPLAIN SELECT sum(id) FROM (SELECT id FROM materialization ORDER BY id DESC LIMIT 1000) m"
        )
        assert "Index Only Scan Backward" in str(plan.fetchall())
