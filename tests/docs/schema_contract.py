"""What released code needs of the database: ``docs/schema-contract.json``, and whether a newer schema still gives it.

``python -m tests.docs.schema_contract`` records the schema of this code. It is run when a version is released, not
before: in between the file says what the *last* release reads and writes (ADR 0018).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psycopg import Connection

from pipeline.base.settings import PROJECT_ROOT
from pipeline.store.access import API_ROLE
from pipeline.store.embedded import embedded_server
from pipeline.store.engine import Database, with_database
from pipeline.store.migrating import migrate

FILE = PROJECT_ROOT / "docs" / "schema-contract.json"

Contract = Mapping[str, Any]

_COLUMNS = """
SELECT relname, attname, format_type(atttypid, atttypmod),
    attnotnull AND NOT atthasdef AND attidentity = '' AS is_demanded, attnotnull
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND attnum > 0 AND NOT attisdropped AND relname <> 'alembic_version'
ORDER BY relname, attname
"""
_CONSTRAINTS = """
SELECT relname, contype::text, pg_get_constraintdef(pg_constraint.oid),
    ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY(conkey) ORDER BY attname)
FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
WHERE relnamespace = 'public'::regnamespace AND contype IN ('c', 'f', 'p', 'u')
ORDER BY 1, 2, 3
"""
_GRANTS = """
SELECT relname, privilege_type FROM pg_class, aclexplode(relacl)
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND grantee = %s::regrole ORDER BY 1, 2
"""


def read_contract(connection: Connection) -> Contract:
    """Table → its columns, constraints and the rights of the API's role, as a database has them now."""
    tables: dict[str, dict[str, Any]] = {}
    for table, column, kind, is_demanded, is_never_empty in connection.execute(_COLUMNS):
        known = tables.setdefault(table, {"columns": {}, "constraints": [], "granted": []})
        need = "demanded" if is_demanded else "has a default" if is_never_empty else "may be empty"
        known["columns"][column] = [kind, need]
    for table, kind, definition, columns in connection.execute(_CONSTRAINTS):
        if table in tables:
            tables[table]["constraints"].append([kind, definition, columns])
    for table, privilege in connection.execute(_GRANTS, [API_ROLE]):
        if table in tables:
            tables[table]["granted"].append(privilege)
    [(revision,)] = connection.execute("SELECT version_num FROM alembic_version")
    return {"revision": revision, "tables": tables}


def broken(recorded: Contract, found: Contract) -> list[str]:
    """What code that was written against `recorded` misses in `found`, in words."""
    told = []
    for table, known in recorded["tables"].items():
        now = found["tables"].get(table)
        if now is None:
            told.append(f"{table} is gone")
            continue
        told += _broken_columns(table, known["columns"], now["columns"])
        told += _broken_constraints(table, known, now)
        told += [f"{table}: {right} is not granted" for right in set(known["granted"]) - set(now["granted"])]
    return told


def _broken_columns(table: str, known: Mapping[str, list[str]], now: Mapping[str, list[str]]) -> list[str]:
    told = []
    for name, (kind, need) in known.items():
        if name not in now:
            told.append(f"{table}.{name} is gone")
        elif now[name][0] != kind:
            told.append(f"{table}.{name} was {kind} and is {now[name][0]}")
        elif now[name][1] != need and (now[name][1] == "demanded" or need == "may be empty"):
            told.append(f"{table}.{name} {need.replace('may', 'might')} and now {now[name][1]}")
    added = (name for name in now if name not in known)
    return told + [f"{table}.{name} is new and demanded" for name in added if now[name][1] == "demanded"]


def _broken_constraints(table: str, known: Contract, now: Contract) -> list[str]:
    """Constraints that refuse what was written before, and keys that ``ON CONFLICT`` no longer finds.

    A check that another one of the same columns takes the place of is left to the reviewer of the migration, who has
    to exempt it (`tests.unit.store.migration_rules`); so is one that a new column takes part in.
    """
    keys = [c for c in known["constraints"] if c[0] in ("p", "u") and c not in now["constraints"]]
    told = [f"{table} no longer has {definition}" for _, definition, _ in keys]
    for kind, definition, columns in now["constraints"]:
        is_known = any(columns == other[2] and kind == other[0] for other in known["constraints"])
        if not is_known and set(columns) <= set(known["columns"]):
            told.append(f"{table} now demands {definition}")
    return told


def write_contract() -> None:
    """Record the schema of this code."""
    with (
        tempfile.TemporaryDirectory(prefix="fintech-contract-", ignore_cleanup_errors=True) as folder,
        embedded_server(Path(folder) / "pg") as server,
    ):
        database = Database(with_database(server, "contract"))
        database.ensure_exists()
        migrate(database.url)
        with database.connect() as connection:
            FILE.write_text(in_lines(read_contract(connection)))


def in_lines(contract: Contract) -> str:
    """As JSON with a line a column."""
    lines = [f'{{\n"revision": "{contract["revision"]}",\n"tables": {{']
    tables = []
    for table, known in contract["tables"].items():
        columns = ",\n".join(f"    {json.dumps(name)}: {json.dumps(c)}" for name, c in known["columns"].items())
        constraints = ",\n".join(f"    {json.dumps(c)}" for c in known["constraints"])
        tables.append(
            f'"{table}": {{\n  "columns": {{\n{columns}\n  }},\n  "constraints": [\n{constraints}\n  ],\n'
            f'  "granted": {json.dumps(known["granted"])}\n}}'
        )
    return "\n".join([*lines, ",\n".join(tables), "}\n}\n"])


if __name__ == "__main__":
    write_contract()
