"""A gateway in front of services that hang, die, refuse and come back."""

from __future__ import annotations

import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest
from pydantic import SecretStr

from serving import upstream
from serving.forwarding.messages import COLLECTED_BYTES
from tests.integration.serving.gateways import (
    RISK,
    Puppet,
    break_off,
    circuit,
    hang,
    require_refusal,
    running_puppet,
    say,
    timed,
)
from tests.integration.serving.running import Serve, wait_until
from tests.integration.serving.seeding import Seeded

MARKET = "/api/v1/instruments"


def test_a_service_that_hangs_is_left_alone_until_it_lives(
    seeded: Seeded, serve: Serve, puppet: Puppet, impatient: None
) -> None:
    puppet.answer, puppet.lives = hang, False
    client = serve(seeded.database.url, risk_engine_url=puppet.url, cache_mib=0).client
    others = []
    with ThreadPoolExecutor(5) as pool:
        hanging = [pool.submit(timed, client, f"{RISK}?limit={number + 1}") for number in range(5)]
        while not all(call.done() for call in hanging):
            answer, seconds = timed(client, MARKET)
            assert answer.status_code == 200
            others.append(seconds)
    for answer, seconds in (call.result() for call in hanging):
        require_refusal(answer, "python-risk-engine has not answered within 0.5 s")
        assert 0.4 < seconds < 5.0  # 0.5 on a machine that has nothing else to do
    assert statistics.median(others) < 0.2  # what other services answer does not wait for it
    refused = [timed(client) for _ in range(50)]
    for answer, _ in refused:
        require_refusal(answer, "has not answered before and is left alone")
    assert sorted(seconds for _, seconds in refused)[45] < 0.2
    assert timed(client, MARKET)[0].status_code == 200
    ready = client.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json()["upstreams"] == {"python-risk-engine": {"answers": False, "circuit": "open"}}
    assert len(puppet.asked) == 5
    puppet.answer, puppet.lives = say(b"{}"), True
    wait_until(lambda: client.get(RISK).status_code == 200, 3)
    assert circuit(client) == "closed"


def test_routes_that_still_hang_after_the_probe_open_it_again(
    seeded: Seeded, serve: Serve, puppet: Puppet, impatient: None
) -> None:
    puppet.answer = hang
    client = serve(seeded.database.url, risk_engine_url=puppet.url).client
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda n: client.get(f"{RISK}?limit={n + 1}"), range(5)))
    wait_until(lambda: circuit(client) == "half_open", 3)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: timed(client, f"{RISK}?limit={n + 1}"), range(4)))
    assert sorted(seconds > 0.4 for _, seconds in answers) == [False, False, False, True]
    assert {answer.status_code for answer, _ in answers} == {503}
    assert len(puppet.asked) == 6


def test_a_dead_service_is_refused_at_once_and_found_again(seeded: Seeded, serve: Serve, impatient: None) -> None:
    puppet = Puppet()
    with running_puppet(puppet):
        client = serve(seeded.database.url, risk_engine_url=puppet.url).client
        assert client.get(RISK).status_code == 200
    for number in range(5):
        answer, seconds = timed(client, f"{RISK}?limit={number + 1}")
        require_refusal(answer, "python-risk-engine")
        assert seconds < 2
    assert circuit(client) == "open"
    with running_puppet(puppet, puppet.port):
        wait_until(lambda: client.get(f"{RISK}?limit=9").status_code == 200, 3)
        assert circuit(client) == "closed"


