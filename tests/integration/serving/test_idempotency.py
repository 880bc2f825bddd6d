"""A POST with a key is carried out once: again, at the same time, after a restart, after a crash, through a gateway."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from pipeline.store import idempotency
from pipeline.store.engine import Database
from pipeline.store.idempotency import Claim, claim, give_up, keep_answer, note_written, prune
from tests.integration.serving.gateways import running_five
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import Seeded

PORTFOLIOS = "/api/v1/portfolios"
BODY: dict[str, Any] = {"name": "Mine", "positions": [{"symbol": "AAPL", "quantity": 1}]}
OTHER: dict[str, Any] = {**BODY, "name": "Other"}


def post(client: httpx.Client, key: str = "k-1", body: dict[str, Any] = BODY, path: str = PORTFOLIOS) -> httpx.Response:
    return client.post(path, json=body, headers={"Idempotency-Key": key})


def written(database: Database) -> int:
    with database.connect() as connection:
        row = connection.execute("SELECT count(*) FROM portfolio WHERE name IN ('Mine', 'Other')").fetchone()
    assert row is not None
    return int(row[0])


def states(database: Database) -> list[str]:
    with database.connect() as connection:
        return [row[0] for row in connection.execute("SELECT state FROM idempotent_request ORDER BY key")]


def age(database: Database, by: timedelta) -> None:
    with database.connect() as connection:
        connection.execute("UPDATE idempotent_request SET created_at = created_at - %s", [by])


def test_the_same_request_is_answered_as_before(own_seeded: Seeded, own_api: httpx.Client) -> None:
    first, second = post(own_api), post(own_api)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert second.headers["location"] == first.headers["location"]
    assert second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    assert written(own_seeded.database) == 1
    assert states(own_seeded.database) == ["done"]


def test_without_a_key_each_request_is_carried_out(own_seeded: Seeded, own_api: httpx.Client) -> None:
    assert {own_api.post(PORTFOLIOS, json=BODY).status_code for _ in range(2)} == {201}
    assert written(own_seeded.database) == 2
    assert states(own_seeded.database) == []


def test_another_request_under_the_key_is_refused(own_seeded: Seeded, own_api: httpx.Client) -> None:
    assert post(own_api).status_code == 201
    for refused in (
        post(own_api, body=OTHER),
        post(own_api, path=f"{PORTFOLIOS}/held/risk"),
        post(own_api, path=f"{PORTFOLIOS}?x=1"),
    ):
        assert refused.status_code == 422
        assert refused.headers["content-type"] == "application/problem+json"
        assert "Idempotency-Key" in refused.json()["detail"]
        assert refused.json()["remedy"]
    assert written(own_seeded.database) == 1


def test_refusals_are_answered_as_before(own_api: httpx.Client) -> None:
    first, second = (post(own_api, body={**BODY, "name": ""}) for _ in range(2))
    assert (first.status_code, second.status_code) == (422, 422)
    assert second.content == first.content
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers",
    [
        [("Idempotency-Key", "")],
        [("Idempotency-Key", "a b")],
        [("Idempotency-Key", "x" * 256)],
        [("Idempotency-Key", "é".encode())],
        [("Idempotency-Key", "a"), ("Idempotency-Key", "b")],
    ],
)
def test_a_key_that_is_none_is_refused(own_seeded: Seeded, own_api: httpx.Client, headers: Any) -> None:
    answer = own_api.post(PORTFOLIOS, json=BODY, headers=headers)
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json()["detail"]
    assert written(own_seeded.database) == 0


def test_a_long_key_is_taken(own_api: httpx.Client) -> None:
    key = "".join(chr(code) for code in range(0x21, 0x7F)) + "x" * 161
    assert len(key) == 255
    assert post(own_api, key).status_code == post(own_api, key).status_code == 201


def test_callers_have_keys_of_their_own(own_seeded: Seeded, own_api: httpx.Client) -> None:
    for token in ("a", "b"):
        headers = {"Idempotency-Key": "same", "X-API-Key": token}
        assert "idempotency-replayed" not in own_api.post(PORTFOLIOS, json=BODY, headers=headers).headers
    assert written(own_seeded.database) == 2


def test_the_answer_outlives_the_service(own_seeded: Seeded, serve: Serve) -> None:
    first = post(serve(own_seeded.database.url).client)
    again = post(serve(own_seeded.database.url).client)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert written(own_seeded.database) == 1


def test_two_at_once_write_once(own_seeded: Seeded, serve: Serve) -> None:
    """Also if they come to different processes; who comes second is told to wait."""
    clients = [serve(own_seeded.database.url).client for _ in range(2)]
    together = threading.Barrier(8)

    def send(number: int) -> httpx.Response:
        together.wait()
        return post(clients[number % 2])

    with own_seeded.database.connect() as lock, ThreadPoolExecutor(8) as threads:
        lock.execute("LOCK TABLE portfolio IN SHARE MODE")
        asked = [threads.submit(send, number) for number in range(8)]
        time.sleep(1.0)
        lock.commit()
        answers = [future.result() for future in asked]
    found = sorted(answer.status_code for answer in answers)
    assert found == [201] + [409] * 7
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.headers["retry-after"] == "1"
    assert "still being answered" in refused.json()["detail"]
    assert post(clients[0]).status_code == 201
    assert written(own_seeded.database) == 1


def test_after_a_day_the_key_is_new(own_seeded: Seeded, own_api: httpx.Client) -> None:
    post(own_api)
    age(own_seeded.database, timedelta(hours=23))
    assert post(own_api).headers["idempotency-replayed"] == "true"
    age(own_seeded.database, timedelta(hours=1, seconds=1))
    assert "idempotency-replayed" not in post(own_api, body=OTHER).headers
    assert written(own_seeded.database) == 2


def test_a_failure_of_the_service_may_be_tried_again(
    own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(own_seeded.database.url).client
    with monkeypatch.context() as broken:
        broken.setattr("serving.routes.portfolios.create_portfolio", lambda *_: 1 / 0)
        assert post(client).status_code == 500
    assert states(own_seeded.database) == []
    assert post(client).status_code == 201
    assert written(own_seeded.database) == 1


def test_a_database_that_is_down_is_a_problem(serve: Serve) -> None:
    answer = post(serve("postgresql://user:secret@127.0.0.1:1/none").client)
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


def test_what_was_written_is_never_written_again(
    own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the commit and the keeping of the answer: played by the latter not happening."""
    client = serve(own_seeded.database.url).client
    with monkeypatch.context() as dying:
        dying.setattr("serving.edge.idempotency._settle", lambda *_: None)
        assert post(client).status_code == 201
    assert states(own_seeded.database) == ["written"]
    assert post(client).headers["retry-after"] == "1"
    age(own_seeded.database, timedelta(minutes=2))
    lost = post(client)
    assert lost.status_code == 409
    assert "has been carried out; its answer was lost" in lost.json()["detail"]
    assert written(own_seeded.database) == 1


