"""Answers of vendors are kept once, byte by byte, for a while."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from pipeline.base.errors import ConflictError, NotFoundError
from pipeline.store.engine import Database
from pipeline.store.raw_payloads import (
    Refusal,
    StoredPayload,
    find_payload,
    forget_old_payloads,
    keep_payloads,
    keep_refused,
    read_payload,
    read_refused,
)
from pipeline.store.writing import open_write

CONTENT = b'[{"date": "2022-05-02", "close": 10.0}]' * 50


def payload(content: bytes, name: str = "AAPL") -> StoredPayload:
    return StoredPayload(hashlib.sha256(content).hexdigest(), name, "application/json", content)


def keep(database: Database, *payloads: StoredPayload) -> int:
    with open_write(database, "prices", "run", "v1") as write:
        return keep_payloads(write, "vendor", payloads)


def test_bytes_come_back_as_they_came(database: Database) -> None:
    assert keep(database, payload(CONTENT), payload(b"", "EMPTY"), payload(bytes(range(256)), "BINARY")) == 3
    with database.connect() as connection:
        for content in (CONTENT, b"", bytes(range(256))):
            assert read_payload(connection, payload(content).sha256) == content
        assert read_payload(connection, "0" * 64) is None
        sizes = connection.execute("SELECT size_bytes, length(content) FROM raw_payload WHERE name = 'AAPL'")
        assert sizes.fetchone()[1] < len(CONTENT) / 10


def test_an_equal_answer_is_kept_once(database: Database) -> None:
    keep(database, payload(CONTENT))
    assert keep(database, payload(CONTENT)) == 0
    with database.connect() as connection:
        rows = connection.execute("SELECT first_materialization_id, last_materialization_id FROM raw_payload")
        assert rows.fetchall() == [(1, 2)]


def test_old_answers_are_forgotten(database: Database) -> None:
    keep(database, payload(CONTENT), payload(b"old", "OLD"))
    with database.connect() as connection:
        connection.execute("UPDATE raw_payload SET last_seen_at = last_seen_at - interval '91 days' WHERE name = 'OLD'")
        assert forget_old_payloads(connection) == 1
        assert forget_old_payloads(connection, timedelta(seconds=-60)) == 1


# Refused ---------------------------------------------------------------------------------------------------

DRIFT = Refusal("vendor", "prices", "schema_drift", "it lacks close")


def refuse(database: Database, *payloads: StoredPayload, refusal: Refusal = DRIFT) -> int:
    with database.connect() as connection:
        return keep_refused(connection, refusal, payloads)


def test_a_refused_answer_is_kept_once_with_every_reason(database: Database) -> None:
    assert refuse(database, payload(CONTENT), payload(b"other", "MSFT")) == 2
    assert refuse(database, payload(CONTENT)) == 0
    assert refuse(database, payload(CONTENT, "KO"), refusal=Refusal("vendor", "prices", "html_payload", "a page")) == 0
    with database.connect() as connection:
        refused = read_refused(connection)
        assert find_payload(connection, payload(CONTENT).sha256) == CONTENT
        assert connection.execute("SELECT count(*) FROM raw_payload").fetchone() == (2,)
    assert [(row.name, row.rule, row.reason, row.times) for row in refused] == [
        ("KO", "html_payload", "a page", 1),
        ("AAPL", "schema_drift", "it lacks close", 2),
        ("MSFT", "schema_drift", "it lacks close", 1),
    ]
    assert refused[1].first_refused_at < refused[1].last_refused_at
    assert (refused[1].size_bytes, refused[1].media_type) == (len(CONTENT), "application/json")


def test_an_answer_may_be_read_and_refused_in_any_order(database: Database) -> None:
    def writers() -> tuple:
        with database.connect() as connection:
            rows = connection.execute("SELECT first_materialization_id, last_materialization_id FROM raw_payload")
            return rows.fetchone()

    refuse(database, payload(CONTENT))
    assert writers() == (None, None)
    keep(database, payload(CONTENT))
    assert writers() == (1, 1)
    refuse(database, payload(CONTENT))
    keep(database, payload(CONTENT))
    assert writers() == (1, 2)


def test_a_reason_is_forgotten_with_its_answer(database: Database) -> None:
    refuse(database, payload(CONTENT))
    with database.connect() as connection:
        connection.execute("UPDATE raw_payload SET last_seen_at = last_seen_at - interval '91 days'")
    refuse(database, payload(b"new", "NEW"))
    with database.connect() as connection:
        assert forget_old_payloads(connection) == 1
        assert [row.name for row in read_refused(connection)] == ["NEW"]


def test_an_answer_is_found_by_the_beginning_of_its_digest(database: Database) -> None:
    answers = [payload(bytes([number])) for number in range(17)]  # two of which begin alike
    refuse(database, *answers)
    with database.connect() as connection:
        assert find_payload(connection, answers[3].sha256[:10].upper()) == answers[3].content
        with pytest.raises(ConflictError, match="Several answers"):
            find_payload(connection, "")
        beginnings = [answer.sha256[0] for answer in answers]
        twice = next(digit for digit in beginnings if beginnings.count(digit) > 1)
        with pytest.raises(ConflictError, match="Give more of it"):
            find_payload(connection, twice)
        for wrong in ("f" * 64, "%", "_"):
            with pytest.raises(NotFoundError, match="fintech quarantine payloads"):
                find_payload(connection, wrong)
