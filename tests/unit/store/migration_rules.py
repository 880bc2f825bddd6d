"""What a migration may do while code of the release before it still runs (ADR 0018)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import ModuleType

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

BASELINE = "0016"
"""Revisions up to it were made before anything was deployed by rollout."""

EXEMPT: Mapping[str, Mapping[str, str]] = {
    "0018": {
        "ALTER TABLE portfolio DROP CONSTRAINT portfolio_rebalancing_check": "the next statement makes it again, wider",
        "ALTER TABLE portfolio ADD CONSTRAINT portfolio_rebalancing_check": "it takes all that the check before took",
        "ALTER TABLE portfolio ADD CONSTRAINT portfolio_drift_band_check": (
            "code of before knows neither the policy nor the column; only what new code has made a drift band of"
            " cannot be given another policy by it"
        ),
    },
    "0024": dict.fromkeys(
        (
            "ALTER TABLE price RENAME TO price_1",
            "ALTER INDEX price_pkey RENAME TO price_1_pkey",
            "DO $$ DECLARE known pg_class",
            "ALTER TABLE price ATTACH PARTITION price_1",
        ),
        "the next statements make a table of the same name, columns, key and rights, whose only range is the one"
        " that was in use; code of before reads and loads it as it did, and rebuilds it in place, since it has ranges",
    ),
    "0025": {
        "CREATE TRIGGER announce_data_version AFTER INSERT ON": "it refuses nothing; old code does not listen",
    },
}
"""Revision → beginning of a statement that is refused → why code of the release before lives with it."""

_NAME = r'(?:ONLY )?"?(?P<table>\w+)"?'
_EXPANDING = (
    r"CREATE TABLE ",
    r"CREATE INDEX ",
    r"CREATE (?:OR REPLACE )?FUNCTION ",
    r"COMMENT ON ",
    r"GRANT ",
    r"INSERT INTO ",
    r"UPDATE ",
    rf"ALTER TABLE {_NAME} ALTER (?:COLUMN )?\w+ (?:DROP NOT NULL|SET DEFAULT |SET STORAGE )",
    r"ALTER DEFAULT PRIVILEGES .* GRANT ",
)
_ON_NEW_TABLES = (
    rf"CREATE UNIQUE INDEX \w+ ON {_NAME}",
    rf"CREATE TRIGGER \w+ .*? ON {_NAME}",
    rf"CREATE POLICY \w+ ON {_NAME}",
    rf"ALTER TABLE {_NAME} (?:ADD CONSTRAINT |ENABLE ROW LEVEL SECURITY)",
)
"""On a table that code is reading or writing already these refuse what it may be doing."""
_ADDED_COLUMN = rf"ALTER TABLE {_NAME} ADD COLUMN "


def statements_of(migration: ModuleType) -> list[str]:
    """The SQL of a revision's `upgrade`, each statement on one line."""

    class Statements(list[str]):
        def write(self, text: str) -> None:
            self.append(" ".join(text.split()).rstrip(";"))

        def flush(self) -> None:
            """As of a file."""

    made = Statements()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": made})
    with Operations.context(context):
        migration.upgrade()
    return [statement for statement in made if statement]


def contracting(statements: list[str]) -> list[str]:
    """The statements that old code may not survive."""
    created = {found["table"] for s in statements if (found := re.match(rf"CREATE TABLE {_NAME}", s))}
    return [statement for statement in statements if not _expands(statement, created)]


def _expands(statement: str, created: set[str]) -> bool:
    if re.match(_ADDED_COLUMN, statement):
        return "NOT NULL" not in statement or " DEFAULT " in statement or " GENERATED " in statement
    if any(re.match(pattern, statement) for pattern in _EXPANDING):
        return True
    found = next((found for pattern in _ON_NEW_TABLES if (found := re.match(pattern, statement))), None)
    return found is not None and found["table"] in created
