"""Row-level security, in SQL: what the role of the API sees and changes, whatever statement it sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from pipeline.base.errors import DatabaseError
from pipeline.store.access import API_ROLE, NOBODY, Role, RowAccess, ScopedConnection, become_api
from pipeline.store.audit import Actor, record
from pipeline.store.engine import Database, libpq_url, with_database
from pipeline.store.migrating import migrate
from pipeline.store.schema import WRITER
from pipeline.store.tables import all_tables
from serving.callers import LOCAL, of_role
from serving.deps import Connections
from tests.integration.serving.accounts import House, furnish

OWNED = ("portfolio", "position", "portfolio_limit", "limit_event", "portfolio_tail", "var_backtest", "portfolio_unit")
"""Tables of which the house has a row a portfolio."""


@pytest.fixture(scope="module")
def house(new_database: Callable[[], Database]) -> House:
    return furnish(new_database())


@contextmanager
def as_api(house: House, access: RowAccess | None = None) -> Iterator[ScopedConnection]:
    """A connection as serving has it, whose changes are rolled back."""
    with ScopedConnection.connect(libpq_url(house.database.url)) as connection:
        become_api(connection)
        if access is not None:
            connection.show_rows_of(access)
        yield connection
        connection.rollback()


def counts(connection: psycopg.Connection) -> list[int]:
    found = []
    for table in OWNED:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert row is not None
        found.append(row[0])
    return found


def seen(house: House, name: str | None, role: Role) -> list[int]:
    with as_api(house, RowAccess(house.users[name] if name else None, role)) as connection:
        return counts(connection)


@pytest.mark.parametrize("access", [None, NOBODY, RowAccess(1, None)])
def test_without_a_caller_nothing_is_seen(house: House, access: RowAccess | None) -> None:
    with as_api(house, access) as connection:
        assert counts(connection) == [0] * len(OWNED)


def test_each_sees_their_own_and_everybodys(house: House) -> None:
    assert seen(house, "alice", "analyst") == [2] * len(OWNED)
    assert seen(house, "vera", "viewer") == [1] * len(OWNED)
    assert seen(house, None, "viewer") == [1] * len(OWNED)
    assert seen(house, "otto", "operator") == [3] * len(OWNED)
    assert seen(house, None, "admin") == [3] * len(OWNED)
    with house.database.connect() as connection:  # the pipeline
        assert counts(connection) == [3] * len(OWNED)


def test_no_table_of_portfolios_is_forgotten(house: House) -> None:
    tables = {t.name for t in all_tables().tables.values() if {"portfolio_id", "owner_id"} & set(t.columns.keys())}
    with house.database.connect() as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class AS c WHERE relrowsecurity"
            " AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)"
        )
        protected = {row[0] for row in rows}
    assert tables - protected == set(), "add row-level security (see migration 0009)"


@pytest.mark.parametrize(("name", "role"), [("alice", "analyst"), ("vera", "viewer"), (None, "viewer"), (None, None)])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE portfolio SET name = 'mine' WHERE slug = 'bobs'",
        "UPDATE portfolio SET name = 'mine' WHERE slug = 'everybodys'",
        "DELETE FROM portfolio WHERE slug = 'bobs'",
        "UPDATE position SET target_weight = 0.5 WHERE portfolio_id = {bobs}",
        "DELETE FROM position WHERE portfolio_id = {everybodys}",
        "DELETE FROM portfolio_limit WHERE portfolio_id = {bobs}",
        "DELETE FROM portfolio_limit WHERE portfolio_id = {alices}",
    ],
)
def test_what_is_not_ones_own_is_not_changed(house: House, name: str | None, role: Role, statement: str) -> None:
    access = RowAccess(house.users[name] if name else None, role)
    with as_api(house, access) as connection:
        changed = connection.execute(statement.format(**house.portfolios))
        assert changed.rowcount == 0


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO portfolio (name, base_currency, rebalancing, owner_id) VALUES ('x', 'USD', 'daily', {bob})",
        "INSERT INTO portfolio (name, base_currency, rebalancing) VALUES ('x', 'USD', 'daily')",
        "UPDATE portfolio SET owner_id = {bob} WHERE slug = 'alices'",
        "UPDATE portfolio SET owner_id = NULL WHERE slug = 'alices'",
        "INSERT INTO position (portfolio_id, instrument_id, quantity) VALUES ({bobs}, 1, 1)",
        "INSERT INTO portfolio_limit VALUES ({alices}, 'es_99_1d', 'above', 1, 2)",
        "INSERT INTO price (instrument_id) VALUES (1)",
        "UPDATE portfolio_tail SET var_99_1d = 0",
        "DELETE FROM audit_entry",
        "UPDATE audit_entry SET actor = 'x'",
        "TRUNCATE audit_entry",
        "DELETE FROM app_user",
        "CREATE TABLE own (id int)",
        "ALTER TABLE portfolio DISABLE ROW LEVEL SECURITY",
        "DROP POLICY portfolio_read ON portfolio",
    ],
)
def test_an_analyst_cannot_give_away_or_forge(house: House, statement: str) -> None:
    with as_api(house, RowAccess(house.users["alice"], "analyst")) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(statement.format(**house.users, **house.portfolios))


def test_an_analyst_changes_their_own(house: House) -> None:
    with as_api(house, RowAccess(house.users["alice"], "analyst")) as connection:
        assert connection.execute("UPDATE portfolio SET name = 'Mine' WHERE slug = 'alices'").rowcount == 1
        assert connection.execute("DELETE FROM position").rowcount == 1


def test_results_are_written_by_the_pipeline_alone(house: House) -> None:
    written = {table.name for table in all_tables().tables.values() if WRITER in table.columns}
    with house.database.connect() as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class, unnest('{INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) AS privilege"
            " WHERE relname = ANY(%s) AND has_table_privilege(%s, oid, privilege)",
            [sorted(written), API_ROLE],
        ).fetchall()
    assert rows == []


def test_the_audit_log_is_only_added_to(house: House) -> None:
    """Not even by the owner of the table."""
    with house.database.connect() as connection:
        record(connection, Actor("somebody"), "test", "nothing")
    for statement in ("UPDATE audit_entry SET actor = 'x'", "DELETE FROM audit_entry", "TRUNCATE audit_entry"):
        refused = pytest.raises(InsufficientPrivilege, match="rows of audit_entry are only added")
        with refused, house.database.connect() as connection:
            connection.execute(statement)


def test_pooled_connections_show_the_caller_of_now(house: House) -> None:
    """Turn by turn on the same connections, also after a failure and a rollback."""
    pool = Connections(house.database.url)
    pool.open()
    try:
        alice = of_role("alice", "analyst", house.users["alice"])
        for _ in range(3):
            for caller, number in ((alice, 2), (None, 0), (LOCAL, 3), (alice, 2)):
                mine = pool.of(caller)
                with mine.reading() as connection:
                    assert counts(connection)[0] == number
                with mine.reading_once() as connection:
                    assert counts(connection)[0] == number
                with suppress(ZeroDivisionError), mine.writing() as connection:
                    assert counts(connection)[0] == number
                    raise ZeroDivisionError  # rolls back
                with pytest.raises(psycopg.errors.DivisionByZero), mine.reading() as connection:
                    connection.execute("SELECT 1 / 0")
    finally:
        pool.close()


# Where the user of the database is no superuser ---------------------------------------------------------


@contextmanager
def managed_database(server: str, options: str) -> Iterator[str]:
    """The address of an empty database that a user without rights of a superuser owns."""
    name = f"managed_{uuid4().hex[:8]}"
    with psycopg.connect(libpq_url(with_database(server, "postgres")), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN " + options).format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(name)))
    address = with_database(server, name)
    yield address.replace("//postgres:@", f"//{name}:@").replace("//postgres@", f"//{name}@")


@pytest.fixture
def admin(server: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(libpq_url(with_database(server, "postgres")), autocommit=True) as connection:
        yield connection


def test_a_managed_server_is_migrated_and_keeps_rows_apart(server: str, admin: psycopg.Connection) -> None:
    with managed_database(server, "NOSUPERUSER CREATEROLE") as address:
        user = address.partition("//")[2].partition("@")[0].rstrip(":")
        # Another database of this server has the role already, so its creator has to let this one have it.
        admin.execute(sql.SQL("GRANT fintech_api TO {} WITH INHERIT FALSE").format(sql.Identifier(user)))
        assert migrate(address)
        with Database(address).connect() as connection:
            row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
            assert row == (False,)
        house = furnish(Database(address))
        assert seen(house, "alice", "analyst") == [2] * len(OWNED)
        assert seen(house, None, "admin") == [3] * len(OWNED)
        with house.database.connect() as connection:  # the pipeline, as the owner of the tables
            assert counts(connection) == [3] * len(OWNED)
            connection.execute("UPDATE portfolio_tail SET var_99_1d = 0.1")
        with as_api(house) as connection:
            assert counts(connection) == [0] * len(OWNED)


def test_a_user_who_may_not_take_on_the_role_is_told_what_to_do(server: str) -> None:
    with managed_database(server, "NOSUPERUSER NOCREATEROLE") as address:
        with pytest.raises(DatabaseError, match="may neither create nor take on the role fintech_api") as caught:
            migrate(address)
        assert "GRANT fintech_api TO" in caught.value.remedy
        with psycopg.connect(libpq_url(address)) as connection:
            assert connection.execute("SELECT to_regclass('portfolio')").fetchone() == (None,)
