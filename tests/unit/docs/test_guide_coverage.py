"""Each item of the deployment guide is done and proven, or has a reason; what is named exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.base.settings import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "guide-coverage.md").read_text()
CHAPTERS = [f"{number}. " for number in range(2, 16)]
LEAST_REASON = 40
QUOTED = re.compile(r"`([^`]+)`")
TESTED = re.compile(r"^\.venv/bin/pytest (\S+)$")
MADE = re.compile(r"^make ([a-z-]+)")


def rows() -> list[tuple[str, str, str, str]]:
    """Chapter, item, where it is done, and its proof."""
    found, chapter = [], ""
    for line in PAGE.splitlines():
        if line.startswith("## "):
            chapter = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith("| item |"):
            item, done, proof = (cell.strip() for cell in line.strip("|").split("|"))
            found.append((chapter, item, done, proof))
    return found


ROWS = rows()
TARGETS = set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))


def is_path(text: str) -> bool:
    return bool(re.fullmatch(r"[\w./-]+", text)) and ("/" in text or (PROJECT_ROOT / text).exists())


def is_there(path: str) -> bool:
    return not path.startswith("/") and (PROJECT_ROOT / path).exists()


def test_every_chapter_is_there() -> None:
    chapters = [chapter for chapter, *_ in ROWS]
    for number in CHAPTERS:
        assert any(chapter.startswith(number) for chapter in chapters), number


@pytest.mark.parametrize(("chapter", "item", "done", "proof"), ROWS, ids=lambda value: str(value)[:40])
def test_a_row_has_a_command_or_a_reason(chapter: str, item: str, done: str, proof: str) -> None:
    commands = [text for text in QUOTED.findall(proof) if TESTED.match(text) or MADE.match(text) or "fintech " in text]
    assert item
    assert commands or len(proof) >= LEAST_REASON, f"{chapter}: {item}: neither a command nor a reason"
    assert done or "why not" in proof or len(proof) >= LEAST_REASON


@pytest.mark.parametrize(("chapter", "item", "done", "proof"), ROWS, ids=lambda value: str(value)[:40])
def test_what_a_row_names_exists(chapter: str, item: str, done: str, proof: str) -> None:
    for text in QUOTED.findall(done):
        if is_path(text):
            assert is_there(text), text
    for text in QUOTED.findall(proof):
        tested, made = TESTED.match(text), MADE.match(text)
        if tested:
            assert is_there(tested[1]), text
        elif made:
            assert made[1] in TARGETS, text
        elif is_path(text) and not text.startswith("/"):
            assert is_there(text), text


def test_proofs_are_tests_that_are_collected() -> None:
    for text in QUOTED.findall(PAGE):
        tested = TESTED.match(text)
        if tested:
            path = Path(PROJECT_ROOT, tested[1])
            files = [path] if path.is_file() else list(path.rglob("test_*.py"))
            assert files, text
            assert all(file.name.startswith("test_") for file in files), text
