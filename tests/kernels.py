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
MODELS = ("stationary_bootstrap", "student_t", "gbm", "filtered_historical", "t_copula")


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
        shutil.copytree(folder, compiled_code_folder(data_dir))


def _compile() -> None:
    folder = use_kernels()
    if is_complete(folder):
        return
    export_environment({"FINTECH_STORED_MODELS": ",".join(MODELS)})
    from fintech import rehearsal  # noqa: PLC0415 - reads the environment when it is imported

    rehearsal.main(folder, os.getppid())


if __name__ == "__main__":
    _compile()
