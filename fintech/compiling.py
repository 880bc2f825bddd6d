"""Compiling ahead: while the server starts and prices load, a child compiles what the run will call.

numba takes a dozen seconds for it, once for each source. Two processes that keep code of one function at the same
time may mix up two signatures of it, so a run waits for the child before it calls any. Without the child, or if it
fails, the run compiles what it calls by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fintech.children import Children
from pipeline.base.compiled_code import compiled_code_folder, is_complete, use_compiled_code_folder
from pipeline.base.settings import Settings, inherited_environment

MOST_SECONDS = 120.0
"""After which a run goes on without the child."""


class AheadCompiler:
    """The child, if there is one."""

    def __init__(self, children: Children) -> None:
        self._children = children

    def wait(self) -> None:
        """Return once the child has ended; ends it if it takes too long."""
        if not self._children.finish(MOST_SECONDS):
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
        yield AheadCompiler(children)
    finally:
        children.kill()
