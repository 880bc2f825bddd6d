"""TLS to a real server by the settings, with an authority that the test made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from pipeline.base.errors import ConfigurationError, DatabaseError
from pipeline.orchestration.resources import DatabaseResource
from pipeline.store.engine import Database, libpq_url, sqlalchemy_url, with_tls
from tests.integration.fintech.loopback_postgres import old_postgres
from tests.integration.serving.running import local_settings, running_service
from tests.integration.store.tls_front import Authority, make_authority, tls_front

HOST = "localhost"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls") / "right", HOST)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls") / "other", HOST)


@pytest.fixture(scope="module")
def front(new_database: Callable[[], Database], authority: Authority) -> Iterator[str]:
    """Address of a migrated database that is reached by TLS alone, under the name of its certificate."""
    parts = urlsplit(new_database().url)
    (folder,) = parse_qs(parts.query)["host"]
    (socket_file,) = Path(folder).glob(".s.PGSQL.*[0-9]")
    with tls_front(socket_file, authority) as port:
        yield f"postgresql://{parts.username}@{HOST}:{port}{parts.path}"


def test_the_right_authority_and_host_are_let_through(front: str, authority: Authority) -> None:
    with Database(with_tls(front, "verify-full", authority.root)).connect() as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.execute("SELECT count(*) FROM portfolio").fetchone() == (0,)


def test_another_authority_is_refused(front: str, other: Authority) -> None:
    for mode in ("verify-ca", "verify-full"):
        with (
            pytest.raises(DatabaseError, match="certificate verify failed"),
            Database(with_tls(front, mode, other.root)).connect(),
        ):
            pass


def test_another_host_is_refused(front: str, authority: Authority) -> None:
    elsewhere = front.replace(f"@{HOST}:", "@127.0.0.1:")
    with (
        pytest.raises(DatabaseError, match="does not match host name"),
        Database(with_tls(elsewhere, "verify-full", authority.root)).connect(),
    ):
        pass
    with Database(with_tls(elsewhere, "verify-ca", authority.root)).connect() as connection:
        assert connection.pgconn.ssl_in_use


def test_a_server_without_tls_is_refused_where_it_is_asked_for() -> None:
    with old_postgres("18.0") as (port, received):
        for mode, root in (("require", None), ("verify-full", Path("system"))):
            with (
                pytest.raises(DatabaseError, match="server does not support SSL"),
                Database(with_tls(f"postgresql://u@127.0.0.1:{port}/d", mode, root)).connect(),
            ):
                pass
        assert received == []


def test_the_services_and_dagster_use_it(
    front: str, authority: Authority, other: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    secured: dict[str, object] = {"database_sslmode": "verify-full", "database_sslrootcert": authority.root}
    with running_service("backend-api", local_settings(front, **secured)) as service:
        assert service.client.get("/health/ready").status_code == 200
        assert service.client.get("/api/v1/portfolios").json()["data"] == []
    with running_service("backend-api", local_settings(front, **secured | {"database_sslrootcert": other.root})) as bad:
        assert bad.client.get("/api/v1/portfolios").status_code == 503
    for driver in ("psycopg", "psycopg2"):  # Dagster's storage takes the latter
        engine = create_engine(
            sqlalchemy_url(with_tls(front, "verify-full", authority.root), driver), poolclass=NullPool
        )
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
    monkeypatch.setenv("DATABASE_SSLMODE", "verify-full")
    monkeypatch.setenv("DATABASE_SSLROOTCERT", str(authority.root))
    with DatabaseResource(url=front).database.connect() as found:
        assert found.pgconn.ssl_in_use


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://h/d", "postgresql://h/d?sslmode=verify-full&sslrootcert=system"),
        ("postgresql://h/d?", "postgresql://h/d?sslmode=verify-full&sslrootcert=system"),
        ("postgresql://u:p?w@h/d", "postgresql://u:p?w@h/d?sslmode=verify-full&sslrootcert=system"),
        (
            "postgresql://h/d?connect_timeout=1",
            "postgresql://h/d?connect_timeout=1&sslmode=verify-full&sslrootcert=system",
        ),
        ("postgresql://h/d?sslmode=disable", "postgresql://h/d?sslmode=disable&sslrootcert=system"),
        ("postgresql://h/d?sslmode=require&sslrootcert=a", "postgresql://h/d?sslmode=require&sslrootcert=a"),
    ],
)
def test_what_the_address_says_itself_counts(url: str, expected: str) -> None:
    assert with_tls(url, "verify-full", Path("system")) == expected
    psycopg.conninfo.conninfo_to_dict(libpq_url(expected))
    assert with_tls(url, None, None) == url


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"DATABASE_SSLROOTCERT=/nowhere/ca\.pem is no file"):
        with_tls("postgresql://h/d", "verify-full", Path("/nowhere/ca.pem"))
