"""A disk without space: refused at the start, and a write that fills it leaves its table as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from pipeline.store.embedded import MINIMUM_FREE_MIB
from pipeline.store.engine import Database, libpq_url, with_database
from pipeline.store.migrating import migrate
from tests.integration.fintech.conftest import CommandLine

SMALL_MIB = 24
"""Room for a database with instruments and exchange rates, not for the prices."""


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of its own in memory, or a skip where none can be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="fintech-disk-"))
    folder.chmod(0o755)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_MIB}m,mode=0755", "tmpfs", str(folder)]
    try:
        mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
        if not mounted:
            pytest.skip("a small file system can be mounted by root alone, and not in every container")
        yield folder
    finally:
        if folder.is_mount():
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        shutil.rmtree(folder)


@pytest.fixture
def small_database(server: str) -> Iterator[Database]:
    """A database whose tables lie on a small disk; the server's own files do not."""
    name = f"small_{os.getpid()}"

    def tell(statement: str) -> list[tuple]:
        with psycopg.connect(libpq_url(server), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    with small_disk() as disk:
        folder = disk / "tables"
        folder.mkdir(mode=0o700)
        ((data_directory,),) = tell("SHOW data_directory")
        owner = Path(data_directory).stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
        tell(f"CREATE TABLESPACE {name} LOCATION '{folder}'")
        tell(f"CREATE DATABASE {name} TABLESPACE {name}")
        try:
            yield Database(with_database(server, name))
        finally:
            # A checkpoint, which a drop asks for, needs room for what is written already.
            subprocess.run(["mount", "-o", "remount,size=1g", str(disk)], check=True)
            for database in (f"{name}_dagster", name):
                tell(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
            tell(f"DROP TABLESPACE {name}")


def test_too_little_space_is_told_before_anything_is_written(command_line: CommandLine) -> None:
    with small_disk() as disk:
        refused = command_line.run("run", FINTECH_DATA_DIR=str(disk / "data"))
        made = {path.name for path in (disk / "data").iterdir()}
    assert f"MiB of disk space are free in {disk / 'data'}, and {MINIMUM_FREE_MIB} are needed" in refused.error_line
    assert "FINTECH_DATA_DIR" in refused.error_line
    assert refused.exit_code == 1
    assert made <= {"run.lock"}


@pytest.mark.slow
def test_a_disk_that_fills_during_a_write_leaves_the_table_as_it_was(
    command_line: CommandLine, small_database: Database
) -> None:
    migrate(small_database.url)
    with _watched(small_database) as rows:
        failed = command_line.run("run", DATABASE_URL=small_database.url)
        assert "no disk space left" in failed.error_line
        assert "run again; nothing was half-written" in failed.error_line
        assert failed.exit_code == 1
        assert "market_data: prices" in failed.output
        assert rows("SELECT count(*) FROM price") == [(0,)]
        assert rows("SELECT count(*) FROM asset_partition WHERE asset = 'prices'") == [(0,)]
        assert rows("SELECT count(*) FROM materialization WHERE asset = 'prices'") == [(0,)]
        assert rows("SELECT count(*) > 20 FROM instrument") == [(True,)]


@contextmanager
def _watched(database: Database) -> Iterator[Callable[[str], list[tuple]]]:
    with psycopg.connect(libpq_url(database.url), autocommit=True) as connection:
        yield lambda query: connection.execute(query).fetchall()
