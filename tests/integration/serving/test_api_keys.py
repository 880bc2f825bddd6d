"""An API key does not outlive its own revocation by keys that it has made."""

from __future__ import annotations

from tests.integration.serving.accounts import SECURED, House, bearer, log_in, problem
from tests.integration.serving.running import Serve

KEYS = "/api/v1/api-keys"


def test_a_key_makes_no_other(own_house: House, serve: Serve) -> None:
    client = serve(own_house.database.url, **SECURED).client
    alice = bearer(log_in(client, "alice")["access_token"])
    made = client.post(KEYS, json={"name": "first", "scopes": ["keys", "read"]}, headers=alice).json()
    by_key = bearer(made["key"])
    refused = problem(client.post(KEYS, json={"name": "second"}, headers=by_key), 409)
    assert "API key makes no other" in str(refused["detail"])
    assert "Log in" in str(refused["remedy"])
    assert [key["name"] for key in client.get(KEYS, headers=by_key).json()["data"]] == ["first"]
    assert client.delete(f"{KEYS}/{made['id']}", headers=by_key).status_code == 204  # what is lost may end itself
