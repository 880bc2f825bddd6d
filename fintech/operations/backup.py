"""`fintech backup`: both databases into a folder that is there once it is whole."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from psycopg import Connection
from rich.console import Console

from fintech.host import reached_server
from fintech.operations.manifest import DATABASES, MANIFEST, BackupError, Dumped, Manifest, sha256_of
from fintech.operations.programs import program, run_program
from pipeline.base.settings import Settings
from pipeline.store.dumping import Moment, held_moment, sum_tables
from pipeline.store.engine import Database

DRAFT = ".draft-"
ABANDONED_SECONDS = 86_400.0
"""After which a draft counts as that of a backup which was killed."""
NAME = "%Y-%m-%dT%H%M%SZ"


def backup(settings: Settings, folder: Path, keep: int, jobs: int, console: Console) -> Path:
    """Back up both databases, and remove all but the last backups.

    Parameters
    ----------
    folder
        Of all backups; made if absent.
    keep
        How many stay, at least one.

    Returns
    -------
    Path
        Folder of this backup.

    Raises
    ------
    DatabaseError
        If a server is out of reach, or a program of Postgres is missing or fails.
    BackupError
        If the folder cannot be written.
    """
    began = time.monotonic()
    with reached_server(settings) as addresses, _draft_in(folder) as draft, ExitStack() as stack:
        # Both moments first: they are milliseconds apart, however long the dumps take.
        held = {key: stack.enter_context(held_moment(addresses.of(key))) for key in DATABASES}
        dumped = {key: _dump(addresses.of(key), held[key], draft / key, jobs) for key in DATABASES}
        Manifest(settings.app_version, dumped).write(draft)
        made = _put_in_place(draft, folder)
    application = dumped["application"]
    size = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
    console.print(
        f"Backed up to {made}: {sum(d.rows for d in dumped.values()):,} rows, {size / 2**20:,.1f} MiB,"
        f" {time.monotonic() - began:.1f} s.",
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"Point in time {application.taken_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, log position {application.lsn},"
        f" revision {application.revision}.",
        highlight=False,
        soft_wrap=True,
    )
    for old in backups_in(folder)[keep:]:
        shutil.rmtree(old)
        console.print(f"Removed {old}.", highlight=False, soft_wrap=True)
    return made


def backups_in(folder: Path) -> list[Path]:
    """Whole backups, the newest first."""
    if not folder.is_dir():
        return []
    whole = (path for path in folder.iterdir() if not path.name.startswith(DRAFT) and (path / MANIFEST).is_file())
    return sorted(whole, key=lambda path: path.name, reverse=True)


@contextmanager
def _draft_in(folder: Path) -> Iterator[Path]:
    """A folder beside the backups, removed unless it was put in place; those of killed backups go first."""
    draft = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{DRAFT}*"):
            if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=folder))
        yield draft
    except OSError as error:
        raise BackupError(
            f"{folder} cannot be written ({error.strerror})", "Free disk space, or name another folder with --folder."
        ) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def _dump(database: Database, held: tuple[Connection, Moment], folder: Path, jobs: int) -> Dumped:
    connection, moment = held
    arguments = ["--format=directory", f"--jobs={jobs}", f"--snapshot={moment.snapshot}", "--compress=gzip:1"]
    run_program(program("pg_dump", moment.server_major), database, [*arguments, f"--file={folder}"])
    return Dumped(
        name=connection.info.dbname,
        server_version=moment.server_version,
        server_major=moment.server_major,
        revision=moment.revision,
        lsn=moment.lsn,
        taken_at=moment.taken_at,
        tables=sum_tables(connection),
        files={f"{folder.name}/{file.name}": sha256_of(file) for file in sorted(folder.iterdir())},
    )


def _put_in_place(draft: Path, folder: Path) -> Path:
    """Give a draft its name, once its bytes are on the disk."""
    for path in (*draft.rglob("*"), draft):
        _flush(path)
    made = folder / datetime.now(UTC).strftime(NAME)
    while made.exists():  # two in a second
        time.sleep(0.1)
        made = folder / datetime.now(UTC).strftime(NAME)
    draft.chmod(0o700)
    draft.rename(made)
    _flush(folder)
    return made


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
