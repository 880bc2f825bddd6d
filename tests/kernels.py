"""Compile, before the tests, what they and the servers that they start would each compile: ``python -m tests.kernels``.

The folder is that of one source, as a run's is: numba alone compiles a function again when its own file has changed,
not when one has whose functions it takes in.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pipeline.base.compiled_code import compiled_code_folder, is_complete, use_compiled_code_folder
from pipeline.base.settings import PROJECT_ROOT, export_environment

CACHE = PROJECT_ROOT / ".cache"


def use_kernels() -> Path:
    """Have this process and its children find and keep compiled code in one folder, which is returned."""
    folder = compiled_code_folder(CACHE)
    use_compiled_code_folder(folder)
    export_environment({"NUMBA_CACHE_DIR": str(folder)})
    return folder


def give_kernels(data_dir: Path) -> None:
    """Spare a platform with a data folder of its own the minute in which it would compile, if all is compiled here."""
    folder = compiled_code_folder(CACHE)
    if is_complete(folder):
        # Another test may compile what was not rehearsed, under a name that it changes at the end.
        shutil.copytree(folder, compiled_code_folder(data_dir), ignore=shutil.ignore_patterns("*.tmp.*"))


def _compile() -> None:
    folder = use_kernels()
    if is_complete(folder):
        return
    # numba reads the environment when it is imported.
    from fintech import rehearsal  # noqa: PLC0415
    from pipeline.simulation.models import MODELS  # noqa: PLC0415

    export_environment({"FINTECH_STORED_MODELS": ",".join(MODELS)})
    rehearsal.main(folder, os.getppid())


if __name__ == "__main__":
    _compile()
