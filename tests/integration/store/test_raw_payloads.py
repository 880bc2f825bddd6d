"""Answers of vendors are kept once, byte by byte, for a while."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from pipeline.store.engine import Database
from pipeline.store.raw_payloads import StoredPayload, forget_old_payloads, keep_payloads, read_payload
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
