"""The digest of a slice's source: any change of the code changes it, nothing else does."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import pipeline
from pipeline.base.code_version import BORROWED, code_version

SLICES = ("market_data", "risk", "simulation", "forecast")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A slice of two files in a package folder of its own."""
    folder = tmp_path / "pipeline" / "slice"
    (folder / "models").mkdir(parents=True)
    (folder / "run.py").write_text("A = 1\n")
    (folder / "models" / "one.py").write_text("B = 2\n")
    monkeypatch.setattr(pipeline, "__file__", str(tmp_path / "pipeline" / "__init__.py"))
    return folder


def digest() -> str:
    return code_version.__wrapped__("slice")


def test_the_same_source_has_the_same_version(source: Path) -> None:
    assert digest() == digest()
    assert len(digest()) == 12
    assert int(digest(), 16) >= 0


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "run.py").write_text("A = 2\n"),
        lambda folder: (folder / "models" / "one.py").write_text("B = 2 \n"),
        lambda folder: (folder / "models" / "two.py").write_text(""),
        lambda folder: (folder / "run.py").unlink(),
        lambda folder: (folder / "run.py").rename(folder / "walk.py"),
    ],
    ids=["edited", "edited below", "added", "removed", "renamed"],
)
def test_any_change_of_the_code_changes_it(source: Path, change: Callable[[Path], object]) -> None:
    before = digest()
    change(source)
    assert digest() != before


def test_what_is_no_source_does_not_change_it(source: Path) -> None:
    before = digest()
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "run.cpython-313.pyc").write_bytes(b"\0")
    (source / "notes.md").write_text("notes")
    (source.parent / "other").mkdir()
    (source.parent / "other" / "run.py").write_text("C = 3\n")
    assert digest() == before


def test_it_does_not_depend_on_where_the_source_lies(source: Path, tmp_path: Path, monkeypatch) -> None:
    before = digest()
    moved = tmp_path / "elsewhere"
    (tmp_path / "pipeline").rename(moved)
    monkeypatch.setattr(pipeline, "__file__", str(moved / "__init__.py"))
    assert digest() == before


def test_each_slice_has_a_version_of_its_own() -> None:
    assert len({code_version(name) for name in SLICES}) == len(SLICES)


@pytest.mark.parametrize("name", ["simulation", "forecast"])
@pytest.mark.parametrize("changed", ["measures/tail.py", "report.py"])
def test_a_change_of_the_risk_core_changes_what_stands_on_it(source: Path, name: str, changed: str) -> None:
    core = source.parent / "risk"
    (core / "measures").mkdir(parents=True)
    (core / changed).write_text("D = 4\n")
    before = code_version.__wrapped__(name)
    (core / changed).write_text("D = 5\n")
    assert code_version.__wrapped__(name) != before
    assert digest() == digest()


def test_every_slice_that_a_slice_imports_from_is_in_its_version() -> None:
    root = Path(pipeline.__file__).parent
    for name in SLICES:
        for path in (root / name).rglob("*.py"):
            for module in re.findall(r"^from pipeline\.([\w.]+) import", path.read_text(), re.MULTILINE):
                other = module.split(".")[0]
                if other in SLICES and other != name:
                    file = module.replace(".", "/")
                    assert any(file.startswith(part.removesuffix(".py")) for part in BORROWED[name]), (path, module)
