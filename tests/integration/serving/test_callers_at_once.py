"""Callers who ask for the same at the same moment: each gets what they may have, whoever asked first."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from time import sleep

import httpx
import psycopg
import pytest

from pipeline.store.api_keys import create_key
from pipeline.store.engine import Database
from serving.auth.middleware import audience_of
from serving.auth.permissions import ROUTES
from serving.callers import Permission, of_role, restricted
from tests.integration.serving.accounts import ME, PORTFOLIOS, House, problem
from tests.integration.serving.running import wait_until

Headers = dict[str, str]
KEYS = "/api/v1/api-keys"


@contextmanager
def held(database: Database, table: str) -> Iterator[psycopg.Connection]:
    """Have whoever reads a table wait for the end."""
    with database.connect() as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield connection
        connection.rollback()


def is_waited_for(connection: psycopg.Connection) -> bool:
    row = connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    return row is not None and row[0] > 0


def both_at_once(
    client: httpx.Client, house: House, path: str, table: str, first: Headers, second: Headers
) -> tuple[httpx.Response, httpx.Response]:
    """The answers to two requests, the second of which comes while the first is being computed."""
    for headers in (first, second):  # known from here on: the table that is held may be that of credentials
        assert client.get(PORTFOLIOS, headers=headers).status_code == 200
    with ThreadPoolExecutor(2) as threads:
        with held(house.database, table) as connection:
            asked: list[Future[httpx.Response]] = [threads.submit(client.get, path, headers=first)]
            wait_until(lambda: is_waited_for(connection))
            asked.append(threads.submit(client.get, path, headers=second))
            sleep(0.3)
        return asked[0].result(), asked[1].result()


@pytest.mark.parametrize(
    ("path", "table", "permission"),
    [
        ("/api/v1/audit", "audit_entry", "audit"),
        ("/api/v1/users", "app_user", "users"),
        ("/api/v1/users/{user_id}", "app_user", "users"),
    ],
)
def test_an_operator_is_not_given_an_admins_answer(
    client: httpx.Client, house: House, tokens: dict[str, Headers], path: str, table: str, permission: str
) -> None:
    path = path.format(user_id=house.users["alice"])
    admins, operators = both_at_once(client, house, path, table, tokens["ada"], tokens["otto"])
    assert admins.status_code == 200, admins.text
    assert permission in str(problem(operators, 403)["detail"])


def test_a_key_that_reads_is_not_given_its_users_keys(
    client: httpx.Client, house: House, tokens: dict[str, Headers]
) -> None:
    with house.database.connect() as connection:
        _, key = create_key(connection, house.users["alice"], "k", ["read"], None)
    own, keys = both_at_once(client, house, KEYS, "api_key", tokens["alice"], {"X-API-Key": key})
    assert own.status_code == 200
    assert "scope 'keys'" in str(problem(keys, 403)["detail"])


def test_who_may_the_same_waits_for_one_answer(client: httpx.Client, house: House, tokens: dict[str, Headers]) -> None:
    path = f"{PORTFOLIOS}/alices/limits"
    first, second = both_at_once(client, house, path, "portfolio_limit", tokens["ada"], tokens["otto"])
    assert first.content == second.content
    assert second.headers["cache-status"] == "fintech; fwd=miss; collapsed"


def test_each_sees_who_they_are(client: httpx.Client, tokens: dict[str, Headers]) -> None:
    with ThreadPoolExecutor(8) as threads:
        asked = [(name, threads.submit(client.get, ME, headers=tokens[name])) for name in ["ada", "otto"] * 20]
        assert [answer.result().json()["name"].split("@")[0] for _, answer in asked] == [name for name, _ in asked]


def test_what_not_all_readers_may_read_has_one_reader() -> None:
    ada, otto = of_role("ada", "admin", 1), of_role("otto", "operator", 2)
    guarded = [path for (method, path), needed in ROUTES.items() if method == "GET" and needed is not Permission.READ]
    assert len(guarded) >= 4
    for path in guarded:
        asked = path.format(user_id=7, job_id=7)
        callers = [ada, otto, restricted(ada, frozenset({"read"}), 3)]
        assert len({audience_of(caller, asked) for caller in callers}) == 3, path
    for path in (PORTFOLIOS, "/api/v1/instruments"):
        assert audience_of(ada, path) == audience_of(otto, path)
    blind = [restricted(ada, frozenset({"audit"}), number) for number in (3, 4)]
    assert audience_of(blind[0], "/api/v1/instruments") != audience_of(blind[1], "/api/v1/instruments")
