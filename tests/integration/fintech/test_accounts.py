"""`fintech users` and `fintech keys` on a real database."""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager

import pytest

from fintech.cli import run_command_line
from fintech.host import Host
from pipeline.base.settings import load_settings
from pipeline.store.audit import read_audit
from pipeline.store.engine import Database
from tests.integration.serving.accounts import PASSWORD, SECURED, address, bearer, log_in
from tests.integration.serving.running import local_settings, running_service


@pytest.fixture(autouse=True)
def environment(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("FINTECH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("fintech.accounts.prepared_host", _host(database))


def _host(database: Database):
    """The host without Dagster's own database, which takes seconds and has no part here."""

    @contextmanager
    def prepared(_: object):
        yield Host(load_settings(), database, {})

    return prepared


def fintech(capsys: pytest.CaptureFixture[str], *arguments: str, piped: str = "") -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fintech", *arguments])
        patch.setattr(sys, "stdin", io.StringIO(piped))
        code = run_command_line()
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_first_admin_logs_in(capsys: pytest.CaptureFixture[str], database: Database) -> None:
    made = fintech(capsys, "users", "add", address("ada"), "--role", "admin", "--password-stdin", piped=PASSWORD + "\n")
    assert made == (0, f"Made: {address('ada')}, admin.\n", "")
    with running_service("backend-api", local_settings(database.url, **SECURED)) as service:
        headers = bearer(log_in(service.client, "ada")["access_token"])
        assert service.client.get("/api/v1/users", headers=headers).json()["data"][0]["name"] == address("ada")
        code, said, _ = fintech(capsys, "keys", "add", address("ada"), "--name", "report", "--days", "1")
        key = said.splitlines()[-1]
        assert code == 0
        assert service.client.get("/api/v1/portfolios", headers=bearer(key)).status_code == 200
        assert service.client.get("/api/v1/audit", headers=bearer(key)).status_code == 403
    listed = fintech(capsys, "keys", "list")[1]
    assert "report" in listed
    assert key not in listed
    assert fintech(capsys, "keys", "revoke", key[:16])[0] == 0
    assert "revoked" in fintech(capsys, "keys", "list")[1]
    with database.connect() as connection:
        actions = [entry.action for entry in read_audit(connection, None, 10)]
    assert actions == ["key.revoke", "key.create", "login", "login.tried", "user.create"]


def test_users_are_changed(capsys: pytest.CaptureFixture[str], database: Database) -> None:
    for name, role in (("ada", "admin"), ("bob", "viewer")):
        code, said, _ = fintech(capsys, "users", "add", address(name), "--role", role, "--generate")
        assert code == 0
        assert len(said.splitlines()[-1]) == 24
    assert fintech(capsys, "users", "role", address("bob"), "analyst")[0] == 0
    assert fintech(capsys, "users", "disable", address("bob"))[0] == 0
    assert "disabled" in fintech(capsys, "users", "list")[1]
    assert fintech(capsys, "users", "enable", "BOB@example.com")[0] == 0
    assert fintech(capsys, "users", "password", address("bob"), "--password-stdin", piped=PASSWORD)[0] == 0
    code, _, error = fintech(capsys, "users", "disable", address("ada"))
    assert code == 1
    assert "No active admin would be left" in error


@pytest.mark.parametrize(
    ("arguments", "piped", "code", "told"),
    [
        (("users", "add", "nonsense"), "", 2, "'nonsense' is no address"),
        (("users", "add", "a@b.c", "--role", "king"), "", 2, "There is no role 'king'"),
        (("users", "add", "a@b.c", "--password-stdin"), "short\n", 1, "password: has 5 characters"),
        (("users", "disable", "a@b.c"), "", 1, "No user has the address 'a@b.c'"),
        (("keys", "add", "a@b.c", "--name", "k", "--scope", "all"), "", 2, "There is no scope 'all'"),
        (("keys", "revoke", "7"), "", 1, "There is no API key '7'"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], piped: str, code: int, told: str
) -> None:
    ended, _, error = fintech(capsys, *arguments, piped=piped)
    assert (ended, error.count("\n")) == (code, 1)
    assert told in error
