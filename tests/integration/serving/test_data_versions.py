"""The version under which answers are kept: announced, asked for, and as it was when Postgres can be asked no more."""

from __future__ import annotations

import asyncio
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from pipeline.store import materializations
from pipeline.store.embedded import embedded_server
from pipeline.store.engine import Database, with_database
from pipeline.store.migrating import migrate
from serving.caching import version_reader, versions
from serving.caching.version_reader import VersionReader
from serving.caching.versions import DataVersion
from tests.integration.serving.kept_answers import INSTRUMENTS, PORTFOLIOS, add_instrument, how
from tests.integration.serving.metrics import cache_results, samples
from tests.integration.serving.running import Serve, wait_until
from tests.integration.serving.seeding import Seeded, seed

# Commits of other processes ---------------------------------------------------------------------------------


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
    seconds = [shown_after(own_api, own_seeded.database, f"ADDED{number}") for number in range(3)]
    assert statistics.median(seconds) < 1.0
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
    wait_until(lambda: len(told) == 1)
    began = time.monotonic()
    with own_seeded.database.connect() as connection:
        for _ in range(200):
            last = time.monotonic()
            materializations.touch(connection, "a", "test", "1")
            connection.commit()
    wait_until(lambda: announced[-1:] > [last])
    reader.close()
    assert 1 <= len(announced) <= (announced[-1] - began) / version_reader.APART_SECONDS + 2


# While Postgres is out ---------------------------------------------------------------------------------------


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
