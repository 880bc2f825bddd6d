"""Addresses of databases: read as libpq reads them, moved to another database, and shown without secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from pipeline.base.errors import ConfigurationError
from pipeline.store.engine import Database, libpq_url, redacted, sqlalchemy_url, unreachable, with_database
from tests.unit.properties import PROPERTY

SECRET = "hunter2"
ADDRESSES = [
    "postgresql://h/db",
    "postgresql://u@h/db",
    "postgresql://u:hunter2@h:5433/db",
    "postgresql://:hunter2@h/db",
    "postgresql://u:hunter2@[::1]:5433/db",
    "postgresql://u:hunter2@a:1,b:2/db?target_session_attrs=any",
    "postgresql:///db?host=/run/pg",
    "postgresql://u:hunter2@/db?host=/run/pg&port=5433",
    "postgresql://u@%2Frun%2Fpg/db",
    "postgresql://h/db?user=u&password=hunter2",
    "postgresql://h/db?pass%77ord=hunter2",
    "postgresql://h/db?sslpassword=hunter2&sslmode=require",
    "postgresql://u:hunter2#x@h/db",
    "postgresql://u:hunter2?x@h/db",
    "postgresql://u:hunter2[x@h/db",
    "postgresql://u:hunter2:x@h/db",
    "postgresql://u:%40hunter2%2F@h/db",
    "postgresql://u:hunter2@h",
    "postgresql://",
]
EACH = pytest.mark.parametrize("url", ADDRESSES)
UNREADABLE = [
    "postgresql://u:100%hunter2@h/db",
    "postgresql://u:hun@ter2@h/db",
    "postgresql://u:hun/ter2@h/db",
    "postgresql://u:12/hunter2@h/db",
    "postgresql://u:hun ter2@h/db",
    "postgresql://h/db?unknown=hunter2",
    "host=h dbname=db password=hunter2",
    "mysql://u:hunter2@h/db",
    "hunter2",
    "",
]


def parameters(url: str) -> dict[str, object]:
    return conninfo_to_dict(libpq_url(url))


@EACH
@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2", "postgresql+psycopg"])
def test_a_driver_name_is_not_libpqs(url: str, scheme: str) -> None:
    assert libpq_url(url.replace("postgresql", scheme, 1)) == url


@pytest.mark.parametrize("url", [url for url in ADDRESSES if "," not in url])  # one host
def test_sqlalchemy_gets_an_explicit_driver_and_the_same_parameters(url: str) -> None:
    read = make_url(sqlalchemy_url(url, "psycopg2"))
    assert read.drivername == "postgresql+psycopg2"
    assert read.password == parameters(url).get("password") or "?" in url
    assert read.database == parameters(url).get("dbname")
    assert sqlalchemy_url(sqlalchemy_url(url, "psycopg2"), "psycopg") == sqlalchemy_url(url, "psycopg")


@EACH
@pytest.mark.parametrize("name", ["other", "my db", "a/b", "50%", "what?", "a@b", "naïve"])
def test_another_database_is_on_the_same_server(url: str, name: str) -> None:
    moved = parameters(with_database(url, name))
    assert moved.pop("dbname") == name
    before = parameters(url)
    before.pop("dbname", None)
    assert moved == before


def test_a_database_named_among_the_parameters_gives_way() -> None:
    moved = with_database("postgresql://h?dbname=old&sslmode=require", "new")
    assert moved == "postgresql://h/new?sslmode=require"


def test_another_database_keeps_the_driver() -> None:
    assert with_database("postgresql+psycopg2://h/db", "new") == "postgresql+psycopg2://h/new"


# Secrets ---------------------------------------------------------------------------------------------------


@EACH
def test_what_is_shown_names_server_and_user_without_the_password(url: str) -> None:
    shown = parameters(redacted(url))
    assert SECRET not in redacted(url)
    for name in ("host", "port", "user", "dbname"):
        assert shown.get(name) == parameters(url).get(name)
    assert redacted(redacted(url)) == redacted(url)


@pytest.mark.parametrize("url", UNREADABLE)
def test_an_address_that_cannot_be_read_is_refused_and_not_shown(url: str) -> None:
    for refused in (
        lambda: libpq_url(url),
        lambda: sqlalchemy_url(url, "psycopg"),
        lambda: Database(url).require_supported_server(),
        lambda: Database(url).ensure_exists(),
    ):
        with pytest.raises(ConfigurationError, match="cannot be read") as caught:
            refused()
        assert SECRET not in str(caught.value)
        assert "ter2" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.exit_code == 2
    assert SECRET not in redacted(url)


PASSWORD = st.text(st.characters(codec="utf-8", exclude_characters="@/% \t\n\v\f\r\0"), min_size=1)
"""As libpq takes them without percent-encoding."""


@PROPERTY
@given(PASSWORD)
def test_no_password_changes_what_is_shown(password: str) -> None:
    url = f"postgresql://u:{password}@h:1/db"
    assert redacted(url) == "postgresql://u@h:1/db"
    assert parameters(with_database(url, "new")) == parameters(url) | {"dbname": "new"}


@pytest.mark.parametrize(
    ("reason", "shown"),
    [("refused\nIs the server running?", "(refused)"), ("", "(OSError)"), ("  late  ", "(late)")],
)
def test_a_server_out_of_reach_is_told_in_one_line(reason: str, shown: str) -> None:
    error = unreachable("postgresql://u:hunter2@h/db", OSError(reason))
    assert error.cause == f"No Postgres answers at postgresql://u@h/db {shown}"
    assert "\n" not in str(error)
