"""What is kept of a POST with a key: no refusal that passes, and no digest on which its password could be tried."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.exceptions import HTTPException

from pipeline.store.engine import Database
from serving.edge.idempotency import digest_key
from tests.integration.serving.accounts import (
    PASSWORD,
    PORTFOLIOS,
    SECURED,
    House,
    address,
    bearer,
    log_in,
)
from tests.integration.serving.running import Serve, local_settings
from tests.integration.serving.seeding import Seeded

LOGIN = "/api/v1/auth/login"
BODY: dict[str, Any] = {"name": "Mine", "positions": [{"symbol": "AAPL", "quantity": 1}]}


def post(client: httpx.Client, path: str = PORTFOLIOS, body: dict[str, Any] = BODY, key: str = "k-1") -> httpx.Response:
    return client.post(path, json=body, headers={"Idempotency-Key": key})


def count(database: Database, what: str) -> int:
    with database.connect() as connection:
        row = connection.execute(f"SELECT count(*) FROM {what}").fetchone()
    assert row is not None
    return int(row[0])


# Refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 409, 412, 429])
def test_a_refusal_that_passes_is_not_kept(
    own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    client = serve(own_seeded.database.url).client
    with monkeypatch.context() as refusing:
        refusing.setattr("serving.routes.portfolios.create_portfolio", _raising(HTTPException(status)))
        assert post(client).status_code == status
    assert count(own_seeded.database, "idempotent_request") == 0
    again = post(client)
    assert again.status_code == 201
    assert "idempotency-replayed" not in again.headers
    assert count(own_seeded.database, "portfolio WHERE name = 'Mine'") == 1


def test_a_refusal_after_a_write_is_never_carried_out_again(
    own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(own_seeded.database.url).client
    with monkeypatch.context() as refusing:
        refusing.setattr("serving.routes.portfolios.tag_of", _raising(HTTPException(409)))
        assert post(client).status_code == 409
    assert post(client).headers["idempotency-replayed"] == "true"
    assert count(own_seeded.database, "portfolio WHERE name = 'Mine'") == 1


def _raising(error: Exception) -> Any:
    def raising(*_: Any) -> None:
        raise error

    return raising


def test_a_login_that_failed_may_be_tried_again(own_house: House, serve: Serve) -> None:
    """Though its failure was noted in the audit log: the same words are right after the password was changed."""
    client = serve(own_house.database.url, **SECURED).client
    body = {"email": address("bob"), "password": "five words that are new"}
    assert post(client, LOGIN, body).status_code == 401
    assert post(client, LOGIN, body).status_code == 401
    ada = bearer(log_in(client, "ada")["access_token"])
    change = {"password": body["password"]}
    bob = f"/api/v1/users/{own_house.users['bob']}"
    assert client.patch(bob, json=change, headers=ada).status_code == 200
    assert post(client, LOGIN, body).status_code == 200
    assert "may not be kept" in post(client, LOGIN, body).json()["detail"]


def test_a_refusal_of_a_crowd_may_be_tried_again(
    own_house: House, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(own_house.database.url, **SECURED).client
    body = {"email": address("bob"), "password": PASSWORD}
    with monkeypatch.context() as crowded:
        crowded.setattr("serving.auth.logins.FAILURES_OF_ACCOUNT", 0)
        assert post(client, LOGIN, body).status_code == 429
    assert post(client, LOGIN, body).status_code == 200


# What is kept of a request ---------------------------------------------------------------------------------


def test_no_password_can_be_tried_on_what_is_kept(
    own_house: House, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest takes a secret of the installation, and differs from that of the same body under another key."""
    monkeypatch.setattr("serving.edge.idempotency._settle", lambda *_: None)
    client = serve(own_house.database.url, **SECURED).client
    body = {"email": address("bob"), "password": PASSWORD}
    for key in ("k-1", "k-2"):
        assert post(client, LOGIN, body, key).status_code == 200
    other = serve(own_house.database.url, **{**SECURED, "jwt_secret": SecretStr("o" * 32)}).client
    assert post(other, LOGIN, body, "k-3").status_code == 200
    kept = digests(own_house.database)
    assert len(kept) == 3
    unkeyed = {named: digests_by(named, client, body) for named in ("sha256", "blake2b", "sha512")}
    assert len(set(kept.values())) == 3
    assert not set(kept.values()) & {each[: len(kept["k-1"])] for each in unkeyed.values()}
    # The secret alone makes a difference: the same caller and key, whose digests would be equal without it.
    with own_house.database.connect() as connection:
        connection.execute("UPDATE idempotent_request SET created_at = created_at - %s", [timedelta(days=2)])
    assert post(other, LOGIN, body, "k-1").status_code == 200
    assert digests(own_house.database)["k-1"] != kept["k-1"]


def test_where_no_login_is_asked_the_address_of_the_database_is_the_secret() -> None:
    keys = [
        digest_key(local_settings(url, **changes))
        for url in ("postgresql://u:a@h/d", "postgresql://u:b@h/d")
        for changes in ({}, {"jwt_secret": SecretStr("j" * 32)}, {"jwt_secret": SecretStr("o" * 32)})
    ]
    assert len({*keys}) == 4
    assert keys[1:3] == keys[4:6]  # a secret that is there, whatever the database


def digests(database: Database) -> dict[str, bytes]:
    with database.connect() as connection:
        return dict(connection.execute("SELECT key, request FROM idempotent_request").fetchall())


def digests_by(name: str, client: httpx.Client, body: dict[str, Any]) -> bytes:
    """A digest as it was once kept, which nobody needs a key for."""
    sent = client.build_request("POST", LOGIN, json=body).content
    parts = (b"POST", LOGIN.encode(), b"")
    return hashlib.new(name, b"\0".join(part.hex().encode() for part in parts) + b"\0" + sent).digest()
