"""Which code made a row: a digest of the source of the slice that computed it."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import pipeline


@cache
def code_version(slice_name: str) -> str:
    """Digest of every Python file of a slice, in path order; changes with any change of the code.

    Parameters
    ----------
    slice_name
        Such as ``risk``.
    """
    root = Path(pipeline.__file__).parent / slice_name
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
