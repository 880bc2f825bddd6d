"""Code of the last release runs on the schema of this one: what it reads and writes is still there (ADR 0018)."""

from __future__ import annotations

import json

import pytest
from alembic.script import ScriptDirectory

from pipeline.store.engine import Database
from pipeline.store.migrating import alembic_config
from tests.docs.schema_contract import FILE, broken, in_lines, read_contract

RECORDED = json.loads(FILE.read_text())


def test_the_schema_gives_the_last_release_all_that_it_needs(database: Database) -> None:
    with database.connect() as connection:
        found = read_contract(connection)
    assert broken(RECORDED, found) == []


def test_the_record_is_of_a_revision_and_of_every_table() -> None:
    revisions = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    assert RECORDED["revision"] in revisions
    assert {"price", "portfolio", "audit_entry"} < set(RECORDED["tables"])
    assert in_lines(RECORDED) == FILE.read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP TABLE idempotent_request", "idempotent_request is gone"),
        ("ALTER TABLE price DROP COLUMN close", "price.close is gone"),
        ("ALTER TABLE price RENAME COLUMN close TO last", "price.close is gone"),
        ("ALTER TABLE price ALTER close TYPE real", "price.close was double precision and is real"),
        ("ALTER TABLE price ALTER close SET NOT NULL", "price.close might be empty and now demanded"),
        ("ALTER TABLE idempotent_request ALTER state DROP DEFAULT", "state has a default and now demanded"),
        ("ALTER TABLE price ADD COLUMN venue text NOT NULL", "price.venue is new and demanded"),
        ("ALTER TABLE price ADD CHECK (close > 1)", "price now demands CHECK"),
        ("ALTER TABLE price ADD UNIQUE (instrument_id)", "price now demands UNIQUE (instrument_id)"),
        ("ALTER TABLE app_user DROP CONSTRAINT app_user_email_key", "app_user no longer has UNIQUE (email)"),
        ("REVOKE DELETE ON portfolio FROM fintech_api", "portfolio: DELETE is not granted"),
    ],
)
def test_what_old_code_would_miss_is_told(database: Database, change: str, said: str) -> None:
    with database.connect() as connection:
        connection.execute(change)
        told = broken(RECORDED, read_contract(connection))
        connection.rollback()
    assert len(told) == 1
    assert said in told[0]


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE other (id int NOT NULL)",
        "ALTER TABLE price ADD COLUMN venue text",
        "ALTER TABLE price ADD COLUMN venue text NOT NULL DEFAULT ''",
        "ALTER TABLE price ADD COLUMN venue text CHECK (venue <> '')",
        "ALTER TABLE price ALTER source DROP NOT NULL",
        "GRANT TRUNCATE ON price TO fintech_api",
    ],
)
def test_what_old_code_does_not_see_is_let_through(database: Database, change: str) -> None:
    with database.connect() as connection:
        connection.execute(change)
        assert broken(RECORDED, read_contract(connection)) == []
        connection.rollback()
