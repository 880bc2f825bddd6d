"""The queue of simulations: taken once, taken over from the dead, fenced, limited, removed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from pipeline.base.errors import ConflictError, NotFoundError
from pipeline.store.access import RowAccess, ScopedConnection, become_api
from pipeline.store.engine import Database, libpq_url
from pipeline.store.simulation_jobs import (
    KEPT,
    MOST_UNFINISHED,
    NewJob,
    cancel_job,
    create_job,
    read_job,
    read_jobs,
    read_terminal_wealth,
)
from pipeline.store.simulation_queue import (
    DEAD_AFTER,
    MOST_LOSSES,
    ClaimedJob,
    Part,
    claim_job,
    fail_job,
    finish_job,
    keep_part,
    prune_jobs,
    read_parts,
    release_job,
)

CODE = "source"


def new(owner_id: int | None = None) -> NewJob:
    return NewJob(uuid4(), owner_id, {"paths": 300}, None, date(2020, 1, 2), date(2022, 12, 28), 0, b"\0" * 8, 300)


def submitted(database: Database, count: int = 1) -> list[UUID]:
    jobs = [new() for _ in range(count)]
    for job in jobs:
        with database.connect() as connection:
            create_job(connection, job)
    return [job.id for job in jobs]


def claimed(database: Database, code: str = CODE) -> ClaimedJob | None:
    with database.connect() as connection:
        return claim_job(connection, uuid4(), code)


def taken(database: Database, code: str = CODE) -> ClaimedJob:
    job = claimed(database, code)
    assert job is not None
    return job


def age(database: Database, column: str, by: timedelta) -> None:
    with database.connect() as connection:
        connection.execute(f"UPDATE simulation_job SET {column} = {column} - %s", [by])


def test_many_workers_take_each_job_once(database: Database) -> None:
    ids = submitted(database, 12)
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda _: claimed(database), range(20)))
    assert sorted(job.id for job in found if job is not None) == sorted(ids)
    assert claimed(database) is None


def test_the_oldest_waits_least_and_a_locked_one_is_passed_by(database: Database) -> None:
    first, second = submitted(database, 2)
    with database.connect() as busy:
        job = claim_job(busy, uuid4(), CODE)
        assert job is not None
        assert job.id == first
        assert taken(database).id == second  # while the other transaction is open


def test_a_dead_workers_job_is_taken_over_and_its_words_no_longer_count(database: Database) -> None:
    [job_id] = submitted(database)
    dead = taken(database)
    with database.connect() as connection:
        assert keep_part(connection, dead, Part(0, b"first"), 100)
    assert claimed(database) is None
    age(database, "heartbeat_at", DEAD_AFTER + timedelta(seconds=1))
    heir = taken(database)
    assert (heir.id, heir.attempt != dead.attempt) == (job_id, True)
    with database.connect() as connection:
        assert not keep_part(connection, dead, Part(100, b"late"), 100)
        assert not finish_job(connection, dead, {"late": True}, None)
        assert not fail_job(connection, dead, "late")
        release_job(connection, dead)
        assert [part.outcomes for part in read_parts(connection, job_id)] == [b"first"]
        assert read_job(connection, job_id).state == "running"
        assert read_job(connection, job_id).paths_done == 100


def test_a_released_job_goes_on_with_its_parts(database: Database) -> None:
    [job_id] = submitted(database)
    job = taken(database)
    with database.connect() as connection:
        keep_part(connection, job, Part(0, b"first"), 100)
        release_job(connection, job)
        assert read_job(connection, job_id).state == "queued"
    assert taken(database).id == job_id
    with database.connect() as connection:
        assert read_job(connection, job_id).paths_done == 100


def test_parts_of_another_source_are_forgotten(database: Database) -> None:
    [job_id] = submitted(database)
    job = taken(database)
    with database.connect() as connection:
        keep_part(connection, job, Part(0, b"first"), 100)
        release_job(connection, job)
    taken(database, "another source")
    with database.connect() as connection:
        assert list(read_parts(connection, job_id)) == []
        assert read_job(connection, job_id).paths_done == 0


def test_a_job_that_kills_its_workers_fails(database: Database) -> None:
    [job_id] = submitted(database)
    for _ in range(MOST_LOSSES + 1):
        taken(database)
        age(database, "heartbeat_at", DEAD_AFTER + timedelta(seconds=1))
    assert claimed(database) is None
    with database.connect() as connection:
        job = read_job(connection, job_id)
    assert job.state == "failed"
    assert job.error is not None
    assert "ask for fewer" in job.error


def test_a_finished_part_forgives_lost_workers(database: Database) -> None:
    submitted(database)
    for _ in range(MOST_LOSSES + 3):
        job = taken(database)
        with database.connect() as connection:
            keep_part(connection, job, Part(int(job.attempt.int % 1_000_000), b""), 1)
        age(database, "heartbeat_at", DEAD_AFTER + timedelta(seconds=1))


def test_a_cancelled_job_is_nobodys(database: Database) -> None:
    [job_id] = submitted(database)
    job = taken(database)
    with database.connect() as connection:
        assert cancel_job(connection, job_id)
        assert not cancel_job(connection, job_id)
        assert not keep_part(connection, job, Part(0, b"first"), 100)
        assert read_job(connection, job_id).state == "cancelled"


def test_the_result_takes_the_place_of_the_parts(database: Database) -> None:
    [job_id] = submitted(database)
    job = taken(database)
    with database.connect() as connection:
        keep_part(connection, job, Part(0, b"first"), 300)
        assert finish_job(connection, job, {"var_99": 0.1}, b"wealth")
        found = read_job(connection, job_id)
        assert (found.state, found.result, found.paths_done) == ("done", {"var_99": 0.1}, 300)
        assert read_terminal_wealth(connection, job_id) == b"wealth"
        assert list(read_parts(connection, job_id)) == []
        assert [(listed.id, listed.result) for listed in read_jobs(connection, "done", 10)] == [(job_id, None)]
        assert read_jobs(connection, "failed", 10) == []


def test_jobs_are_kept_for_the_days_that_are_told(database: Database) -> None:
    [job_id, waiting] = submitted(database, 2)
    job = taken(database)
    with database.connect() as connection:
        finish_job(connection, job, {}, None)
        found = read_job(connection, job_id)
        assert found.finished_at is not None
        assert found.kept_until == found.finished_at + timedelta(days=7)
    age(database, "finished_at", KEPT - timedelta(minutes=1))
    with database.connect() as connection:
        assert prune_jobs(connection) == 0
    age(database, "finished_at", timedelta(minutes=2))
    age(database, "created_at", 2 * KEPT)
    with database.connect() as connection:
        assert prune_jobs(connection) == 1
        assert read_job(connection, waiting).state == "queued"
        with pytest.raises(NotFoundError, match="kept 7 days"):
            read_job(connection, job_id)


def test_an_owner_has_so_many_under_way(database: Database) -> None:
    submitted(database, MOST_UNFINISHED)
    with pytest.raises(ConflictError, match="cancel one"):
        submitted(database)
    job = taken(database)
    with database.connect() as connection:
        fail_job(connection, job, "why")
    submitted(database)


@pytest.fixture
def as_api(database: Database) -> Callable[[RowAccess], ScopedConnection]:
    def connect(access: RowAccess) -> ScopedConnection:
        connection = ScopedConnection.connect(libpq_url(database.url))
        become_api(connection)
        connection.show_rows_of(access)
        return connection

    return connect


def test_row_level_security_shows_each_caller_their_own(
    database: Database, as_api: Callable[[RowAccess], ScopedConnection]
) -> None:
    with database.connect() as connection:
        for number in (1, 2):
            connection.execute(
                "INSERT INTO app_user (email, name, password_hash, role) VALUES (%s, 'n', 'h', 'analyst')",
                [f"u{number}@example.com"],
            )
    alice, bob = RowAccess(1, "analyst"), RowAccess(2, "analyst")
    jobs = {owner: new(owner) for owner in (1, 2, None)}
    for access in (alice, bob, RowAccess(None, "viewer")):
        with as_api(access) as connection:
            create_job(connection, jobs[access.user_id])
    with as_api(alice) as connection:
        assert [job.id for job in read_jobs(connection, None, 10)] == [jobs[1].id]
        with pytest.raises(NotFoundError):
            read_job(connection, jobs[2].id)
        assert not cancel_job(connection, jobs[2].id)
        assert not cancel_job(connection, jobs[None].id)
        assert cancel_job(connection, jobs[1].id)
    with as_api(bob) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        create_job(connection, new(1))
    with as_api(RowAccess(None, None)) as connection:
        assert read_jobs(connection, None, 10) == []
        assert claim_job(connection, uuid4(), CODE) is None
    with as_api(RowAccess(None, "operator")) as connection:
        assert len(read_jobs(connection, None, 10)) == 3
        found = claim_job(connection, uuid4(), CODE)
        assert found is not None
        assert keep_part(connection, found, Part(0, b"part"), 1)
        connection.commit()
    with as_api(bob) as connection:
        assert connection.execute("SELECT count(*) FROM simulation_part").fetchone() == (0,)
