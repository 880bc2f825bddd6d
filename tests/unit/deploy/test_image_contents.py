"""What the images leave out of their packages, held against what the code imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base.settings import PROJECT_ROOT

INSTALL = (PROJECT_ROOT / "deploy/scripts/install-locks.sh").read_text()
DOCKERFILE = (PROJECT_ROOT / "Dockerfile").read_text()
ROOMS = ("pipeline", "serving", "fintech", "deploy")
CALENDARS = {"exchange_calendars", "pandas"}
"""Left out of every image but those of market data and, for pandas, of simulations."""
MAY_USE_CALENDARS = (
    "pipeline/base/calendars.py",  # when a session is asked for, which market data alone does
    "pipeline/market_data/",
    "fintech/answers/",  # of the client, who is elsewhere
    "fintech/client/",
    "fintech/series.py",
)


def imports(path: Path) -> Iterator[str]:
    """Dotted names of all that a module imports when it runs, in its functions too; not for type checkers alone."""
    tree = ast.parse(path.read_text())
    typed = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in typed:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{name.name}" for name in node.names)


MODULES = {
    str(path.relative_to(PROJECT_ROOT)): set(imports(path))
    for room in ROOMS
    for path in sorted((PROJECT_ROOT / room).rglob("*.py"))
}


def scipy_parts_left_out() -> tuple[set[str], set[str]]:
    """Those that portfolio-simulation alone has, and those that no image has."""
    statistical = re.search(r"^statistical='([a-z ]+)'$", INSTALL, re.MULTILINE)
    others = re.search(r"^for part in \$statistical ([a-z ]+); do$", INSTALL, re.MULTILINE)
    assert statistical is not None
    assert others is not None
    return set(statistical[1].split()), set(others[1].split())


def test_no_module_imports_a_part_of_scipy_that_its_image_leaves_out() -> None:
    simulations_alone, nobodys = scipy_parts_left_out()
    used = {
        path: {name.split(".")[1] for name in found if name.startswith("scipy.")} for path, found in MODULES.items()
    }
    assert {path for path, parts in used.items() if parts & nobodys} == set()
    wanting = {path for path, parts in used.items() if parts & simulations_alone}
    assert {path for path in wanting if not path.startswith("pipeline/simulation/")} == set()
    assert set().union(*used.values()) - simulations_alone == {"optimize", "special"}
    assert not any("scipy" in found for found in MODULES.values()), "name the part of scipy"


def test_what_other_images_load_needs_no_statistics() -> None:
    """The API and the other locations import none of the simulation's modules that need them."""
    program = "import sys, serving.app, fintech.cli, pipeline.risk.definitions, pipeline.forecast.definitions;"
    program += "print([name for name in sys.modules if name.startswith(('scipy.stats', 'pandas'))])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


@pytest.mark.parametrize("package", sorted(CALENDARS))
def test_only_market_data_and_the_client_import_calendars_and_tables(package: str) -> None:
    importers = [path for path, found in MODULES.items() if any(name.split(".")[0] == package for name in found)]
    assert importers, "what nobody imports needs no exception"
    assert [path for path in importers if not path.startswith(MAY_USE_CALENDARS)] == []


def test_only_market_data_asks_for_sessions() -> None:
    asking = [path for path, found in MODULES.items() if "pipeline.base.calendars.sessions_between" in found]
    assert asking
    assert all(path.startswith("pipeline/market_data/") for path in asking)


def test_the_dockerfile_leaves_out_what_is_tested_here() -> None:
    steps = dict(re.findall(r"/mnt/install-locks\.sh ([a-z-]+)((?:[^\n]|\\\n)*)", DOCKERFILE))
    assert set(steps) == {"serving", "gateway", "market-data", "risk", "simulation", "forecast", "dagster-host"}
    without_pandas = {lock for lock, rest in steps.items() if re.search(r"\bpandas\b", rest)}
    without_calendars = {lock for lock, rest in steps.items() if "exchange-calendars" in rest}
    assert without_pandas == set(steps) - {"market-data", "simulation"}
    assert without_calendars == set(steps) - {"market-data"}
    assert [lock for lock, rest in steps.items() if "--statistics" in rest] == ["simulation"]
