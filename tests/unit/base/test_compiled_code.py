"""Compiled code of one source is never read by another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.base.compiled_code import (
    SOURCE,
    compiled_code_folder,
    is_complete,
    mark_complete,
    use_compiled_code_folder,
)
from pipeline.base.settings import PROJECT_ROOT

OLDER, OLDEST = "0123456789ab", "ffffffffffff"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A package of two modules, one in a folder of its own."""
    folder = tmp_path / "source"
    (folder / "inner").mkdir(parents=True)
    (folder / "kernel.py").write_text("from inner.sums import total\n")
    (folder / "inner" / "sums.py").write_text("total = sum\n")
    return folder


def test_the_folder_is_named_by_a_digest_of_the_pipeline() -> None:
    folder = compiled_code_folder(Path("/srv/data"))
    assert folder.parent == Path("/srv/data/numba")
    assert re.fullmatch(r"[0-9a-f]{12}", folder.name)
    assert PROJECT_ROOT / "pipeline" == SOURCE
    assert compiled_code_folder(Path("/elsewhere")).name == folder.name


def test_the_same_source_has_the_same_folder(source: Path, tmp_path: Path) -> None:
    first = compiled_code_folder(tmp_path, source)
    (source / "notes.txt").write_text("not compiled")
    assert compiled_code_folder(tmp_path, source) == first


def test_an_edit_anywhere_in_the_source_gives_another_folder(source: Path, tmp_path: Path) -> None:
    folders = {compiled_code_folder(tmp_path, source)}
    (source / "inner" / "sums.py").write_text("total = min\n")
    folders.add(compiled_code_folder(tmp_path, source))
    (source / "inner" / "sums.py").rename(source / "inner" / "totals.py")
    folders.add(compiled_code_folder(tmp_path, source))
    (source / "empty.py").touch()
    folders.add(compiled_code_folder(tmp_path, source))
    assert len(folders) == 4


def kept(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / "numba").iterdir())


def test_the_first_use_of_a_folder_removes_those_of_other_sources_and_nothing_else(
    source: Path, tmp_path: Path
) -> None:
    for name in (OLDER, OLDEST, "kernels_0123456789ab", "0123456789AB", "0123456789abc"):
        (tmp_path / "numba" / name / "inside").mkdir(parents=True)
    (tmp_path / "numba" / "aaaaaaaaaaaa").write_text("a file")
    folder = compiled_code_folder(tmp_path, source)
    use_compiled_code_folder(folder)
    strangers = ["0123456789AB", "0123456789abc", "aaaaaaaaaaaa", "kernels_0123456789ab"]
    assert kept(tmp_path) == sorted([folder.name, *strangers])


def test_a_folder_in_use_is_left_alone(source: Path, tmp_path: Path) -> None:
    folder = compiled_code_folder(tmp_path, source)
    use_compiled_code_folder(folder)
    (folder / "kernel.nbi").touch()
    (tmp_path / "numba" / OLDER).mkdir()
    use_compiled_code_folder(folder)
    assert (folder / "kernel.nbi").exists()
    assert kept(tmp_path) == sorted([folder.name, OLDER])


def test_a_folder_is_complete_once_that_is_said(tmp_path: Path) -> None:
    folder = compiled_code_folder(tmp_path)
    use_compiled_code_folder(folder)
    assert not is_complete(folder)
    mark_complete(folder)
    use_compiled_code_folder(folder)
    assert is_complete(folder)
