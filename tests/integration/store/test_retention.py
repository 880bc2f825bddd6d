"""What is no longer kept goes, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from pipeline.store import retention
from pipeline.store.access import become_api
from pipeline.store.audit import Actor, read_audit, record
from pipeline.store.engine import Database
from pipeline.store.retention import AUDIT, count_gone, prune, retentions

ACTOR = Actor("command line (test)")
AGES = ("1 hour", "2 years")
"""A row of each table that stays, and one that goes."""


@pytest.fixture
def filled(database: Database) -> Database:
    """A young and an old row of everything."""
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO app_user (email, name, password_hash, role) VALUES ('a@example.com', 'A', 'x', 'viewer')"
        )
        for number, age in enumerate(AGES):
            _fill(connection, number, age)
        connection.execute("INSERT INTO data_change (table_name) SELECT 'position' FROM generate_series(1, 10500)")
    return database


def _fill(connection: psycopg.Connection, number: int, age: str) -> None:
    values = {"n": str(number), "age": age, "uuid": f"00000000-0000-0000-0000-00000000000{number}"}
    for statement in (
        """INSERT INTO raw_payload (sha256, provider, name, media_type, size_bytes, content, last_seen_at)
        VALUES (%(n)s, 'p', 'n', 't', 1, 'x', now() - %(age)s::interval)""",
        """INSERT INTO payload_refusal (sha256, provider, name, rule, asset, reason, times)
        VALUES (%(n)s, 'p', 'n', 'r', 'a', 'why', 1)""",
        """INSERT INTO idempotent_request (caller, key, request, attempt, created_at)
        VALUES ('c', %(n)s, 'x', %(uuid)s, now() - %(age)s::interval)""",
        """INSERT INTO refresh_token (user_id, family, sha256, expires_at)
        VALUES (1, %(n)s::text, %(n)s::text::bytea, now() - %(age)s::interval)""",
    ):
        connection.execute(statement, values)
    record(connection, ACTOR, "test", f"{number}")
    connection.execute("ALTER TABLE audit_entry DISABLE TRIGGER refuse_audit_change")
    connection.execute("UPDATE audit_entry SET at = now() - %(age)s::interval WHERE subject = %(n)s", values)
    connection.execute("ALTER TABLE audit_entry ENABLE TRIGGER refuse_audit_change")


def rows(database: Database, *tables: str) -> list[int]:
    with database.connect() as connection:
        return [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]


def test_what_would_go_is_counted_and_then_goes(filled: Database) -> None:
    rules = retentions(365)
    counted = count_gone(filled, rules)
    assert counted == {
        "vendors' answers": 1,
        "simulations": 0,
        "answers to requests with a key": 1,
        "tokens of logins": 1,
        "numbers of changes": 500,
        AUDIT: 1,
    }
    tables = ("raw_payload", "payload_refusal", "idempotent_request", "refresh_token", "audit_entry")
    assert rows(filled, *tables) == [2] * 5
    assert prune(filled, rules, ACTOR) == counted
    assert rows(filled, *tables) == [1, 1, 1, 1, 2]  # the audit log says that it was pruned
    assert rows(filled, "data_change") == [10_000]
    assert count_gone(filled, rules) == dict.fromkeys(counted, 0)


def test_the_audit_log_is_kept_for_ever_unless_it_is_set(filled: Database) -> None:
    prune(filled, retentions(None), ACTOR)
    assert rows(filled, "audit_entry") == [2]


def test_pruning_the_audit_log_is_noted_and_closes_it_again(filled: Database) -> None:
    prune(filled, retentions(365), ACTOR)
    with filled.connect() as connection:
        [noted, young] = read_audit(connection, None, 10)
    assert (noted.action, noted.actor, noted.detail) == (
        "audit.prune",
        ACTOR.name,
        {"entries": 1, "kept": "365 days, 0:00:00"},
    )
    assert young.subject == "0"
    with filled.connect() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege, match="only added"):
        connection.execute("DELETE FROM audit_entry")


def test_whoever_serves_cannot_prune_it(filled: Database) -> None:
    with filled.connect() as connection:
        become_api(connection)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="must be owner"):
            connection.execute("ALTER TABLE audit_entry DISABLE TRIGGER refuse_audit_change")


def test_many_go_in_batches(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 200)
    assert prune(filled, retentions(None), ACTOR)["numbers of changes"] == 500


def test_a_writer_in_the_way_makes_it_wait_a_little_only(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "LOCK_PATIENCE", "100ms")
    with filled.connect() as writer:
        record(writer, ACTOR, "test", "under way")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            prune(filled, retentions(365), ACTOR)
    assert prune(filled, retentions(365), ACTOR)[AUDIT] == 1


def test_every_rule_has_its_time() -> None:
    for rule in retentions(30):
        assert (rule.kept is not None) == ("%(kept)s" in rule.gone)
    assert retentions(30)[-1].kept == timedelta(days=30)
