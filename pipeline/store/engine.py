"""Connections. psycopg 3 for our own statements; SQLAlchemy only carries the schema for Alembic."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pipeline.base.errors import ConfigurationError, DatabaseError

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
            # None: libpq never reached a server, or lost it. Class 57P: the server is being stopped or started.
            if error.sqlstate is None or error.sqlstate.startswith("57P"):
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
            _require_supported(connection)

    def ensure_exists(self, fill: Callable[[str], None] | None = None) -> None:
        """Create the database if the server has none of that name.

        Parameters
        ----------
        fill
            Called with the address of a draft that gets the name once it is filled, so that a process which is
            killed meanwhile leaves no half-filled database of that name.

        Raises
        ------
        DatabaseError
            If no server answers, or the user may not create databases.
        """
        name = database_name(self.url)
        try:
            with self.connect():
                return
        except DatabaseError as error:
            if f'database "{name}" does not exist' not in error.cause:
                raise
        try:
            server = libpq_url(with_database(self.url, "postgres"))
            with psycopg.connect(server, connect_timeout=CONNECT_TIMEOUT_SECONDS, autocommit=True) as connection:
                _require_supported(connection)
                _create(connection, self.url, fill)
        except psycopg.Error as error:
            raise DatabaseError(
                f"The database {name!r} does not exist and cannot be created ({str(error).strip()})",
                f"Create it yourself (CREATE DATABASE {name}), or use a user who may.",
            ) from error


def _create(connection: psycopg.Connection, url: str, fill: Callable[[str], None] | None) -> None:
    name = database_name(url)
    # Processes that begin at the same time take turns; the server frees the lock with the connection.
    connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
    if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is not None:
        return
    draft = sql.Identifier(f"{name}_draft")
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(draft))
    connection.execute(sql.SQL("CREATE DATABASE {}").format(draft))
    if fill is not None:
        fill(with_database(url, f"{name}_draft"))
    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(draft, sql.Identifier(name)))


def _require_supported(connection: psycopg.Connection) -> None:
    major = connection.info.server_version // 10_000
    if major < MINIMUM_SERVER_VERSION:
        raise DatabaseError(
            f"DATABASE_URL names a Postgres {major} server, and {MINIMUM_SERVER_VERSION} or newer is needed",
            "Upgrade it, or unset DATABASE_URL to use the embedded server.",
        )


def unreachable(url: str, error: Exception) -> DatabaseError:
    """The one message for a server that does not answer; never shows the password."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return DatabaseError(
        f"No Postgres answers at {redacted(url)} ({reason})",
        "Start that server or correct DATABASE_URL; unset it to use the embedded server.",
    )


# Hand-written because `urllib` ends the credentials at a ``?`` or ``#``, which a password may hold. Specification:
# PostgreSQL documentation, "Connection URIs"; libpq's credentials reach to the first ``@`` before a ``/``.
_ADDRESS = re.compile(
    r"(?P<scheme>postgres(?:ql)?(?:\+\w+)?)://(?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@)?"
    r"(?P<hosts>[^@/?]*)(?:/(?P<name>[^@?]*))?(?:\?(?P<query>.*))?"
)
_SHOWN_PARAMETERS = frozenset({"host", "hostaddr", "port", "user", "dbname"})


def database_name(url: str) -> str:
    """The database that the address names; empty if it names none."""
    return str(conninfo_to_dict(libpq_url(url)).get("dbname", ""))


def libpq_url(url: str) -> str:
    """The address as libpq reads it, without a driver name such as ``+psycopg2``.

    Raises
    ------
    ConfigurationError
        If libpq cannot read it; the address is not shown, for its password may stand anywhere in it.
    """
    address = f"postgresql://{url.partition('://')[2]}"
    try:
        conninfo_to_dict(address)
    except psycopg.ProgrammingError:
        raise _unreadable() from None
    if _ADDRESS.fullmatch(url) is None:
        raise _unreadable()
    return address


def _unreadable() -> ConfigurationError:
    return ConfigurationError(
        "The address of the database (DATABASE_URL or DAGSTER_DATABASE_URL) cannot be read",
        "Write it as postgresql://user:password@host:port/name, special characters percent-encoded (@ is %40).",
        exit_code=2,
    )


def sqlalchemy_url(url: str, driver: str) -> str:
    """The address with an explicit driver: a bare ``postgresql://`` means psycopg 3 since SQLAlchemy 2.1."""
    return libpq_url(url).replace("postgresql://", f"postgresql+{driver}://", 1)


def with_database(url: str, name: str) -> str:
    """The same server, another database.

    Raises
    ------
    ConfigurationError
        If the address cannot be read.
    """
    parts = _ADDRESS.fullmatch(url)
    if parts is None:
        raise _unreadable()
    server = url[: parts.end("hosts")]
    kept = [parameter for parameter in _parameters(parts) if not parameter.startswith("dbname=")]
    return f"{server}/{quote(name, safe='')}" + (f"?{'&'.join(kept)}" if kept else "")


def with_tls(url: str, mode: str | None, root_certificate: Path | None) -> str:
    """The address with what it does not say itself of TLS.

    Parameters
    ----------
    mode
        libpq's ``sslmode``; None leaves its default.
    root_certificate
        File of the authority that signed the server's certificate; ``system`` takes those of the machine.

    Raises
    ------
    ConfigurationError
        If the address cannot be read, or the file does not exist.
    """
    parts = _ADDRESS.fullmatch(url)
    if parts is None:
        raise _unreadable()
    said = {parameter.partition("=")[0] for parameter in _parameters(parts)}
    added = []
    if mode is not None and "sslmode" not in said:
        added.append(f"sslmode={mode}")
    if root_certificate is not None and "sslrootcert" not in said:
        if str(root_certificate) != "system" and not root_certificate.is_file():
            raise ConfigurationError(
                f"DATABASE_SSLROOTCERT={root_certificate} is no file",
                "Name the file with the certificate of the authority, or system.",
                exit_code=2,
            )
        added.append(f"sslrootcert={quote(str(root_certificate), safe='')}")
    if not added:
        return url
    return url + ("&" if parts["query"] else "" if parts["query"] is not None else "?") + "&".join(added)


def redacted(url: str) -> str:
    """The address without anything secret, for messages."""
    parts = _ADDRESS.fullmatch(url)
    if parts is None:
        return "an address that cannot be read"
    user = f"{parts['user']}@" if parts["user"] else ""
    name = f"/{parts['name']}" if parts["name"] is not None else ""
    shown = [parameter for parameter in _parameters(parts) if parameter.partition("=")[0] in _SHOWN_PARAMETERS]
    return f"postgresql://{user}{parts['hosts']}{name}" + (f"?{'&'.join(shown)}" if shown else "")


def _parameters(parts: re.Match[str]) -> list[str]:
    return parts["query"].split("&") if parts["query"] else []
