"""Which code made a row: a digest of the source of the slice that computed it and of the core that it stands on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pipeline

RISK_CORE = ("risk/measures", "risk/report.py")
BORROWED = {"simulation": RISK_CORE, "forecast": RISK_CORE}
"""What slices use of another's core (see the import contracts): a change there changes their numbers too."""


@cache
def code_version(slice_name: str) -> str:
    """Digest of every Python file that makes a slice's numbers, in path order; changes with any change of the code.

    Parameters
    ----------
    slice_name
        Such as ``risk``.
    """
    root = Path(pipeline.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(_sources(root, slice_name)):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _sources(root: Path, slice_name: str) -> Iterator[Path]:
    for part in (slice_name, *BORROWED.get(slice_name, ())):
        place = root / part
        yield from [place] if place.is_file() else place.rglob("*.py")
