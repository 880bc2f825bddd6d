"""The question whether Postgres lives: connected before anybody doubts, and no judge of what it was connected to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.store.engine import Database
from serving.pulse import NEVER, Pulse
from tests.integration.serving.running import wait_until

OURS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'fintech-serving-pulse'"


@pytest.fixture
def pulse(database: Database) -> Iterator[Pulse]:
    made = Pulse(database.url)
    made.open()
    yield made
    made.close()


def connected(database: Database) -> list[int]:
    with database.connect() as connection:
        return [pid for (pid,) in connection.execute(f"SELECT pid {OURS}")]


def test_it_is_connected_before_anybody_doubts(pulse: Pulse, database: Database) -> None:
    wait_until(lambda: len(connected(database)) == 1)
    [before] = connected(database)
    assert pulse.heard_at == NEVER
    pulse.doubt()
    wait_until(lambda: pulse.heard_at > NEVER)
    assert connected(database) == [before]


def test_a_connection_that_has_ended_meanwhile_is_no_outage(pulse: Pulse, database: Database) -> None:
    wait_until(lambda: len(connected(database)) == 1)
    with database.connect() as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid, 5000) {OURS}")
    pulse.doubt()
    wait_until(lambda: pulse.heard_at > NEVER)
    assert (pulse.outages, pulse.is_out) == (0, False)
