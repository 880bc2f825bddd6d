"""`fintech restore`: a backup into databases beside those in use, proven, and only then in their place."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path

from rich.console import Console

from fintech.host import Addresses, reached_server
from fintech.operations.backup import backups_in
from fintech.operations.manifest import DATABASES, BackupError, Dumped, Manifest
from fintech.operations.programs import program, run_program
from pipeline.base.errors import ConflictError
from pipeline.base.settings import Settings
from pipeline.store.dumping import (
    BEFORE_SUFFIX,
    TableSum,
    drop_beside,
    ensure_api_role,
    exchange,
    finish_beside,
    has_tables,
    make_beside,
    sum_tables,
)
from pipeline.store.engine import Database, database_name, with_database

_OF_OTHERS = " DEFAULT ACL "
"""An entry of a dump that names whoever owned the tables, which may be nobody on this server."""


def restore(settings: Settings, folder: Path, jobs: int, console: Console, *, replace: bool) -> None:
    """Put a backup in the place of both databases.

    Parameters
    ----------
    folder
        Of a backup, or of all backups for the newest.
    replace
        Whether databases that have tables may be replaced; they stay under another name.

    Raises
    ------
    BackupError
        If the backup is not whole or of a newer server, or what was restored is not what was backed up.
    ConflictError
        If a database has tables and may not be replaced.
    DatabaseError
        If the server is out of reach or refuses.
    """
    began = time.monotonic()
    chosen = chosen_backup(folder)
    manifest = Manifest.read(chosen)
    manifest.require_files(chosen)
    with reached_server(settings) as addresses:
        databases = {key: addresses.of(key) for key in DATABASES}
        major = _require_server(addresses, manifest)
        used = [key for key in DATABASES if has_tables(databases[key])]
        if used and not replace:
            names = ", ".join(database_name(databases[key].url) for key in used)
            raise ConflictError(
                f"{names}: has tables, which a restore would replace",
                f"Add --replace; what is there stays as …{BEFORE_SUFFIX}.",
            )
        ensure_api_role(databases["application"])
        try:
            for key in DATABASES:
                _fill(databases[key], manifest.databases[key], chosen / key, program("pg_restore", major), jobs)
            exchange(list(databases.values()))
        finally:
            for database in databases.values():
                drop_beside(database)
    _tell(manifest, chosen, used, time.monotonic() - began, console)


def chosen_backup(folder: Path) -> Path:
    """A backup, or the newest of a folder of them.

    Raises
    ------
    BackupError
        If there is none.
    """
    inside = backups_in(folder)
    if inside:
        return inside[0]
    if not folder.is_dir():
        raise BackupError(f"There is no folder {folder}", "Name a backup with --from; `fintech backup` makes one.")
    return folder


def _require_server(addresses: Addresses, manifest: Manifest) -> int:
    """The version of the server, which must not be older than that of the backup."""
    newest = max(dumped.server_major for dumped in manifest.databases.values())
    with Database(with_database(addresses.application, "postgres")).connect() as connection:
        major = connection.info.server_version // 10_000
    if major < newest:
        raise BackupError(
            f"The backup is of Postgres {newest}, and the server is {major}",
            f"Restore to a server of version {newest} or newer.",
        )
    return major


def _fill(database: Database, dumped: Dumped, folder: Path, path: Path, jobs: int) -> None:
    beside = make_beside(database)
    with tempfile.NamedTemporaryFile("w", suffix=".list") as chosen:
        chosen.write(_entries(path, folder))
        chosen.flush()
        arguments = [f"--jobs={jobs}", "--no-owner", "--exit-on-error", f"--use-list={chosen.name}", str(folder)]
        run_program(path, beside, arguments)
    finish_beside(beside, is_ours=dumped.revision is not None)
    with beside.connect() as connection:
        found = sum_tables(connection)
    different = differing(dumped.tables, found)
    if different:
        raise BackupError(
            f"{dumped.name}: {len(different)} tables are not what was backed up, the first of them {different[0]}",
            "Nothing was replaced. Restore another backup, and keep this one for the search for the cause.",
        )


def _entries(path: Path, folder: Path) -> str:
    """The dump's own list of what it holds, without what cannot be restored by another owner."""
    listed = subprocess.run([path, "--list", folder], capture_output=True, text=True, check=False)  # noqa: S603
    if listed.returncode:
        raise BackupError(f"{folder} cannot be read ({listed.stderr.strip()})", "Take another backup.")
    return "".join(f"{line}\n" for line in listed.stdout.splitlines() if _OF_OTHERS not in line)


def differing(expected: Mapping[str, TableSum], found: Mapping[str, TableSum]) -> list[str]:
    """Tables that are missing, new, or hold something else; with their rows."""
    names = sorted({*expected, *found})
    return [
        f"{name} ({_rows(expected.get(name))} rows before, {_rows(found.get(name))} after)"
        for name in names
        if expected.get(name) != found.get(name)
    ]


def _rows(table: TableSum | None) -> str:
    return "no table, no" if table is None else f"{table.rows:,}"


def _tell(manifest: Manifest, chosen: Path, used: list[str], seconds: float, console: Console) -> None:
    application = manifest.databases["application"]
    tables = sum(len(dumped.tables) for dumped in manifest.databases.values())
    rows = sum(dumped.rows for dumped in manifest.databases.values())
    console.print(
        f"Restored {chosen} of {application.taken_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC in {seconds:.1f} s:"
        f" {tables} tables, {rows:,} rows, every sum equal.",
        highlight=False,
        soft_wrap=True,
    )
    if used:
        names = ", ".join(f"{manifest.databases[key].name}{BEFORE_SUFFIX}" for key in used)
        console.print(f"What was there before is kept as {names}; drop it when it is not needed.", soft_wrap=True)
    told = "`fintech migrate` brings an older schema up to date; `fintech plan` shows what is missing since."
    console.print(told, soft_wrap=True)
