import socket
import threading

import psycopg
import pytest

from pipeline.base.errors import DatabaseError
from pipeline.store import engine
from pipeline.store.engine import Database, libpq_url, redacted, sqlalchemy_url, with_database


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://me:secret@127.0.0.1:{taken.getsockname()[1]}/fintech"
        with pytest.raises(DatabaseError, match="No Postgres answers at postgresql://me@127") as caught:
            Database(url).require_supported_server()
    assert "secret" not in str(caught.value)
    assert "DATABASE_URL" in caught.value.remedy


def test_an_older_server_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MINIMUM_SERVER_VERSION", 99)
    with pytest.raises(DatabaseError, match=r"Postgres 18 server, and 99 or newer is needed"):
        database.require_supported_server()


def test_a_server_of_version_17_is_refused_over_its_own_protocol() -> None:
    """A loopback server that speaks the start of Postgres's protocol, as 17.2."""
    with loopback_postgres(b"17.2") as port, pytest.raises(DatabaseError, match="Postgres 17 server, and 18"):
        Database(f"postgresql://me@127.0.0.1:{port}/fintech").require_supported_server()


class loopback_postgres:  # noqa: N801 - used as a context
    """Answers one start-up as a server of the given version, and commands with their bare completion."""

    def __init__(self, version: bytes) -> None:
        self._version = version
        self._listener = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> int:
        threading.Thread(target=self._serve, daemon=True).start()
        return self._listener.getsockname()[1]

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        with connection:
            # Eight bytes ask for SSL or GSS, which this server does not speak; a start-up message is longer.
            while len(connection.recv(4096)) == 8:
                connection.sendall(b"N")
            status = b"server_version\0" + self._version + b"\0"
            connection.sendall(b"R\0\0\0\x08\0\0\0\0" + b"S" + (len(status) + 4).to_bytes(4) + status)
            connection.sendall(b"S\0\0\0\x19client_encoding\0UTF8\0" + b"Z\0\0\0\x05I")
            while connection.recv(4096):
                connection.sendall(b"C\0\0\0\x0bCOMMIT\0" + b"Z\0\0\0\x05I")


def test_a_missing_database_is_made_once(server: str) -> None:
    made = Database(with_database(server, "made_on_demand"))
    made.ensure_exists()
    made.ensure_exists()
    with made.connect() as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("made_on_demand",)


def test_a_user_who_may_not_create_is_told(server: str) -> None:
    with psycopg.connect(libpq_url(server), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS powerless")
        connection.execute("CREATE ROLE powerless LOGIN PASSWORD 'x'")
    powerless = with_database(server, "not_there")
    separator = "&" if "?" in powerless else "?"
    with pytest.raises(DatabaseError, match="'not_there' does not exist and cannot be created"):
        Database(f"{powerless}{separator}user=powerless&password=x").ensure_exists()


def test_addresses() -> None:
    assert sqlalchemy_url("postgres://h/db", "psycopg2") == "postgresql+psycopg2://h/db"
    assert libpq_url("postgresql+psycopg2://h/db") == "postgresql://h/db"
    assert with_database("postgresql:///a?host=/s", "b") == "postgresql:///b?host=/s"
    assert redacted("postgresql://u:p@h:5/db") == "postgresql://u@h:5/db"
