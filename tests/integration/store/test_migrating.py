import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from pipeline.base.errors import DatabaseError
from pipeline.store.engine import Database, sqlalchemy_url
from pipeline.store.migrating import alembic_config, migrate
from pipeline.store.tables import all_tables


def test_migrations_make_the_schema_of_the_code(database: Database) -> None:
    config = alembic_config()
    with create_engine(sqlalchemy_url(database.url, "psycopg"), poolclass=NullPool).begin() as connection:
        config.attributes["connection"] = connection
        command.check(config)  # raises if autogenerate would change anything


def test_every_table_and_column_says_what_it_means(database: Database) -> None:
    for table in all_tables().tables.values():
        assert table.comment, table.name
        for column in table.columns:
            assert column.comment, f"{table.name}.{column.name}"


def test_a_migrated_database_is_left_alone(database: Database) -> None:
    assert migrate(database.url) is False


def test_processes_that_begin_together_on_an_empty_database_take_turns(new_empty_database: Callable[[], str]) -> None:
    address = _giving_up(new_empty_database())
    together = threading.Barrier(2)

    def begin(_: int) -> bool:
        together.wait()
        return migrate(address)

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(begin, range(2))) == [False, True]


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match="9999, which this version does not know"):
        migrate(database.url)


def _giving_up(address: str) -> str:
    """The address with a limit for each statement: two that wait for each other fail then, instead of hanging."""
    return f"{address}{'&' if '?' in address else '?'}options=-c%20statement_timeout%3D30s"
