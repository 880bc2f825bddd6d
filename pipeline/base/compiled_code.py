"""Where compiled code is kept between processes.

numba compiles a function again when its own file changes, but not when a file does whose functions it took in. A
folder named by the whole source can hold no code of another.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
"""The package whose functions are compiled."""

COMPLETE = "complete"
"""A file in the folder, once everything that a run calls is compiled."""

_DIGITS = 12
_OURS = re.compile(rf"[0-9a-f]{{{_DIGITS}}}")


def compiled_code_folder(data_dir: Path, source: Path = SOURCE) -> Path:
    """The folder for code compiled from a source, named by a digest of every Python file in it.

    Parameters
    ----------
    source
        Folder of the source.
    """
    digest = hashlib.sha256()
    for file in sorted(source.rglob("*.py")):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(source).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return data_dir / "numba" / digest.hexdigest()[:_DIGITS]


def use_compiled_code_folder(folder: Path) -> None:
    """Make the folder if it is not there, and then remove those of other sources beside it.

    A process that still runs from another source makes its own again when it next keeps something.
    """
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.parent.iterdir():
        if other != folder and other.is_dir() and _OURS.fullmatch(other.name):
            shutil.rmtree(other, ignore_errors=True)


def is_complete(folder: Path, location: str | None = None) -> bool:
    """Whether everything that a run calls, or its part in one location, was compiled into the folder."""
    return (folder / COMPLETE).exists() or (location is not None and _mark(folder, location).exists())


def mark_complete(folder: Path, location: str | None = None) -> None:
    """Say so."""
    _mark(folder, location).touch()


def _mark(folder: Path, location: str | None) -> Path:
    return folder / (COMPLETE if location is None else f"{COMPLETE}-{location}")
