"""Keep what Python runs of the modules below a folder: their compiled form, packed, where the source was.

    usage: keep-bytecode.py FOLDER

A seventh of an image was text that no program reads, and a fifth compiled modules, of which zlib leaves two fifths.
Python runs ``name.pyc`` in the place of ``name.py`` as it is (PEP 3147, "Rationale for legacy pyc files"), and by
unpack-bytecode.py what is packed; a traceback through a package still names file and line, but does not quote it. This
project's own code is not below the folder, and keeps its sources: numba's cache and Alembic read them.
"""

from __future__ import annotations

import py_compile
import sys
import zlib
from importlib.util import source_from_cache
from pathlib import Path

WITH_SOURCES = ("psycopg", "psycopg2", "psycopg_pool")
"""Under the LGPL (section 4), which wants the form that can be changed to come with them: it goes to share/sources."""

PACKED = b"zlib"
"""In the place of Python's magic number: who cannot unpack a module refuses it by that."""
HEADER_BYTES = 16
"""Of a compiled module (PEP 552): magic number, flags, and what the source was. Nothing here asks for the source."""


def main(folder: Path) -> None:
    """Replace every source that has a compiled form by it, and say what that has saved."""
    saved = sum(replace(compiled, folder) for compiled in sorted(folder.rglob("__pycache__/*.pyc")))
    for cache in folder.rglob("__pycache__"):
        if not any(cache.iterdir()):
            cache.rmdir()
    add_unpacking(folder)
    print(f"{saved / 1e6:.1f} MB of sources and compiled modules left out")


def is_script(source: Path) -> bool:
    """Whether Alembic reads it by its path, as it does Dagster's own migrations."""
    return source.name == "env.py" or source.parent.name == "versions"


def replace(compiled: Path, folder: Path) -> int:
    """The bytes that are saved; 0 if the source is not there, or is kept elsewhere."""
    source = Path(source_from_cache(str(compiled)))
    if not source.is_file() or is_script(source):
        return 0
    saved = pack(compiled, source.with_suffix(".pyc"))
    package = next((part for part in source.parts if part in WITH_SOURCES), None)
    if package is not None:
        kept = folder / "share/sources" / Path(*source.parts[source.parts.index(package) :])
        kept.parent.mkdir(parents=True, exist_ok=True)
        source.rename(kept)
        return saved
    saved += source.stat().st_size
    source.unlink()
    return saved


def pack(compiled: Path, packed: Path) -> int:
    """Move a compiled module, packed; the bytes that are saved."""
    whole = compiled.read_bytes()
    packed.write_bytes(PACKED + zlib.compress(whole[HEADER_BYTES:], level=9))
    compiled.unlink()
    return len(whole) - packed.stat().st_size


def add_unpacking(folder: Path) -> None:
    """Have every Python of the environment unpack what it imports: `site` imports a module of this name first."""
    [packages] = folder.glob("lib/python*/site-packages")
    module = packages / "sitecustomize.pyc"
    if module.exists():
        return
    py_compile.compile(
        str(Path(__file__).with_name("unpack-bytecode.py")),
        cfile=str(module),
        dfile=str(module.with_suffix(".py")),
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
