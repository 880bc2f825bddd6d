"""Users: an admin looks after them, each changes their own password, and no secret is stored."""

from __future__ import annotations

import pytest

from serving.auth import memo
from tests.integration.serving.accounts import ME, PASSWORD, SECURED, House, bearer, log_in, problem
from tests.integration.serving.running import Serve, wait_until


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
    assert actions[:3] == ["login.failed", "login.tried", "user.change"]
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
    key = client.post("/api/v1/api-keys", json={"name": "k"}, headers=alice | {"Idempotency-Key": "k"}).json()["key"]
    with own_house.database.connect() as connection:
        for table in ("app_user", "refresh_token", "api_key", "audit_entry", "idempotent_request"):
            rows = connection.execute(f"SELECT t::text FROM {table} AS t").fetchall()
            text = str(rows)
            for secret in (PASSWORD, key, given["refresh_token"], given["access_token"]):
                assert secret not in text
        hashes = connection.execute("SELECT password_hash FROM app_user").fetchall()
    assert all(row[0].startswith("$argon2id$") for row in hashes)
