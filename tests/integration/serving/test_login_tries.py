"""Tries of a password: counted before they are compared, however many come at once, and wherever one is typed."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import psycopg
import pytest

from pipeline.store import audit
from pipeline.store.audit import Actor
from pipeline.store.engine import Database
from serving.auth import logins
from serving.auth.logins import FAILURE_WINDOW, FAILURES_OF_ACCOUNT, FAILURES_OF_CLIENT
from tests.integration.serving.accounts import PASSWORD, SECURED, House, address, bearer, log_in, problem
from tests.integration.serving.running import Serve

LOGIN = "/api/v1/auth/login"
OWN_PASSWORD = "/api/v1/users/me/password"
NEW_PASSWORD = "another fine password"


def guess(client: httpx.Client, password: str = "wrong password", **headers: str) -> httpx.Response:
    return client.post(LOGIN, json={"email": address("alice"), "password": password}, headers=headers)


def actions(database: Database) -> Counter[str]:
    with database.connect() as connection:
        return Counter(row[0] for row in connection.execute("SELECT action FROM audit_entry"))


# Logins ----------------------------------------------------------------------------------------------------


def test_guesses_at_once_get_no_further_than_in_a_row(own_house: House, serve: Serve) -> None:
    """Also if they come to different processes."""
    clients = [serve(own_house.database.url, **SECURED).client for _ in range(2)]
    with ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(lambda number: guess(clients[number % 2], f"guess number {number}"), range(40)))
    found = Counter(answer.status_code for answer in answers)
    assert found.keys() <= {401, 429, 503}, found  # 503: a busy machine, on which none of them waits long for Postgres
    assert 0 < found[401] <= FAILURES_OF_CLIENT
    assert found[429] > 0
    noted = actions(own_house.database)
    assert noted["login.failed"] <= noted["login.tried"] <= FAILURES_OF_CLIENT


def test_a_try_under_way_counts(own_house: House, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is between five that are compared and the sixth."""
    client = serve(own_house.database.url, **SECURED).client
    statuses: list[int] = []

    def compare(password: str, known: str | None) -> bool:
        number = int(password[-1])
        if number < FAILURES_OF_CLIENT + 1:
            statuses.append(guess(client, f"number {number + 1}").status_code)
        return False

    monkeypatch.setattr(logins, "is_right", compare)
    assert guess(client, "number 1").status_code == 401
    assert statuses == [429, 401, 401, 401, 401]  # the innermost is answered first


def test_a_password_is_compared_without_a_connection(
    own_house: House, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(own_house.database.url, **SECURED).client
    held: list[int] = []

    def compare(password: str, known: str | None) -> bool:
        with psycopg.connect(own_house.database.url) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'fintech-serving' AND state <> 'idle'"
            ).fetchone()
        assert row is not None
        held.append(int(row[0]))
        return False

    monkeypatch.setattr(logins, "is_right", compare)
    assert guess(client).status_code == 401
    assert held == [0]


def test_a_login_takes_back_what_was_counted(own_house: House, serve: Serve) -> None:
    client = serve(own_house.database.url, **SECURED).client
    for _ in range(2):
        for _ in range(FAILURES_OF_CLIENT - 1):
            assert guess(client).status_code == 401
        log_in(client, "alice")
    for _ in range(FAILURES_OF_CLIENT):  # nor do logins count themselves
        log_in(client, "alice")


def test_the_name_of_a_request_is_the_callers_and_proves_nothing(own_house: House, serve: Serve) -> None:
    client = serve(own_house.database.url, **SECURED).client
    assert guess(client, PASSWORD, **{"X-Request-ID": "a-login"}).status_code == 200
    for _ in range(FAILURES_OF_CLIENT):
        assert guess(client, **{"X-Request-ID": "a-login"}).status_code == 401
    assert guess(client, **{"X-Request-ID": "a-login"}).status_code == 429


def test_many_addresses_together_are_stopped(database: Database) -> None:
    def counted(client: str) -> tuple[int, int]:
        return audit.count_tries(connection, "a@example.com", client, FAILURE_WINDOW)

    with database.connect() as connection:
        for number in range(FAILURES_OF_ACCOUNT):
            other = Actor("nobody", client=f"192.0.2.{number}")
            tried = audit.record(connection, other, audit.LOGIN_TRIED, "a@example.com")
            if number % 5 == 0:
                audit.record(connection, other, audit.LOGIN_FAILED, "a@example.com", {"tried": tried})
            elif number % 5 == 1:
                audit.record(connection, other, audit.LOGIN, "a@example.com", {"tried": tried})
        assert counted("192.0.2.0") == (1, FAILURES_OF_ACCOUNT * 4 // 5)
        assert counted("192.0.2.1") == (0, FAILURES_OF_ACCOUNT * 4 // 5)
        assert audit.count_tries(connection, "b@example.com", "192.0.2.0", FAILURE_WINDOW) == (0, 0)
        assert audit.count_tries(connection, "a@example.com", "192.0.2.0", timedelta(0)) == (0, 0)


# One's own password ----------------------------------------------------------------------------------------


def test_guesses_at_ones_own_password_are_counted_and_noted(own_house: House, serve: Serve) -> None:
    client = serve(own_house.database.url, **SECURED).client
    alice = bearer(log_in(client, "alice")["access_token"])
    change = {"current_password": "wrong password", "new_password": NEW_PASSWORD}
    for _ in range(FAILURES_OF_CLIENT):
        assert "current_password" in str(problem(client.put(OWN_PASSWORD, json=change, headers=alice), 422)["detail"])
    refused = client.put(OWN_PASSWORD, json=change | {"current_password": PASSWORD}, headers=alice)
    problem(refused, 429)
    assert int(refused.headers["retry-after"]) > 0
    problem(guess(client, PASSWORD), 429)
    ada = bearer(log_in(client, "ada")["access_token"])
    entries = client.get("/api/v1/audit", headers=ada).json()["data"]
    failed = [entry for entry in entries if entry["action"] == "login.failed"]
    assert [entry["actor"] for entry in failed] == [address("alice")] * FAILURES_OF_CLIENT
    assert "wrong password" not in str(entries)


def test_a_new_password_that_will_not_do_is_no_guess(own_house: House, serve: Serve) -> None:
    client = serve(own_house.database.url, **SECURED).client
    alice = bearer(log_in(client, "alice")["access_token"])
    change = {"current_password": PASSWORD, "new_password": "short"}
    for _ in range(FAILURES_OF_CLIENT + 1):
        assert "5 characters" in str(problem(client.put(OWN_PASSWORD, json=change, headers=alice), 422)["detail"])
    assert client.put(OWN_PASSWORD, json=change | {"new_password": NEW_PASSWORD}, headers=alice).status_code == 204
    log_in(client, "alice", NEW_PASSWORD)
