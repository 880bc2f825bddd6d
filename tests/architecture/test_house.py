"""Rules of the house that an import contract cannot see."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base.settings import PROJECT_ROOT, Settings, env_name

SQL = re.compile(
    r"^\s*(SELECT\s.+\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|MERGE\s+INTO\s|WITH\s+\w+\s+AS\s*\("
    r"|CREATE\s+(TABLE|TEMP|DATABASE|INDEX)|ALTER\s+TABLE|DROP\s+TABLE|TRUNCATE\s|COPY\s+\w+|SELECT\s+\d)",
    re.IGNORECASE | re.DOTALL,
)
SOURCES = sorted(
    path
    for room in ("pipeline", "serving", "fintech")
    for path in (PROJECT_ROOT / room).rglob("*.py")
    if (PROJECT_ROOT / "pipeline" / "store") not in path.parents
)


def sql_texts(source: str) -> list[str]:
    """Every string of a module, f-strings with their gaps, that is an SQL statement."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if SQL.match(text):
            found.append(text)
    return found


@pytest.mark.parametrize(
    "statement",
    [
        "q = 'SELECT a FROM b'",
        "q = f'select {a} from {b}'",
        "q = '''\n  INSERT INTO t VALUES (1)'''",
        "q = 'DELETE FROM t'",
        "execute('WITH a AS (SELECT 1) SELECT 2')",
        "execute('SELECT 1')",
    ],
)
def test_the_sql_test_finds_sql(statement: str) -> None:
    assert sql_texts(statement)


def test_the_sql_test_lets_prose_pass() -> None:
    assert not sql_texts("'''Select the instruments and merge into one panel.'''\nx = 'Update the page'")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT_ROOT)))
def test_sql_lives_in_the_store_alone(path: Path) -> None:
    assert sql_texts(path.read_text()) == []


def test_env_example_names_every_setting() -> None:
    lines = (PROJECT_ROOT / ".env.example").read_text().splitlines()
    named = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]
    assert named == [env_name(field) for field in Settings.model_fields]


def test_env_example_can_be_used_as_it_is(tmp_path: Path) -> None:
    copied = tmp_path / ".env"
    copied.write_text((PROJECT_ROOT / ".env.example").read_text())
    assert Settings(_env_file=copied).environment == "local"


def test_the_api_loads_no_dagster() -> None:
    program = "import sys, serving.app; print([m for m in sys.modules if m.split('.')[0] in ('dagster', 'pandas')])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


@pytest.mark.parametrize("lock", sorted((PROJECT_ROOT / "requirements").glob("*.lock")), ids=lambda path: path.name)
def test_locks_pin_with_hashes_and_name_no_index(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "--index-url" not in text
    pins = re.findall(r"^[a-z0-9][\w.\[\]-]*==\S+", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) > 0
    assert text.count("--hash=sha256:") >= len(pins)


def test_dagster_starts_nothing_at_import() -> None:
    """Definitions load without a database or a network: no variable of the environment is needed."""
    locations = ["market_data", "risk", "simulation", "forecast"]
    program = "\n".join(f"import pipeline.{name}.definitions" for name in locations)
    clean = {"PATH": "/usr/bin:/bin", "HOME": "/tmp"}
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=PROJECT_ROOT, env=clean)
