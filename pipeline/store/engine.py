"""Connections. psycopg 3 for our own statements; SQLAlchemy only carries the schema for Alembic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from pipeline.base.errors import DatabaseError

MINIMUM_SERVER_VERSION = 18
"""``MERGE … RETURNING old`` is how a write reports revisions (ADR 0003)."""

CONNECT_TIMEOUT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Database:
    """One application database.

    Parameters
    ----------
    url
        libpq address, ``postgresql://user:password@host:port/name`` or with ``?host=/socket/folder``.
    """

    url: str

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection]:
        """A connection in one transaction: committed at the end, rolled back on any exception.

        Raises
        ------
        DatabaseError
            If no server answers, or the server has no room left.
        """
        try:
            with psycopg.connect(libpq_url(self.url), connect_timeout=CONNECT_TIMEOUT_SECONDS) as connection:
                yield connection
        except psycopg.errors.DiskFull as error:
            raise DatabaseError(
                "The database server has no disk space left",
                "Free some space and run again; nothing was half-written.",
            ) from error
        except psycopg.OperationalError as error:
            if error.sqlstate is None:  # libpq never reached a server, or lost it
                raise unreachable(self.url, error) from error
            raise

    def require_supported_server(self) -> None:
        """Refuse a server that is out of reach or older than `MINIMUM_SERVER_VERSION`.

        Raises
        ------
        DatabaseError
            With what was found.
        """
        with self.connect() as connection:
            major = connection.info.server_version // 10_000
        if major < MINIMUM_SERVER_VERSION:
            raise DatabaseError(
                f"DATABASE_URL names a Postgres {major} server, and {MINIMUM_SERVER_VERSION} or newer is needed",
                "Upgrade it, or unset DATABASE_URL to use the embedded server.",
            )

    def ensure_exists(self) -> None:
        """Create the database if the server has none of that name.

        Raises
        ------
        DatabaseError
            If no server answers, or the user may not create databases.
        """
        name = urlsplit(self.url).path.lstrip("/")
        try:
            with self.connect():
                return
        except DatabaseError as error:
            if f'database "{name}" does not exist' not in error.cause:
                raise
        try:
            with psycopg.connect(libpq_url(with_database(self.url, "postgres")), autocommit=True) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except psycopg.errors.DuplicateDatabase:  # another process was faster
            return
        except psycopg.Error as error:
            raise DatabaseError(
                f"The database {name!r} does not exist and cannot be created ({str(error).strip()})",
                f"Create it yourself (CREATE DATABASE {name}), or use a user who may.",
            ) from error


def unreachable(url: str, error: Exception) -> DatabaseError:
    """The one message for a server that does not answer; never shows the password."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return DatabaseError(
        f"No Postgres answers at {redacted(url)} ({reason})",
        "Start that server or correct DATABASE_URL; unset it to use the embedded server.",
    )


def libpq_url(url: str) -> str:
    """The address as libpq reads it, without a driver name such as ``+psycopg2``."""
    return f"postgresql://{url.partition('://')[2]}"


def sqlalchemy_url(url: str, driver: str) -> str:
    """The address with an explicit driver: a bare ``postgresql://`` means psycopg 3 since SQLAlchemy 2.1."""
    return libpq_url(url).replace("postgresql://", f"postgresql+{driver}://", 1)


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    parts = urlsplit(url)
    # urlunsplit drops an empty network location, which socket addresses have: keep the two slashes.
    return f"{parts.scheme}://{parts.netloc}/{quote(name)}" + (f"?{parts.query}" if parts.query else "")


def redacted(url: str) -> str:
    """The address without its password, for messages."""
    parts = urlsplit(libpq_url(url))
    credentials, at, host = parts.netloc.rpartition("@")
    user = credentials.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{user}{at}{host}")) if at else libpq_url(url)
