"""Compiling ahead: while prices load, a child compiles what the run will call, in the order of the locations.

numba takes half a minute for it, once for each source. Two processes that keep code of one function at the same time
may mix up two signatures of it, so a location waits until the child has compiled what it calls, and no kernel is
compiled for two locations. Without the child, or if it fails, the run compiles what it calls by itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fintech.children import Children
from pipeline.base.compiled_code import compiled_code_folder, is_complete, use_compiled_code_folder
from pipeline.base.settings import Settings, inherited_environment

MOST_SECONDS = 120.0
"""After which a run goes on without the child."""

POLL_SECONDS = 0.05


class AheadCompiler:
    """The child, if there is one."""

    def __init__(self, children: Children, folder: Path) -> None:
        self._children = children
        self._folder = folder

    def wait(self, location: str) -> None:
        """Return once the child has compiled what a location calls, or has ended; ends it if it takes too long."""
        deadline = time.monotonic() + MOST_SECONDS
        while not (is_complete(self._folder, location) or self._children.finish(POLL_SECONDS)):
            if time.monotonic() > deadline:
                self._children.kill()


@contextmanager
def compiling_ahead(settings: Settings) -> Iterator[AheadCompiler]:
    """Compile in a child that does not outlive the block, unless everything is compiled."""
    folder = compiled_code_folder(settings.data_dir)
    children = Children(settings.data_dir / "logs", {**inherited_environment(), "NUMBA_CACHE_DIR": str(folder)})
    try:
        with suppress(OSError):  # a full disk: what the run itself writes will say so
            use_compiled_code_folder(folder)
            if not is_complete(folder):
                children.start("compiling", [sys.executable, "-m", "fintech.rehearsal", str(folder)])
        yield AheadCompiler(children, folder)
    finally:
        children.kill()
