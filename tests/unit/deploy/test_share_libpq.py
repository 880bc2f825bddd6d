"""The drivers of Postgres share one libpq, as a program finds it by the names that it was linked to."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

import pytest

from pipeline.base.settings import PROJECT_ROOT

SCRIPT = PROJECT_ROOT / "deploy/scripts/share-libpq.py"
VERSIONS = (
    "import psycopg2.extensions as old, psycopg.pq as new; print(old.libpq_version(), new.version(), old.__file__)"
)
OWN = "psycopg2_binary.libs"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the wheels of other systems keep libraries elsewhere")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Both drivers, as their wheels were installed."""
    for distribution in ("psycopg", "psycopg-binary", "psycopg2-binary"):
        for file in files(distribution) or ():
            if ".." not in file.parts:
                target = tmp_path / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(Path(str(file.locate())).read_bytes())
    return tmp_path


def share(packages: Path) -> str:
    done = subprocess.run([sys.executable, SCRIPT, packages], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_both_load_the_newer_one(packages: Path) -> None:
    assert float(share(packages).split()[0]) > 5
    done = subprocess.run([sys.executable, "-c", VERSIONS], cwd=packages, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    old, new, where = done.stdout.split()
    assert old == new
    assert where.startswith(str(packages))


def test_what_is_shared_is_not_shared_again(packages: Path) -> None:
    share(packages)
    assert share(packages) == ""


def test_a_driver_alone_keeps_its_own(packages: Path) -> None:
    (packages / "psycopg_binary.libs").rename(packages / "elsewhere")
    assert share(packages) == ""
    assert not (packages / OWN).is_symlink()


def test_an_older_one_is_not_given_to_a_newer_driver(packages: Path) -> None:
    [libpq] = (packages / OWN).glob("libpq-*")
    libpq.rename(libpq.with_name("libpq-00000000.so.5.99"))
    assert "libpq-00000000.so.5.99 is newer than libpq-" in share(packages)
    assert not (packages / OWN).is_symlink()
