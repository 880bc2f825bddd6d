"""What is kept of packages' modules: their bytecode, packed, in the source's place, which runs as the source did."""

from __future__ import annotations

import compileall
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from pipeline.base.settings import PROJECT_ROOT

SCRIPT = PROJECT_ROOT / "deploy/scripts/keep-bytecode.py"
SAVED_NOTHING = "0.0 MB of sources and compiled modules left out\n"
SOURCE = 'def half(x):\n    """A half."""\n    return x / 2\n'


def environment(packages: Path) -> Path:
    return packages.parents[2]


def keep(packages: Path) -> str:
    command = [sys.executable, SCRIPT, environment(packages)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def run(packages: Path, program: str) -> subprocess.CompletedProcess[str]:
    """By the Python of the environment."""
    command = [environment(packages) / "bin/python", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """The folder of an environment's packages, compiled as an installer does."""
    venv.create(tmp_path)
    [packages] = tmp_path.glob("lib/python*/site-packages")
    for name in ("halving", "psycopg"):
        (packages / name).mkdir()
        (packages / name / "__init__.py").write_text(SOURCE)
        (packages / name / "template.py").write_text("class {{ name }}:\n")
        (packages / name / "data.csv").write_text("1,2\n")
    compileall.compile_dir(packages, quiet=2)
    return packages


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_package_runs_without_its_sources(packages: Path) -> None:
    assert keep(packages) == SAVED_NOTHING
    assert names(packages / "halving") == {"__init__.pyc", "template.py", "data.csv"}
    done = run(packages, "import halving; print(halving.half(3), halving.half.__doc__); halving.half('x')")
    assert done.stdout == "1.5 A half.\n"
    assert done.returncode == 1
    assert f'File "{packages}/halving/__init__.py", line 3, in half' in done.stderr
    assert "TypeError" in done.stderr


def test_it_says_what_it_saved(packages: Path) -> None:
    (packages / "halving/large.py").write_text(f"x = 1  # {'long ' * 100_000}\ny = '{'long ' * 100_000}'")
    compileall.compile_dir(packages, quiet=2)
    assert keep(packages) == "1.5 MB of sources and compiled modules left out\n"
    assert run(packages, "from halving import large; print(len(large.y))").stdout == "500000\n"


def test_what_is_packed_is_found_like_any_module(packages: Path) -> None:
    (packages / "halving/sub").mkdir()
    (packages / "halving/sub/__init__.py").touch()
    (packages / "halving/sub/deep.py").write_text("print(__name__, __file__)\n")
    compileall.compile_dir(packages, quiet=2)
    keep(packages)
    program = (
        "import halving, importlib.resources, pkgutil, runpy\n"
        "print(sorted(found.name for found in pkgutil.walk_packages(halving.__path__, 'halving.')))\n"
        "print(importlib.resources.files(halving).joinpath('data.csv').read_text().strip())\n"
        "runpy.run_module('halving.sub.deep', run_name='ran')"
    )
    done = run(packages, program)
    found, data, ran = done.stdout.splitlines() or [done.stderr, "", ""]
    assert found == "['halving.sub', 'halving.sub.deep', 'halving.template']"
    assert data == "1,2"
    assert ran == f"ran {packages}/halving/sub/deep.pyc"


def test_a_python_that_cannot_unpack_says_so(packages: Path) -> None:
    keep(packages)
    command = [sys.executable, "-c", "import halving"]
    done = subprocess.run(command, cwd=packages, capture_output=True, text=True, check=False)
    assert "ImportError: bad magic number in 'halving'" in done.stderr


def test_modules_elsewhere_are_imported_as_ever(packages: Path, tmp_path: Path) -> None:
    keep(packages)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/mine.py").write_text("x = 1\n")
    program = (
        f"import sys; sys.path.insert(0, '{tmp_path / 'own'}'); import mine; print(type(mine.__loader__).__name__)"
    )
    assert run(packages, program).stdout == "SourceFileLoader\n"


def test_packages_under_the_lgpl_bring_their_sources(packages: Path) -> None:
    keep(packages)
    assert names(packages / "psycopg") == {"__init__.pyc", "template.py", "data.csv"}
    assert (environment(packages) / "share/sources/psycopg/__init__.py").read_text() == SOURCE


def test_alembic_finds_a_packages_migrations(packages: Path) -> None:
    scripts = packages / "halving/migrations"
    (scripts / "versions").mkdir(parents=True)
    for name in ("env.py", "versions/001_first.py"):
        (scripts / name).write_text("revision = '001'\ndown_revision = None\n")
    compileall.compile_dir(packages, quiet=2)
    keep(packages)
    assert ScriptDirectory(str(scripts)).get_current_head() == "001"


def test_what_was_kept_is_not_touched_again(packages: Path) -> None:
    """Else a file of a lower layer would come a second time into an image."""
    keep(packages)
    known = {path: path.stat().st_mtime_ns for path in packages.rglob("*") if path.is_file()}
    assert keep(packages) == SAVED_NOTHING
    assert {path: path.stat().st_mtime_ns for path in packages.rglob("*") if path.is_file()} == known
