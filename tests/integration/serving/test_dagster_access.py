"""Whom the edge may let through to Dagster's webserver: it asks the gateway before every request."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from pipeline.store.engine import Database
from tests.integration.serving.accounts import PASSWORD, SECURED, House, address, bearer, furnish, log_in, problem
from tests.integration.serving.running import local_settings, running_service

ACCESS = "/dagster-access"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
READS = {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/dagster/runs"}
WRITES = {"X-Forwarded-Method": "POST", "X-Forwarded-Uri": "/dagster/graphql"}


@pytest.fixture(scope="module")
def house(new_database: Callable[[], Database]) -> House:
    return furnish(new_database())


@pytest.fixture(scope="module")
def client(house: House) -> Iterator[httpx.Client]:
    limited = {**SECURED, "rate_limit": "40/15 minutes"}
    with running_service("backend-api", local_settings(house.database.url, **limited)) as service:
        yield service.client


@pytest.fixture(scope="module")
def otto(client: httpx.Client) -> dict[str, str]:
    """The cookie of an operator's login by the form."""
    form = {"email": address("otto"), "password": PASSWORD}
    return {"Cookie": client.post("/login", data=form, headers=OWN_PAGE).headers["set-cookie"].partition(";")[0]}


def test_nobody_is_let_through_without_a_login(client: httpx.Client) -> None:
    problem(client.get(ACCESS, headers=READS), 401)
    sent_on = client.get(ACCESS, headers=READS | {"Accept": "text/html"})
    assert (sent_on.status_code, sent_on.headers["location"]) == (303, "/login?next=/dagster-access")


@pytest.mark.parametrize(("name", "status"), [("vera", 403), ("alice", 403), ("otto", 204), ("ada", 204)])
def test_operators_and_admins_are_let_through(client: httpx.Client, name: str, status: int) -> None:
    token = bearer(log_in(client, name)["access_token"])
    answer = client.get(ACCESS, headers=token | WRITES)
    assert answer.status_code == status
    assert answer.content == b"" or "'instruments'" in answer.json()["detail"]


def test_a_browser_that_comes_from_the_login_page_is_sent_on(client: httpx.Client, otto: dict[str, str]) -> None:
    answer = client.get(ACCESS, headers=otto)
    assert (answer.status_code, answer.headers["location"]) == (303, "/dagster/")


@pytest.mark.parametrize(
    ("asked", "page", "status"),
    [
        (READS, {}, 204),
        (READS, {"Sec-Fetch-Site": "cross-site"}, 204),  # a link on another page leads here
        (READS, {"Origin": "https://example.com"}, 403),  # a web socket of another page
        (WRITES, {}, 403),
        (WRITES, {"Sec-Fetch-Site": "cross-site"}, 403),
        (WRITES, OWN_PAGE, 204),
    ],
)
def test_a_cookie_writes_only_from_a_page_of_this_host(
    client: httpx.Client, otto: dict[str, str], asked: dict[str, str], page: dict[str, str], status: int
) -> None:
    assert client.get(ACCESS, headers=otto | asked | page).status_code == status


def test_asking_does_not_use_up_what_a_user_may_send(client: httpx.Client, otto: dict[str, str]) -> None:
    """One page of Dagster's sends dozens of requests."""
    for _ in range(60):
        assert client.get(ACCESS, headers=otto | READS).status_code == 204
