"""Who may ask for what: credentials, roles, and portfolios that are somebody else's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import httpx
import jwt
import pytest
from pydantic import SecretStr

from pipeline.base.errors import ConfigurationError
from pipeline.store.api_keys import create_key
from pipeline.store.engine import Database
from serving.app import create_app
from serving.auth import memo
from serving.auth.middleware import is_open
from serving.auth.permissions import PUBLIC, ROUTES
from serving.auth.tokens import Tokens
from serving.services import SERVICES
from tests.integration.serving.accounts import (
    JWT_SECRET,
    PASSWORD,
    SECURED,
    SERVICE_KEY,
    USERS,
    House,
    address,
    bearer,
    furnish,
    log_in,
)
from tests.integration.serving.gateways import running_five
from tests.integration.serving.running import Running, Serve, local_settings, running_service, wait_until

PORTFOLIOS = "/api/v1/portfolios"
ME = "/api/v1/users/me"
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def house(new_database: Callable[[], Database]) -> House:
    return furnish(new_database())


@pytest.fixture
def own_house(new_database: Callable[[], Database]) -> House:
    return furnish(new_database())


@pytest.fixture(scope="module", params=["in_process", "over_http"])
def client(house: House, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A gateway that asks for a login: one that serves all, and one that calls four services."""
    if request.param == "over_http":
        with running_five(house.database.url, **SECURED) as (gateway, _):
            yield gateway.client
    else:
        with running_service("backend-api", local_settings(house.database.url, **SECURED)) as service:
            yield service.client


@pytest.fixture(scope="module")
def tokens(client: httpx.Client) -> dict[str, dict[str, str]]:
    """Headers of every user."""
    return {name: bearer(log_in(client, name)["access_token"]) for name in USERS}


