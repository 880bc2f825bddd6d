import pytest

from fintech.supervisor import child_environment


def test_children_listen_on_loopback_whatever_the_shell_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "0.0.0.0")
    monkeypatch.setenv("PORT", "3000")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    environment = child_environment({"DATABASE_URL": "postgresql:///fintech"})
    assert (environment["HOST"], environment["PORT"]) == ("127.0.0.1", "")
    assert (environment["LOG_LEVEL"], environment["DATABASE_URL"]) == ("debug", "postgresql:///fintech")
