"""What a backup and its restoring ask of the server: one moment to dump, sums of tables, and the exchange of names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import Connection, IsolationLevel, errors, sql

from pipeline.base.errors import DatabaseError
from pipeline.store.access import API_ROLE
from pipeline.store.engine import CONNECT_TIMEOUT_SECONDS, Database, database_name, libpq_url, with_database

BEFORE_SUFFIX = "_before"
BESIDE_SUFFIX = "_restored"
"""Of databases: the one that was replaced, and the one that is being filled."""

_TEXT_OF_VALUES = (
    "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL intervalstyle = 'iso_8601';"
    " SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'"
)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a dump is of.

    Parameters
    ----------
    snapshot
        By which `pg_dump` reads the same rows, while its transaction is open.
    lsn
        Position in the write-ahead log.
    revision
        Of the platform's schema; None in a database of something else.
    """

    snapshot: str
    taken_at: datetime
    lsn: str
    server_version: str
    server_major: int
    revision: str | None


@dataclass(frozen=True, slots=True)
class TableSum:
    """What a table holds.

    Parameters
    ----------
    sum
        Of the hashes of its rows' texts; their order does not count.
    """

    rows: int
    sum: str


@contextmanager
def held_moment(database: Database) -> Iterator[tuple[Connection, Moment]]:
    """A read-only transaction whose snapshot others can read by, while the context lasts.

    Raises
    ------
    DatabaseError
        If the server is out of reach.
    """
    with database.connect() as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        row = connection.execute(
            """
            SELECT pg_export_snapshot(), clock_timestamp(),
                CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text,
                current_setting('server_version'), to_regclass('public.alembic_version') IS NOT NULL
                AND to_regclass('public.materialization') IS NOT NULL
            """
        ).fetchone()
        assert row is not None
        snapshot, taken_at, lsn, version, is_ours = row
        revision = None
        if is_ours:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            revision = str(found[0]) if found else None
        major = connection.info.server_version // 10_000
        yield connection, Moment(snapshot, taken_at, lsn, version, major, revision)


def sum_tables(connection: Connection) -> dict[str, TableSum]:
    """Rows and sum of every table, by schema and name, as the transaction sees them; ranges count as their table."""
    connection.execute(_TEXT_OF_VALUES)
    names = connection.execute(
        """
        SELECT nspname, relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace AS n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'p', 'm') AND NOT relispartition AND relpersistence = 'p'
            AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
        ORDER BY nspname, relname
        """
    ).fetchall()
    return {f"{schema}.{name}": _sum(connection, schema, name) for schema, name in names}


def _sum(connection: Connection, schema: str, name: str) -> TableSum:
    query = sql.SQL(
        "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {} AS t"
    ).format(sql.Identifier(schema, name))
    row = connection.execute(query).fetchone()
    assert row is not None
    return TableSum(*row)


def has_tables(database: Database) -> bool:
    """Whether the database exists and has a table.

    Raises
    ------
    DatabaseError
        If the server is out of reach.
    """
    try:
        with database.connect() as connection:
            row = connection.execute(
                "SELECT FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LIMIT 1"
            ).fetchone()
            return row is not None
    except DatabaseError as error:
        if "does not exist" in error.cause:
            return False
        raise


def make_beside(database: Database) -> Database:
    """An empty database to be filled, in the place of one that an interrupted restore has left.

    Raises
    ------
    DatabaseError
        If the user may not create databases.
    """
    beside = f"{database_name(database.url)}{BESIDE_SUFFIX}"
    with _on_server(database) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(beside)))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(beside)))
    return Database(with_database(database.url, beside))


def drop_beside(database: Database) -> None:
    """Remove what `make_beside` made, if it is there still."""
    beside = sql.Identifier(f"{database_name(database.url)}{BESIDE_SUFFIX}")
    with _on_server(database) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(beside))


def ensure_api_role(database: Database) -> None:
    """The role that grants and policies of a dump are of; it belongs to the server, so no dump holds it (0009).

    Raises
    ------
    DatabaseError
        If the user may not create roles and there is none.
    """
    with _on_server(database) as connection:
        role = sql.Identifier(API_ROLE)
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [API_ROLE]).fetchone() is None:
            connection.execute(
                sql.SQL("CREATE ROLE {} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS").format(role)
            )
        row = connection.execute("SELECT pg_has_role(current_user, %s, 'SET')", [API_ROLE]).fetchone()
        if row is None or not row[0]:
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE").format(role))


def finish_beside(beside: Database, *, is_ours: bool) -> None:
    """What a dump does not bring: rights of tables to come, which name whoever restores, and statistics."""
    with beside.connect() as connection:
        if is_ours:
            role = sql.Identifier(API_ROLE)
            connection.execute(
                sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {}").format(role)
            )
        connection.execute("ANALYZE")


def exchange(databases: Sequence[Database]) -> None:
    """Give the databases beside the names of those in use, all of them in one transaction.

    Connections to those in use are ended, and new ones refused until the names have changed hands. What was in use is
    kept under another name, in the place of one from an earlier restore.

    Raises
    ------
    DatabaseError
        If the server refuses; everything has its old name then.
    """
    names = [database_name(database.url) for database in databases]
    with _on_server(databases[0]) as connection:
        known = {name for (name,) in connection.execute("SELECT datname FROM pg_database").fetchall()}
        used = [name for name in names if name in known]
        for name in used:
            before = sql.Identifier(f"{name}{BEFORE_SUFFIX}")
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(before))
        try:
            for name in used:
                _allow(connection, name, is_allowed=False)
            _end_connections(connection, [*used, *(f"{name}{BESIDE_SUFFIX}" for name in names)])
            with connection.transaction():
                for name in used:
                    _rename(connection, name, f"{name}{BEFORE_SUFFIX}")
                for name in names:
                    _rename(connection, f"{name}{BESIDE_SUFFIX}", name)
        finally:
            _allow_again(connection, [*used, *(f"{name}{BEFORE_SUFFIX}" for name in used)])


def _allow_again(connection: Connection, names: Sequence[str]) -> None:
    closed = "SELECT datname FROM pg_database WHERE NOT datallowconn AND datname = ANY(%s)"
    for (name,) in connection.execute(closed, [list(names)]).fetchall():
        _allow(connection, name, is_allowed=True)


def _allow(connection: Connection, name: str, *, is_allowed: bool) -> None:
    connection.execute(
        sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}").format(sql.Identifier(name), sql.Literal(is_allowed))
    )


def _end_connections(connection: Connection, names: Sequence[str]) -> None:
    """End those who are connected, and wait until they are gone: a name in use cannot change."""
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = ANY(%s) AND pid <> pg_backend_pid()",
        [list(names)],
    )


def _rename(connection: Connection, old: str, new: str) -> None:
    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new)))


@contextmanager
def _on_server(database: Database) -> Iterator[Connection]:
    """A connection to the server's own database, each statement by itself.

    Raises
    ------
    DatabaseError
        With what the server says.
    """
    url = libpq_url(with_database(database.url, "postgres"))
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT_SECONDS, autocommit=True) as connection:
            yield connection
    except (errors.InsufficientPrivilege, errors.ObjectInUse, errors.DiskFull, psycopg.OperationalError) as error:
        raise DatabaseError(
            f"The database server refused ({str(error).strip().splitlines()[0]})",
            "Check the user's rights (CREATEDB, and for the role of the API CREATEROLE) and the server's disk space.",
        ) from error
