import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.config import Config
from psycopg.errors import UniqueViolation
from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from pipeline.base.errors import DatabaseError
from pipeline.store.engine import Database, sqlalchemy_url
from pipeline.store.instruments import read_instruments
from pipeline.store.migrating import alembic_config, migrate
from pipeline.store.symbols import Spell, read_spells
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


def test_known_instruments_keep_their_symbols_from_the_start(new_empty_database: Callable[[], str]) -> None:
    address = new_empty_database()
    to_revision(address, command.upgrade, "0002")
    with Database(address).connect() as connection:
        connection.execute(
            "INSERT INTO instrument (symbol, name, kind, sector, currency, exchange, provider, materialization_id)"
            " SELECT symbol, symbol, 'stock', '', 'USD', 'XNYS', 'vendor', 7 FROM unnest('{FB,AAPL}'::text[]) AS symbol"
        )
    to_revision(address, command.upgrade, "0003")
    with Database(address).connect() as connection:
        assert [(i.id, i.symbol, i.delisted_on) for i in read_instruments(connection)] == [
            (2, "AAPL", None),
            (1, "FB", None),
        ]
        assert read_spells(connection) == [Spell("AAPL", 2, None, None), Spell("FB", 1, None, None)]
        writers = connection.execute("SELECT DISTINCT materialization_id FROM instrument_symbol").fetchall()
        assert writers == [(7,)]
    to_revision(address, command.downgrade, "0002")
    with Database(address).connect() as connection, pytest.raises(UniqueViolation):
        connection.execute("UPDATE instrument SET symbol = 'FB'")
    to_revision(address, command.upgrade, "0003")
    with Database(address).connect() as connection:
        assert len(read_spells(connection)) == 2


def test_a_reused_symbol_cannot_go_back_to_the_older_schema(new_empty_database: Callable[[], str]) -> None:
    address = new_empty_database()
    to_revision(address, command.upgrade, "0003")
    with Database(address).connect() as connection:
        connection.execute(
            "INSERT INTO instrument (symbol, name, kind, sector, currency, exchange, provider, materialization_id)"
            " SELECT 'FB', name, 'stock', '', 'USD', 'XNYS', 'vendor', 1 FROM unnest('{old,new}'::text[]) AS name"
        )
    with pytest.raises(IntegrityError, match="instrument_symbol_key"):
        to_revision(address, command.downgrade, "0002")


def to_revision(address: str, move: Callable[[Config, str], None], revision: str) -> None:
    """Bring a database to a revision of the schema."""
    config = alembic_config()
    engine = create_engine(sqlalchemy_url(address, "psycopg"), poolclass=NullPool)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        move(config, revision)


def test_rows_and_rights_survive_ranges_and_their_end(new_empty_database: Callable[[], str]) -> None:
    address, inserted = new_empty_database(), "INSERT INTO price (instrument_id, session, close, source, {})"
    rights = (
        "SELECT array_agg(a::text ORDER BY a::text), obj_description(c.oid), pg_get_userbyid(relowner)"
        " FROM pg_class AS c, unnest(relacl) AS a WHERE c.oid = 'price'::regclass GROUP BY c.oid"
    )
    rows = "SELECT instrument_id, close FROM price ORDER BY 1"
    to_revision(address, command.upgrade, "0023")
    with Database(address).connect() as connection:
        connection.execute(inserted.format("materialization_id") + " VALUES (1, '2022-01-03', 5, 1, 1)")
        connection.execute("GRANT SELECT ON price TO PUBLIC; REVOKE TRIGGER ON price FROM CURRENT_USER")
        before = connection.execute(rights).fetchone()
    to_revision(address, command.upgrade, "0024")
    with Database(address).connect() as connection:
        assert connection.execute(rows).fetchall() == [(1, 5.0)]
        assert connection.execute(rights).fetchone() == before
        connection.execute(inserted.format("materialization_id") + " VALUES (9, '2022-01-03', 6, 1, 1)")
        connection.execute(
            "ALTER TABLE price DETACH PARTITION price_1; CREATE TABLE price_2 (LIKE price INCLUDING ALL);"
            " INSERT INTO price_2 SELECT * FROM price_1 WHERE instrument_id = 9;"
            " DELETE FROM price_1 WHERE instrument_id = 9;"
            " ALTER TABLE price ATTACH PARTITION price_1 FOR VALUES FROM (MINVALUE) TO (9);"
            " ALTER TABLE price ATTACH PARTITION price_2 FOR VALUES FROM (9) TO (MAXVALUE)"
        )
    to_revision(address, command.downgrade, "0023")
    with Database(address).connect() as connection:
        assert connection.execute(rows).fetchall() == [(1, 5.0), (9, 6.0)]
        assert connection.execute(rights).fetchone() == before
        assert connection.execute(
            "SELECT relkind::text FROM pg_class WHERE relname ~ '^price(_[0-9])?$'"
        ).fetchall() == [("r",)]
    to_revision(address, command.upgrade, "0024")