def problem(answer: httpx.Response, status: int) -> dict[str, object]:
    assert answer.status_code == status, (answer.request.url, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    found: dict[str, object] = answer.json()
    return found


# Credentials --------------------------------------------------------------------------------------------


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


# Portfolios ---------------------------------------------------------------------------------------------


def portfolio_operations(client: httpx.Client) -> list[tuple[str, str]]:
    paths = client.get("/openapi.json").json()["paths"]
    return [
        (method.upper(), path)
        for path, operations in paths.items()
        if "/portfolios/{reference}" in path
        for method in operations.keys() & METHODS
    ]


def filled(path: str, reference: str) -> str:
    values = {"reference": reference, "measure": "var_99_1d", "session": "2022-12-28", "scenario": "lehman_2008"}
    for name, value in values.items():
        path = path.replace("{" + name + "}", value)
    return path.replace("{method}", "historical").replace("{symbol}", "ACME").replace("{name}", "x")


BODIES: dict[str, object] = {
    "risk": {},
    "tail": {},
    "stress": {"historical": "all"},
    "backtests": {},
    "decomposition": {},
    "limits": {"limits": []},
}


def test_another_users_portfolio_is_not_there(client: httpx.Client, tokens: dict[str, dict[str, str]]) -> None:
    """Every route with the id or slug of a portfolio (OWASP API1:2023), as 404: nobody learns that there is one."""
    operations = portfolio_operations(client)
    assert len(operations) > 20
    bobs = str(client.get(f"{PORTFOLIOS}/bobs", headers=tokens["bob"]).json()["id"])
    for method, path in operations:
        body = BODIES.get(path.rpartition("/")[2])
        for reference in ("bobs", bobs):
            # An operator sees every portfolio, so the role alone refuses nothing.
            missing = client.request(method, filled(path, "unknown"), json=body, headers=tokens["otto"])
            answer = client.request(method, filled(path, reference), json=body, headers=tokens["alice"])
            expected = {404, 403} if ROUTES.get((method, path)) == "limits" else {404}
            assert answer.status_code in expected or answer.status_code == missing.status_code == 422, (
                method,
                path,
                answer.text,
            )
            assert "bobs" not in answer.text.replace("'bobs'", "")


def test_each_sees_their_own_and_everybodys(client: httpx.Client, tokens: dict[str, dict[str, str]]) -> None:
    seen = {
        name: [found["slug"] for found in client.get(PORTFOLIOS, headers=headers).json()["data"]]
        for name, headers in tokens.items()
    }
    assert seen["alice"][:2] == ["alices", "everybodys"]
    assert seen["bob"][:2] == ["bobs", "everybodys"]
    assert seen["vera"] == ["everybodys"]
    assert seen["otto"][:3] == seen["ada"][:3] == ["alices", "bobs", "everybodys"]
    by_service = client.get(PORTFOLIOS, headers={"X-Service-Token": SERVICE_KEY})
    assert [found["slug"] for found in by_service.json()["data"]] == ["everybodys"]


def test_kept_answers_are_not_mixed(client: httpx.Client, tokens: dict[str, dict[str, str]]) -> None:
    """The same address, asked in turn: each caller's own answer, and prices kept for all."""
    for _ in range(3):
        for name, status in (("alice", 200), ("bob", 404), ("otto", 200), ("vera", 404)):
            assert client.get(f"{PORTFOLIOS}/alices", headers=tokens[name]).status_code == status
    client.get("/api/v1/instruments", headers=tokens["alice"])
    assert client.get("/api/v1/instruments", headers=tokens["bob"]).headers["cache-status"].startswith("fintech; hit")


@pytest.mark.parametrize("field", [{"owner_id": 1}, {"owner": 1}, {"id": 7}, {"role": "admin"}, {"created_at": "x"}])
def test_nothing_of_ownership_is_taken_from_a_body(
    client: httpx.Client, tokens: dict[str, dict[str, str]], field: dict[str, object]
) -> None:
    body = {"name": "x", "rebalancing": "daily", "positions": [{"symbol": "ACME", "target_weight": 1.0}], **field}
    problem(client.post(PORTFOLIOS, json=body, headers=tokens["alice"]), 422)
    login = {"email": address("alice"), "password": PASSWORD, **field}
    problem(client.post("/api/v1/auth/login", json=login), 422)


def test_a_portfolio_belongs_to_who_makes_it(own_house: House, serve: Serve) -> None:
    client = serve(own_house.database.url, **SECURED).client
    headers = {name: bearer(log_in(client, name)["access_token"]) for name in USERS}
    body = {"name": "New", "slug": "new", "rebalancing": "daily", "positions": [{"symbol": "ACME", "target_weight": 1}]}
    assert client.post(PORTFOLIOS, json=body, headers=headers["alice"]).status_code == 201
    assert client.get(f"{PORTFOLIOS}/new", headers=headers["alice"]).status_code == 200
    problem(client.get(f"{PORTFOLIOS}/new", headers=headers["bob"]), 404)
    shared = body | {"slug": "all", "shared": True}
    problem(client.post(PORTFOLIOS, json=shared, headers=headers["alice"]), 403)
    assert client.post(PORTFOLIOS, json=shared, headers=headers["otto"]).status_code == 201
    assert client.get(f"{PORTFOLIOS}/all", headers=headers["bob"]).status_code == 200
    entries = client.get("/api/v1/audit", headers=headers["ada"]).json()["data"]
    made = [(e["actor"], e["detail"]["slug"]) for e in entries if e["action"] == "portfolio.create"]
    assert made == [(address("otto"), "all"), (address("alice"), "new")]
    assert all(entry["request_id"] and entry["client"] == "127.0.0.1" for entry in entries if entry["user_id"])


def test_over_http_the_service_knows_the_caller(house: House) -> None:
    """The audit entry of a write that a gateway forwards names the user, and the caller's address."""
    with running_five(house.database.url, **SECURED) as (gateway, behind):
        otto = bearer(log_in(gateway.client, "otto")["access_token"])
        answer = gateway.client.put(f"{PORTFOLIOS}/everybodys/limits", json={"limits": []}, headers=otto)
        assert answer.status_code == 200, answer.text
        ada = bearer(log_in(gateway.client, "ada")["access_token"])
        entry = next(
            e for e in gateway.client.get("/api/v1/audit", headers=ada).json()["data"] if e["action"] == "limits.set"
        )
        assert (entry["actor"], entry["client"]) == (address("otto"), "127.0.0.1")
        risk = behind["risk"].client
        word = Tokens(JWT_SECRET).of_user(1, "admin", "x", "fintech-api", timedelta(minutes=1))
        for caller in ("", "x", word):  # none of which a gateway has signed for services
            forged = {"X-Service-Token": SERVICE_KEY, "X-Fintech-Caller": caller}
            answer = risk.get(f"{PORTFOLIOS}/bobs", headers=forged)
            assert answer.status_code in (401, 404)
        problem(risk.get(PORTFOLIOS, headers={"X-Fintech-Caller": word}), 401)


# Roles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [service.name for service in SERVICES])
def test_every_route_asks_who_asks(house: House, serve: Serve, name: str) -> None:
    client = serve(house.database.url, name, **SECURED).client
    paths = client.get("/openapi.json").json()["paths"]
    asked = 0
    for path, operations in paths.items():
        for method in operations.keys() & METHODS:
            if is_open(path):
                continue
            problem(client.request(method, filled(path, "alices")), 401)
            asked += 1
    assert asked
    for path in ("/", "/portfolios/alices", "/instruments", "/quality", "/nothing", "/api/v1/nothing"):
        problem(client.get(path), 401)


def test_every_writing_route_names_its_permission(house: House, serve: Serve) -> None:
    paths = serve(house.database.url, **SECURED).client.get("/openapi.json").json()["paths"]
    written = {
        (method.upper(), path)
        for path, operations in paths.items()
        for method in operations.keys() & METHODS - {"get"}
        if path not in PUBLIC
    }
    assert written - ROUTES.keys() == set(), "name their permission in serving.auth.permissions.ROUTES"
    gone = {route for route in ROUTES if route[1] not in paths}
    assert not gone


def test_a_role_that_is_too_small_is_refused(client: httpx.Client, tokens: dict[str, dict[str, str]]) -> None:
    smallest = {"compute": "vera", "portfolios": "vera", "limits": "alice", "quarantine": "alice"}
    smallest |= {"users": "otto", "audit": "otto"}
    refused = 0
    for (method, path), permission in ROUTES.items():
        if permission.value in smallest:
            filled_path = filled(path, "everybodys").replace("{user_id}", "1")
            answer = client.request(method, filled_path, headers=tokens[smallest[permission.value]])
            assert permission.value in str(problem(answer, 403)["detail"])
            refused += 1
    assert refused > 10


def test_a_viewer_reads(client: httpx.Client, tokens: dict[str, dict[str, str]]) -> None:
    assert client.get(f"{PORTFOLIOS}/everybodys/limits", headers=tokens["vera"]).json()["data"] != []


# Users --------------------------------------------------------------------------------------------------


def test_an_admin_looks_after_users(own_house: House, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo.Memo.__init__, "__defaults__", (0.2, 100))
    client = serve(own_house.database.url, **SECURED).client
    ada = bearer(log_in(client, "ada")["access_token"])
    new = {"email": "Eve@Example.com", "name": "Eve", "role": "viewer", "password": PASSWORD}
    made = client.post("/api/v1/users", json=new, headers=ada)
    assert made.status_code == 201
    assert made.json()["email"] == "eve@example.com"
    assert "password" not in made.text
    problem(client.post("/api/v1/users", json=new, headers=ada), 409)
    problem(client.post("/api/v1/users", json=new | {"email": "f@example.com", "password": "short"}, headers=ada), 422)
    same = {"email": "long-enough@example.com", "password": "LONG-enough@example.com"}
    problem(client.post("/api/v1/users", json=new | same, headers=ada), 422)
    eve = bearer(log_in(client, "eve")["access_token"])
    number = made.json()["id"]
    assert client.patch(f"/api/v1/users/{number}", json={"role": "analyst"}, headers=ada).status_code == 200
    wait_until(lambda: client.get(ME, headers=eve).json()["role"] == "analyst", seconds=2)
    assert client.patch(f"/api/v1/users/{number}", json={"is_active": False}, headers=ada).status_code == 200
    wait_until(lambda: client.get(ME, headers=eve).status_code == 401, seconds=2)
    problem(client.post("/api/v1/auth/login", json={"email": "eve@example.com", "password": PASSWORD}), 401)
    last = client.patch(f"/api/v1/users/{own_house.users['ada']}", json={"role": "viewer"}, headers=ada)
    assert "No active admin" in str(problem(last, 409)["detail"])
    assert len(client.get("/api/v1/users?limit=2", headers=ada).json()["data"]) == 2
    actions = [entry["action"] for entry in client.get("/api/v1/audit", headers=ada).json()["data"]]
    assert actions[:2] == ["login.failed", "user.change"]
    assert "user.create" in actions


def test_a_user_changes_their_password(own_house: House, serve: Serve) -> None:
    client = serve(own_house.database.url, **SECURED).client
    given = log_in(client, "alice")
    change = {"current_password": PASSWORD, "new_password": "another fine password"}
    url = "/api/v1/users/me/password"
    wrong = change | {"current_password": "not this one"}
    problem(client.put(url, json=wrong, headers=bearer(given["access_token"])), 422)
    assert client.put(url, json=change, headers=bearer(given["access_token"])).status_code == 204
    problem(client.post("/api/v1/auth/refresh", json={"refresh_token": given["refresh_token"]}), 401)
    log_in(client, "alice", "another fine password")


def test_no_secret_is_stored_or_logged(own_house: House, serve: Serve) -> None:
    client = serve(own_house.database.url, **SECURED).client
    given = log_in(client, "alice")
    alice = bearer(given["access_token"])
    key = client.post("/api/v1/api-keys", json={"name": "k"}, headers=alice).json()["key"]
    with own_house.database.connect() as connection:
        for table in ("app_user", "refresh_token", "api_key", "audit_entry"):
            rows = connection.execute(f"SELECT t::text FROM {table} AS t").fetchall()
            text = str(rows)
            for secret in (PASSWORD, key, given["refresh_token"], given["access_token"]):
                assert secret not in text
        hashes = connection.execute("SELECT password_hash FROM app_user").fetchall()
    assert all(row[0].startswith("$argon2id$") for row in hashes)


# Failures -----------------------------------------------------------------------------------------------


def test_without_postgres_who_asks_is_unknown_for_now(serve: Serve) -> None:
    client = serve("postgresql://user:secret@127.0.0.1:1/none", **SECURED).client
    token = Tokens(JWT_SECRET).of_user(1, "viewer", "x", "fintech-api", timedelta(minutes=1))
    answer = client.get(PORTFOLIOS, headers=bearer(token))
    problem(answer, 503)
    assert answer.headers["retry-after"]
    assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize("service", ["backend-api", "python-risk-engine"])
def test_a_short_secret_is_refused(service: str) -> None:
    settings = local_settings("postgresql://u@127.0.0.1:1/d", **{**SECURED, "jwt_secret": SecretStr("short")})
    with pytest.raises(ConfigurationError, match="JWT_SECRET has 5 bytes, and 32 are needed"):
        create_app(service, settings)


def test_a_machine_of_ones_own_asks_for_no_login(house: House, serve: Serve) -> None:
    running: Running = serve(house.database.url)
    assert len(running.client.get(PORTFOLIOS).json()["data"]) >= 3
    assert running.client.get(ME).json()["role"] == "admin"
    login = {"email": address("alice"), "password": PASSWORD}
    problem(running.client.post("/api/v1/auth/login", json=login), 409)