def test_a_service_that_takes_no_connections_is_given_up_after_a_second(seeded: Seeded, serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as stack:
        port = listener.getsockname()[1]
        for _ in range(3):  # nobody accepts: the queue is full
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        client = serve(seeded.database.url, risk_engine_url=f"http://127.0.0.1:{port}").client
        answer, seconds = timed(client, method="POST")
        require_refusal(answer, "python-risk-engine does not answer")
        assert 0.9 < seconds < 6.0


@pytest.mark.parametrize(
    ("method", "headers", "times"),
    [("GET", {}, 3), ("HEAD", {}, 3), ("POST", {}, 1), ("POST", {"Idempotency-Key": "k"}, 3), ("PUT", {}, 1)],
)
def test_only_what_may_be_repeated_is(
    seeded: Seeded, serve: Serve, puppet: Puppet, method: str, headers: dict[str, str], times: int
) -> None:
    puppet.answer = break_off
    client = serve(seeded.database.url, risk_engine_url=puppet.url).client
    path = "/api/v1/portfolios/held/limits" if method == "PUT" else RISK
    answer, seconds = timed(client, path, method, headers=headers)
    assert answer.status_code == 503
    assert len(puppet.asked) == times
    assert seconds < 3


def test_a_second_try_gives_the_answer(seeded: Seeded, serve: Serve, puppet: Puppet) -> None:
    async def once_broken(scope, receive, send) -> None:
        await (break_off if len(puppet.asked) == 1 else say(b"[1]"))(scope, receive, send)

    puppet.answer = once_broken
    client = serve(seeded.database.url, risk_engine_url=puppet.url).client
    answer = client.post(RISK, content=b"body", headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.content) == (200, b"[1]")
    assert puppet.bodies == [b"body", b"body"]
    assert circuit(client) == "closed"


def test_refusals_of_the_service_are_answers(seeded: Seeded, serve: Serve, puppet: Puppet) -> None:
    puppet.answer = say(b"{}", 503, ((b"retry-after", b"7"),))
    client = serve(seeded.database.url, risk_engine_url=puppet.url).client
    for _ in range(10):
        answer = client.get(RISK)
        assert (answer.status_code, answer.content, answer.headers["retry-after"]) == (503, b"{}", "7")
    assert len(puppet.asked) == 10
    assert circuit(client) == "closed"


def test_callers_who_read_slowly_are_no_failures_of_the_service(
    seeded: Seeded, serve: Serve, puppet: Puppet, impatient: None
) -> None:
    service = serve(seeded.database.url, risk_engine_url=puppet.url)
    puppet.answer = say(b"x" * 3 * COLLECTED_BYTES)
    with ExitStack() as stack:
        for number in range(6):
            caller = stack.enter_context(socket.socket())
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.connect(("127.0.0.1", service.port))
            caller.sendall(f"GET {RISK}?limit={number + 1} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: len(puppet.asked) == 6)
        time.sleep(1.0)  # longer than the gateway waits for a service
    assert circuit(service.client) == "closed"
    puppet.answer = say(b"[1]")
    assert service.client.get(RISK).content == b"[1]"


def test_slow_calls_fill_their_own_connections_only(
    seeded: Seeded, serve: Serve, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = replace(upstream.POLICY, total_seconds=1.5, connect_seconds=0.2, connections=3)
    monkeypatch.setattr(upstream, "POLICY", policy)
    puppet.answer = hang
    other = serve(seeded.database.url, "market-data-ingestion")
    addresses = {"risk_engine_url": puppet.url, "market_data_url": f"http://127.0.0.1:{other.port}"}
    client = serve(seeded.database.url, **addresses).client
    with ThreadPoolExecutor(4) as pool:
        slow = [pool.submit(timed, client, RISK, "POST") for _ in range(3)]
        wait_until(lambda: len(puppet.asked) == 3)
        answer, seconds = timed(client, method="POST")
        require_refusal(answer, "has too many requests under way")
        assert seconds < 3
        assert timed(client, MARKET)[1] < 2
        assert {future.result()[0].status_code for future in slow} == {503}


def test_strangers_learn_no_settings(seeded: Seeded, serve: Serve) -> None:
    secrets = {"environment": "staging", "jwt_secret": SecretStr("j" * 32), "service_api_key": SecretStr("k")}
    client = serve(seeded.database.url, risk_engine_url="http://127.0.0.1:1", **secrets).client
    answer = client.get(RISK, headers={"X-Service-Token": "k"})
    assert answer.status_code == 503
    assert "RISK_ENGINE_URL" not in answer.text
    assert "127.0.0.1" not in answer.text


def test_only_the_gateway_calls_others(seeded: Seeded, serve: Serve, puppet: Puppet) -> None:
    client = serve(seeded.database.url, "python-risk-engine", risk_engine_url=puppet.url).client
    assert client.get(RISK).status_code == 200
    assert puppet.asked == []
    assert client.get("/health/ready").json()["upstreams"] == {}
