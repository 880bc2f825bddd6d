"""The form, its cookie, and pages that show what is one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from pipeline.store.engine import Database
from tests.integration.serving.accounts import PASSWORD, SECURED, House, address, bearer, furnish, log_in
from tests.integration.serving.running import local_settings, running_service

HTML = {"Accept": "text/html,application/xhtml+xml"}
OWN_FORM = {"Sec-Fetch-Site": "same-origin"}
COOKIE = "__Host-fintech"


@pytest.fixture(scope="module")
def house(new_database: Callable[[], Database]) -> House:
    return furnish(new_database())


@pytest.fixture(scope="module")
def client(house: House) -> Iterator[httpx.Client]:
    with running_service("backend-api", local_settings(house.database.url, **SECURED)) as service:
        yield service.client


def send_form(client: httpx.Client, headers: dict[str, str] = OWN_FORM, **fields: str) -> httpx.Response:
    given = {"email": address("alice"), "password": PASSWORD, "next": "/portfolios/alices?years=1"} | fields
    return client.post("/login", data=given, headers=headers)


def session(client: httpx.Client, name: str) -> dict[str, str]:
    """The cookie of a login, which the client itself would not send over plain HTTP."""
    answer = send_form(client, email=address(name))
    assert answer.status_code == 303, answer.text
    value = answer.headers["set-cookie"].partition(";")[0].partition("=")[2]
    return {"Cookie": f"{COOKIE}={value}"}


def test_a_browser_is_sent_to_the_form_and_back(client: httpx.Client) -> None:
    answer = client.get("/portfolios/alices?years=1", headers=HTML)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=/portfolios/alices%3Fyears%3D1"
    form = client.get(answer.headers["location"])
    assert 'value="/portfolios/alices?years=1"' in form.text
    assert "<script" not in form.text
    assert send_form(client).headers["location"] == "/portfolios/alices?years=1"


def test_the_cookie_is_for_this_host_and_no_script(client: httpx.Client) -> None:
    flags = {part.strip().lower() for part in send_form(client).headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "secure", "samesite=lax", "path=/"} <= flags
    assert not any(flag.startswith("domain") for flag in flags)


def test_pages_show_ones_own_portfolios(client: httpx.Client) -> None:
    alice = session(client, "alice")
    overview = client.get("/", headers=alice | HTML).text
    assert "Alices" in overview
    assert "Bobs" not in overview
    assert address("alice") in overview
    assert client.get("/portfolios/alices", headers=alice | HTML).status_code == 200
    assert client.get("/portfolios/bobs", headers=alice | HTML).status_code == 404
    assert "Bobs" in client.get("/", headers=session(client, "otto") | HTML).text


def test_the_cookie_is_no_credential_of_the_api(client: httpx.Client) -> None:
    alice = session(client, "alice")
    assert client.get("/api/v1/portfolios", headers=alice).status_code == 401
    token = alice["Cookie"].partition("=")[2]
    assert client.get("/api/v1/portfolios", headers=bearer(token)).status_code == 401
    access = log_in(client, "alice")["access_token"]
    assert client.get("/quality", headers={"Cookie": f"{COOKIE}={access}"}).status_code == 401


def test_a_wrong_password_is_told_by_the_form(client: httpx.Client) -> None:
    answer = send_form(client, password="wrong password", email='"><script>@example.com')
    assert answer.status_code == 401
    assert "The address or the password is wrong." in answer.text
    assert "<script" not in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_forms_of_other_sites_are_refused(client: httpx.Client, headers: dict[str, str]) -> None:
    answer = send_form(client, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert client.post("/logout", headers=headers | session(client, "alice")).status_code == 403


def test_an_older_browser_sends_its_origin_alone(client: httpx.Client) -> None:
    host = client.base_url.netloc.decode()
    assert send_form(client, headers={"Origin": f"http://{host}"}).status_code == 303


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "", "/\r\nX: y", "a"])
def test_the_form_leads_nowhere_else(client: httpx.Client, target: str) -> None:
    assert send_form(client, next=target).headers["location"] == "/"


def test_a_logout_ends_the_login(house: House) -> None:
    with running_service("backend-api", local_settings(house.database.url, **SECURED)) as service:
        bob = session(service.client, "bob")
        answer = service.client.post("/logout", headers=OWN_FORM | bob)
        assert answer.status_code == 303
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert service.client.get("/quality", headers=bob | HTML).status_code == 303


def test_where_no_login_is_asked_there_is_no_form(house: House) -> None:
    with running_service("backend-api", local_settings(house.database.url)) as service:
        assert service.client.get("/login").headers["location"] == "/"
        assert "Log out" not in service.client.get("/").text
