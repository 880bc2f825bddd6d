"""Every migration since the baseline expands only, so that a rollback needs none (ADR 0018)."""

from __future__ import annotations

import pytest
from alembic.script import Script, ScriptDirectory

from pipeline.store.migrating import alembic_config
from tests.unit.store.migration_rules import BASELINE, EXEMPT, contracting, statements_of

SCRIPTS = ScriptDirectory.from_config(alembic_config())
LATER = [script for script in SCRIPTS.walk_revisions() if script.revision > BASELINE]


@pytest.mark.parametrize("script", LATER, ids=lambda script: script.revision)
def test_a_migration_expands(script: Script) -> None:
    exempt = EXEMPT.get(script.revision, {})
    refused = [s for s in contracting(statements_of(script.module)) if not s.startswith(tuple(exempt) or ("\0",))]
    assert not refused, (
        f"{script.revision}: code of the release before fails on this; expand now and contract in a later release"
        f" (docs/decisions/0018-expand-then-contract.md): {refused}"
    )


def test_exemptions_name_revisions_and_reasons() -> None:
    for revision, reasons in EXEMPT.items():
        statements = contracting(statements_of(SCRIPTS.get_revision(revision).module))
        for beginning, reason in reasons.items():
            assert any(statement.startswith(beginning) for statement in statements), beginning
            assert reason


def test_revisions_are_one_line_without_branches() -> None:
    assert len(SCRIPTS.get_heads()) == 1
    numbers = sorted(script.revision for script in SCRIPTS.walk_revisions())
    assert numbers == [f"{number:04d}" for number in range(1, len(numbers) + 1)]


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE price DROP COLUMN close",
        "ALTER TABLE price RENAME close TO last",
        "ALTER TABLE price RENAME TO bar",
        "ALTER TABLE price ADD COLUMN x INTEGER NOT NULL",
        "ALTER TABLE price ALTER COLUMN close SET NOT NULL",
        "ALTER TABLE price ALTER COLUMN close TYPE INTEGER",
        "ALTER TABLE price ALTER COLUMN close DROP DEFAULT",
        "ALTER TABLE price ADD CONSTRAINT price_close_check CHECK (close > 0)",
        "ALTER TABLE price DROP CONSTRAINT price_pkey",
        "ALTER TABLE price ENABLE ROW LEVEL SECURITY",
        "CREATE UNIQUE INDEX i ON price (close)",
        "CREATE POLICY p ON price FOR SELECT USING (false)",
        "CREATE TRIGGER t BEFORE INSERT ON price EXECUTE FUNCTION refuse()",
        "DROP TABLE price",
        "DROP INDEX i",
        "DELETE FROM price",
        "REVOKE SELECT ON price FROM fintech_api",
        "TRUNCATE price",
        "DO $$ BEGIN END $$",
    ],
)
def test_what_contracts_is_found(statement: str) -> None:
    assert contracting(["CREATE TABLE other (id INTEGER NOT NULL)", statement]) == [statement]


def test_what_expands_is_let_through() -> None:
    statements = [
        "CREATE TABLE other (id INTEGER NOT NULL)",
        "ALTER TABLE other ADD CONSTRAINT c CHECK (id > 0)",
        "CREATE UNIQUE INDEX i ON other (id)",
        "CREATE POLICY p ON other FOR SELECT USING (true)",
        "CREATE TRIGGER t AFTER INSERT OR UPDATE ON other FOR EACH STATEMENT EXECUTE FUNCTION note_data_change()",
        "ALTER TABLE price ADD COLUMN x INTEGER",
        "ALTER TABLE price ADD COLUMN x INTEGER DEFAULT '1' NOT NULL",
        "ALTER TABLE price ALTER COLUMN close DROP NOT NULL",
        "ALTER TABLE price ALTER body SET STORAGE EXTERNAL",
        "CREATE INDEX i ON price (close)",
        "COMMENT ON TABLE price IS 'Bars.'",
        "GRANT INSERT ON other TO fintech_api",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO fintech_api",
        "INSERT INTO other SELECT 1",
    ]
    assert contracting(statements) == []


def test_the_rules_find_what_earlier_revisions_did() -> None:
    """They read real migrations: 0002 and 0003 took columns away, which nothing that was deployed needed."""
    found = contracting(statements_of(SCRIPTS.get_revision("0003").module))
    assert any(statement.startswith("ALTER TABLE instrument DROP ") for statement in found)
