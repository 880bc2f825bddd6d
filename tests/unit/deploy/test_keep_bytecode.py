"""What is kept of packages' modules: their bytecode in the source's place, which runs as the source did."""

from __future__ import annotations

import compileall
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from pipeline.base.settings import PROJECT_ROOT

SCRIPT = PROJECT_ROOT / "deploy/scripts/keep-bytecode.py"
SOURCE = 'def half(x):\n    """A half."""\n    return x / 2\n'


def keep(folder: Path) -> str:
    done = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder of packages, compiled as an installer does."""
    for name in ("halving", "psycopg"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(SOURCE)
        (tmp_path / name / "template.py").write_text("class {{ name }}:\n")
        (tmp_path / name / "data.csv").write_text("1,2\n")
    compileall.compile_dir(tmp_path, quiet=2)
    return tmp_path


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_package_runs_without_its_sources(packages: Path) -> None:
    assert keep(packages) == "0.0 MB of sources left out\n"
    assert names(packages / "halving") == {"__init__.pyc", "template.py", "data.csv"}
    program = "import halving; print(halving.half(3), halving.half.__doc__, halving.half('x'))"
    done = subprocess.run([sys.executable, "-c", program], cwd=packages, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f'File "{packages}/halving/__init__.py", line 3, in half' in done.stderr
    assert "TypeError" in done.stderr


def test_it_says_what_it_saved(packages: Path) -> None:
    (packages / "halving/large.py").write_text("x = 1  # " + "long " * 100_000)
    compileall.compile_dir(packages, quiet=2)
    assert keep(packages) == "0.5 MB of sources left out\n"


def test_packages_under_the_lgpl_bring_their_sources(packages: Path) -> None:
    keep(packages)
    assert names(packages / "psycopg") == {"__init__.pyc", "template.py", "data.csv"}
    assert (packages / "share/sources/psycopg/__init__.py").read_text() == SOURCE


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
    assert keep(packages) == "0.0 MB of sources left out\n"
    assert {path: path.stat().st_mtime_ns for path in packages.rglob("*") if path.is_file()} == known
