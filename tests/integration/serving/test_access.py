"""Who may ask for what: roles, and portfolios that are somebody else's."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr

from pipeline.base.errors import ConfigurationError
from pipeline.store.api_keys import create_key
from serving.app import create_app
from serving.auth.middleware import is_open
from serving.auth.permissions import PUBLIC, ROUTES
from serving.auth.tokens import Tokens
from serving.services import SERVICES
from tests.integration.serving.accounts import (
    JWT_SECRET,
    ME,
    PASSWORD,
    PORTFOLIOS,
    SECURED,
    SERVICE_KEY,
    USERS,
    House,
    address,
    bearer,
    log_in,
    problem,
)
from tests.integration.serving.gateways import running_five
from tests.integration.serving.running import Running, Serve, local_settings

METHODS = {"get", "post", "put", "patch", "delete"}


# Portfolios ---------------------------------------------------------------------------------------------


def filled(path: str, reference: str) -> str:
    values = {"reference": reference, "measure": "var_99_1d", "session": "2022-12-28", "scenario": "lehman_2008"}
    for name, value in values.items():
        path = path.replace("{" + name + "}", value)
    return path.replace("{method}", "historical").replace("{symbol}", "ACME").replace("{name}", "x")


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


PAGES = ("/", "/portfolios/everybodys", "/portfolios/everybodys/tear-sheet", "/instruments", "/quality", "/nothing")
CHARTS = ("/charts/price/ACME.svg", "/charts/nothing/x.svg")


def test_a_key_that_may_not_read_sees_no_page(client: httpx.Client, house: House) -> None:
    with house.database.connect() as connection:
        _, blind = create_key(connection, house.users["ada"], "blind", ["audit"], None)
        _, reading = create_key(connection, house.users["ada"], "reading", ["read"], None)
    for path in PAGES + CHARTS:
        refused = problem(client.get(path, headers={"X-API-Key": blind}), 403)
        assert "scope 'read'" in str(refused["detail"])
        assert client.head(path, headers=bearer(blind)).status_code == 403
        assert client.get(path, headers={"X-API-Key": reading}).status_code in (200, 404)
    assert client.get("/api/v1/audit", headers=bearer(blind)).status_code == 200
    problem(client.get(PORTFOLIOS, headers=bearer(blind)), 403)


def test_a_viewer_reads(client: httpx.Client, tokens: dict[str, dict[str, str]]) -> None:
    assert client.get(f"{PORTFOLIOS}/everybodys/limits", headers=tokens["vera"]).json()["data"] != []


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
