"""Import what keep-bytecode.py has packed: an image has this as the ``sitecustomize`` of its environment.

Only folders beside and below this module are asked for packed modules. Whoever reads a module by its spec or its
loader, as `pkgutil`, `runpy` and `importlib.resources` do, finds it as ever.
"""

from __future__ import annotations

import marshal
import sys
import zlib
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from types import CodeType

TYPE_CHECKING = False  # as type checkers know it: every Python of the image would load `typing` for it
if TYPE_CHECKING:
    from importlib.abc import PathEntryFinder

PACKED = b"zlib"
FOLDER = __file__.rpartition("/")[0]


class PackedLoader(SourcelessFileLoader):
    """Loads compiled modules, packed or not."""

    def get_code(self, fullname: str) -> CodeType | None:
        """The code of a module."""
        content = self.get_data(self.get_filename(fullname))
        if not content.startswith(PACKED):
            return super().get_code(fullname)
        code: CodeType = marshal.loads(zlib.decompress(content[len(PACKED) :]))  # noqa: S302 - as Python itself does
        return code


find_files = FileFinder.path_hook(
    (ExtensionFileLoader, EXTENSION_SUFFIXES),
    (SourceFileLoader, SOURCE_SUFFIXES),
    (PackedLoader, BYTECODE_SUFFIXES),
)


def find_packed(path: str) -> PathEntryFinder:
    """The finder of a folder with packed modules (PEP 302, path hooks)."""
    if path != FOLDER and not path.startswith(f"{FOLDER}/"):
        raise ImportError(f"{path} is not below {FOLDER}")
    return find_files(path)


sys.path_hooks.insert(0, find_packed)
sys.path_importer_cache.clear()
