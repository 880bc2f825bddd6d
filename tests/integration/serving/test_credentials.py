"""Credentials: logins, tokens and API keys, those that are somebody's and those that are forged."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable

import httpx
import jwt
import pytest

from pipeline.store.api_keys import create_key
from serving.auth import memo
from tests.integration.serving.accounts import (
    JWT_SECRET,
    ME,
    PASSWORD,
    PORTFOLIOS,
    SECURED,
    SERVICE_KEY,
    House,
    address,
    bearer,
    log_in,
    problem,
)
from tests.integration.serving.running import Serve, wait_until

# Logins and tokens ----------------------------------------------------------------------------------------


def test_a_user_logs_in_and_sees_who_they_are(client: httpx.Client) -> None:
    answer = client.post("/api/v1/auth/login", json={"email": " ALICE@example.com ", "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    given = answer.json()
    assert (given["token_type"], given["expires_in"]) == ("Bearer", 900)
    me = client.get(ME, headers=bearer(given["access_token"])).json()
    assert (me["name"], me["role"]) == (address("alice"), "analyst")
    assert me["permissions"] == ["compute", "keys", "portfolios", "read"]


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong password"), ("nobody", PASSWORD), ("alice", "")])
def test_a_wrong_login_is_told_nothing(client: httpx.Client, name: str, password: str) -> None:
    answer = client.post("/api/v1/auth/login", json={"email": address(name), "password": password})
    assert problem(answer, 401)["detail"] == "The address or the password is wrong."


def unsigned(claims: dict[str, object], header: dict[str, str], secret: bytes = b"") -> str:
    """A token made by hand, as no library would."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.new(secret, b".".join(parts), hashlib.sha256).digest() if secret else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def claims_of(client: httpx.Client, name: str = "ada") -> dict[str, object]:
    token = log_in(client, name)["access_token"]
    found: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return found


FORGERIES: dict[str, Callable[[dict[str, object]], str]] = {
    "alg none": lambda c: unsigned(c, {"alg": "none", "typ": "JWT"}),
    "alg None": lambda c: unsigned(c, {"alg": "None", "typ": "JWT"}),
    "RS256 signed by HMAC": lambda c: unsigned(c, {"alg": "RS256"}, JWT_SECRET.encode()),
    "HS512": lambda c: jwt.encode(c, "j" * 64, algorithm="HS512"),
    "another key": lambda c: jwt.encode(c, "x" * 32, algorithm="HS256"),
    "no signature": lambda c: jwt.encode(c, JWT_SECRET, algorithm="HS256").rpartition(".")[0] + ".",
    "over": lambda c: jwt.encode({**c, "exp": int(time.time()) - 60}, JWT_SECRET, algorithm="HS256"),
    "of the future": lambda c: jwt.encode({**c, "iat": int(time.time()) + 600}, JWT_SECRET, algorithm="HS256"),
    **{
        f"without {name}": lambda c, name=name: jwt.encode(
            {k: v for k, v in c.items() if k != name}, JWT_SECRET, algorithm="HS256"
        )
        for name in ("exp", "iat", "iss", "aud", "sub", "role", "jti", "sid")
    },
    "another issuer": lambda c: jwt.encode({**c, "iss": "other"}, JWT_SECRET, algorithm="HS256"),
    "of the pages": lambda c: jwt.encode({**c, "aud": "fintech-pages"}, JWT_SECRET, algorithm="HS256"),
    "of services": lambda c: jwt.encode({**c, "aud": "fintech-services"}, JWT_SECRET, algorithm="HS256"),
    "another user in it": lambda c: jwt.encode({**c, "sub": "1"}, JWT_SECRET, algorithm="HS256"),
    "no number in it": lambda c: jwt.encode({**c, "sub": "1; DROP"}, JWT_SECRET, algorithm="HS256"),
    "another login": lambda c: jwt.encode({**c, "sid": "0" * 32}, JWT_SECRET, algorithm="HS256"),
    "no JSON": lambda _: "a.b.c",
    "very long": lambda _: "a" * 20_000,
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_token_is_refused(house: House, serve: Serve, forgery: str) -> None:
    client = serve(house.database.url, **SECURED).client
    claims = claims_of(client)
    assert client.get(ME, headers=bearer(jwt.encode(claims, JWT_SECRET, algorithm="HS256"))).status_code == 200
    problem(client.get(ME, headers=bearer(FORGERIES[forgery](claims))), 401)


def test_a_role_in_a_token_gives_nothing(client: httpx.Client) -> None:
    """The role of now counts, which the database has."""
    raised = jwt.encode({**claims_of(client, "vera"), "role": "admin"}, JWT_SECRET, algorithm="HS256")
    assert client.get(ME, headers=bearer(raised)).json()["role"] == "viewer"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Basic YTpi")],
        [("Authorization", "Bearer")],
        [("X-API-Key", "ftk_000000000000_" + "a" * 43)],
        [("X-API-Key", "é".encode("latin-1"))],
        [("X-Service-Token", "wrong")],
        [("X-Service-Token", "")],
        [("X-Service-Token", SERVICE_KEY), ("X-Service-Token", SERVICE_KEY)],
        [("X-Service-Token", SERVICE_KEY), ("X-API-Key", "a")],
        [("Cookie", "__Host-fintech=abc")],
    ],
)
def test_no_or_bad_credentials_are_refused(client: httpx.Client, headers: list[tuple[str, str]]) -> None:
    problem(client.get("/api/v1/instruments", headers=headers), 401)
    problem(client.get("/%61pi/v1/instruments", headers=headers), 401)