def test_what_was_not_written_is_tried_again(own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies before the commit."""
    client = serve(own_seeded.database.url).client
    with monkeypatch.context() as dying:
        dying.setattr("serving.edge.idempotency._settle", lambda *_: None)
        dying.setattr("serving.routes.portfolios.create_portfolio", lambda *_: 1 / 0)
        assert post(client).status_code == 500
    assert states(own_seeded.database) == ["running"]
    assert post(client).status_code == 409
    age(own_seeded.database, timedelta(minutes=2))
    assert post(client).status_code == 201
    assert written(own_seeded.database) == 1


def test_who_was_overtaken_commits_nothing(own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "ABANDONED_AFTER", timedelta(seconds=0.5))
    clients = [serve(own_seeded.database.url).client for _ in range(2)]
    with own_seeded.database.connect() as lock, ThreadPoolExecutor(2) as threads:
        lock.execute("LOCK TABLE portfolio IN SHARE MODE")
        slow = threads.submit(post, clients[0])
        time.sleep(0.8)
        second = threads.submit(post, clients[1])
        time.sleep(0.5)
        lock.commit()
        answers = sorted([slow.result().status_code, second.result().status_code])
    assert answers == [201, 409]
    assert written(own_seeded.database) == 1


def test_an_answer_that_is_secret_is_not_kept(
    own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.edge.idempotency._Recorder.is_secret", True)
    client = serve(own_seeded.database.url).client
    assert post(client).status_code == 201
    again = post(client)
    assert again.status_code == 409
    assert "may not be kept" in again.json()["detail"]
    assert "retry-after" not in again.headers
    with own_seeded.database.connect() as connection:
        rows = connection.execute("SELECT status, headers, body FROM idempotent_request").fetchall()
    assert rows == [(201, None, None)]
    assert written(own_seeded.database) == 1


def test_through_a_gateway_it_is_kept_once(own_seeded: Seeded) -> None:
    with running_five(own_seeded.database.url) as (gateway, behind):
        first, second = post(gateway.client), post(gateway.client)
        assert (first.status_code, second.status_code) == (201, 201)
        assert second.content == first.content
        assert second.headers["idempotency-replayed"] == "true"
        assert post(gateway.client, body=OTHER).status_code == 422
        assert states(own_seeded.database) == ["done"]
        assert post(behind["risk"].client).headers["idempotency-replayed"] == "true"
    assert written(own_seeded.database) == 1


def test_old_records_are_removed_in_passing(own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.edge.idempotency.PRUNE_SECONDS", 0.0)
    client = serve(own_seeded.database.url).client
    post(client, "old")
    age(own_seeded.database, timedelta(hours=25))
    post(client, "new")
    with own_seeded.database.connect() as connection:
        assert connection.execute("SELECT key FROM idempotent_request").fetchall() == [("new",)]


def test_the_key_is_documented(api: httpx.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    posts = [operations["post"] for path, operations in paths.items() if "post" in operations]
    assert len(posts) > 5
    for operation in posts:
        [parameter] = [found for found in operation["parameters"] if found["name"] == "Idempotency-Key"]
        assert parameter["in"] == "header"
        assert {"409", "422", "429"} <= set(operation["responses"])


# The store -------------------------------------------------------------------------------------------------


def test_records_are_claimed_kept_and_removed(database: Database) -> None:
    def wanted(request: bytes = b"r") -> Claim:
        return Claim("c", "k", request, uuid4())

    first = wanted()
    with database.connect() as connection:
        assert claim(connection, first) is None
        known = claim(connection, wanted())
        assert known is not None
        assert (known.state, known.is_abandoned) == ("running", False)
        note_written(connection, first)
        note_written(connection, first)
        give_up(connection, first)
        keep_answer(connection, first, 201, b"[]", b"body")
        known = claim(connection, wanted(b"other"))
        assert known is not None
        assert (known.request, known.state, known.status, known.headers, known.body) == (
            b"r",
            "done",
            201,
            b"[]",
            b"body",
        )
        connection.execute("UPDATE idempotent_request SET created_at = created_at - interval '25 hours'")
        assert prune(connection) == 1
        assert prune(connection) == 0
        assert claim(connection, wanted(b"other")) is None