def test_a_refresh_token_buys_one_login(client: httpx.Client) -> None:
    first = log_in(client, "alice")
    second = client.post("/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]}).json()
    assert client.get(ME, headers=bearer(second["access_token"])).status_code == 200
    stolen = client.post("/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})
    problem(stolen, 401)
    # Whoever used it first or second: nobody has the login any more.
    problem(client.post("/api/v1/auth/refresh", json={"refresh_token": second["refresh_token"]}), 401)


def test_a_logout_ends_the_login(house: House, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "MEMO_SECONDS", 0.2)
    monkeypatch.setattr(memo.Memo.__init__, "__defaults__", (0.2, 100))
    client = serve(house.database.url, **SECURED).client
    given = log_in(client, "bob")
    assert client.get(ME, headers=bearer(given["access_token"])).status_code == 200
    assert client.post("/api/v1/auth/logout", json={"refresh_token": given["refresh_token"]}).status_code == 204
    wait_until(lambda: client.get(ME, headers=bearer(given["access_token"])).status_code == 401, seconds=2)
    problem(client.post("/api/v1/auth/refresh", json={"refresh_token": given["refresh_token"]}), 401)


def test_logins_are_throttled_by_account(own_house: House, serve: Serve) -> None:
    client = serve(own_house.database.url, **SECURED).client
    wrong = {"email": address("alice"), "password": "wrong password"}
    for _ in range(5):
        problem(client.post("/api/v1/auth/login", json=wrong), 401)
    answer = client.post("/api/v1/auth/login", json={**wrong, "password": PASSWORD})
    problem(answer, 429)
    assert int(answer.headers["retry-after"]) > 0
    log_in(client, "bob")  # others are let in


def test_an_unknown_address_takes_as_long_as_a_wrong_password(house: House, serve: Serve) -> None:
    client = serve(house.database.url, **SECURED).client

    def seconds(email: str) -> float:
        start = time.perf_counter()
        client.post("/api/v1/auth/login", json={"email": email, "password": "wrong password"})
        return time.perf_counter() - start

    seconds("warm@example.com")
    known = min(seconds(address("otto")) for _ in range(3))
    unknown = min(seconds(f"nobody{number}@example.com") for number in range(3))
    assert unknown > known / 2


# API keys -----------------------------------------------------------------------------------------------


def test_a_key_does_what_its_scopes_say_until_it_is_revoked(
    own_house: House, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memo.Memo.__init__, "__defaults__", (0.2, 100))
    client = serve(own_house.database.url, **SECURED).client
    alice = bearer(log_in(client, "alice")["access_token"])
    made = client.post("/api/v1/api-keys", json={"name": "report", "scopes": ["read"]}, headers=alice)
    assert made.status_code == 201
    key = made.json()["key"]
    assert key.startswith(f"ftk_{made.json()['prefix']}_")
    for headers in (bearer(key), {"X-API-Key": key}):
        slugs = [found["slug"] for found in client.get(PORTFOLIOS, headers=headers).json()["data"]]
        assert slugs == ["alices", "everybodys"]
        refused = problem(client.post("/api/v1/calculate", json={}, headers=headers), 403)
        assert "scope 'compute'" in str(refused["detail"])
    listed = client.get("/api/v1/api-keys", headers=alice)
    assert key not in listed.text
    assert listed.json()["data"][0]["last_used_at"] is not None
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    problem(client.get(PORTFOLIOS, headers=bearer(wrong)), 401)
    number = made.json()["id"]
    bob = bearer(log_in(client, "bob")["access_token"])
    assert client.get("/api/v1/api-keys", headers=bob).json()["data"] == []
    problem(client.delete(f"/api/v1/api-keys/{number}", headers=bob), 404)
    assert client.get(PORTFOLIOS, headers=bearer(key)).status_code == 200
    assert client.delete(f"/api/v1/api-keys/{number}", headers=alice).status_code == 204
    wait_until(lambda: client.get(PORTFOLIOS, headers=bearer(key)).status_code == 401, seconds=2)


def test_nobody_makes_a_key_that_may_more(client: httpx.Client, tokens: dict[str, dict[str, str]]) -> None:
    answer = client.post("/api/v1/api-keys", json={"name": "k", "scopes": ["users"]}, headers=tokens["alice"])
    assert "users" in str(problem(answer, 422)["detail"])


def test_a_key_ends_on_its_day(own_house: House, serve: Serve) -> None:
    client = serve(own_house.database.url, **SECURED).client
    with own_house.database.connect() as connection:
        _, key = create_key(connection, own_house.users["alice"], "k", ["read"], None)
        connection.execute("UPDATE api_key SET expires_at = now() - interval '1 second'")
    problem(client.get(PORTFOLIOS, headers=bearer(key)), 401)
