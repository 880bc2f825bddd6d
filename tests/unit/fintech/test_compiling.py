"""Compiling ahead: a child that does not outlive the run, and does no harm where it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fintech import compiling, rehearsal
from fintech.compiling import compiling_ahead
from fintech.materializing import LOCATIONS, SOURCE_LOCATION
from pipeline.base.compiled_code import compiled_code_folder, is_complete, mark_complete, use_compiled_code_folder
from pipeline.base.settings import PROJECT_ROOT, Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FINTECH_DATA_DIR", str(tmp_path))
    return Settings()


def own_children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "fintech.rehearsal" in child.cmdline()]


def test_the_child_does_not_outlive_the_block(settings: Settings) -> None:
    with compiling_ahead(settings):
        (child,) = own_children()
    assert not child.is_running()
    assert not is_complete(compiled_code_folder(settings.data_dir))


def test_an_error_ends_the_child_too(settings: Settings) -> None:
    started: list[psutil.Process] = []

    def interrupted() -> None:
        with compiling_ahead(settings):
            started.extend(own_children())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [child.is_running() for child in started] == [False]


def test_nothing_is_compiled_twice(settings: Settings) -> None:
    folder = compiled_code_folder(settings.data_dir)
    use_compiled_code_folder(folder)
    mark_complete(folder)
    with compiling_ahead(settings) as compiler:
        assert own_children() == []
        compiler.wait("forecast")


def test_a_location_waits_for_its_own_kernels_alone(settings: Settings) -> None:
    with compiling_ahead(settings) as compiler:
        (child,) = own_children()
        mark_complete(compiled_code_folder(settings.data_dir), "risk")
        compiler.wait("risk")
        assert child.is_running()


def test_a_child_that_fails_is_passed_over(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with compiling_ahead(settings) as compiler:
        compiler.wait("risk")
    monkeypatch.setattr(sys, "executable", "/no/such/program")
    with compiling_ahead(settings) as compiler:
        compiler.wait("risk")


def test_a_child_that_takes_too_long_is_ended(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "MOST_SECONDS", 0.1)
    with compiling_ahead(settings) as compiler:
        (child,) = own_children()
        started = time.monotonic()
        compiler.wait("risk")
        assert time.monotonic() - started < 10.0
        assert not child.is_running()


def test_a_data_folder_that_cannot_be_written_is_left_to_the_run(settings: Settings) -> None:
    (settings.data_dir / "numba").write_text("not a folder")
    with compiling_ahead(settings) as compiler:
        compiler.wait("risk")


def one_piece() -> Iterator[str]:
    yield "one"


def two_pieces() -> Iterator[str]:
    yield "two"
    yield "three"


@pytest.mark.parametrize(
    ("parent", "said", "complete"),
    [(os.getppid(), "risk: one\nforecast: two\nforecast: three\n", True), (-1, "risk: one\n", False)],
)
def test_a_rehearsal_ends_early_with_its_parent(
    parent: int,
    said: str,
    complete: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(rehearsal, "REHEARSALS", {"risk": one_piece, "forecast": two_pieces})
    rehearsal.main(tmp_path, parent)
    assert capsys.readouterr().out == said
    assert [is_complete(tmp_path, location) for location in ("risk", "forecast")] == [complete, complete]
    assert is_complete(tmp_path) == complete


def failing() -> Iterator[str]:
    yield "one"
    raise RuntimeError


def test_a_location_is_complete_before_the_next_has_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "REHEARSALS", {"risk": one_piece, "simulation": failing})
    with pytest.raises(RuntimeError):
        rehearsal.main(tmp_path, os.getppid())
    assert is_complete(tmp_path, "risk")
    assert not is_complete(tmp_path, "simulation")
    assert not is_complete(tmp_path)


def test_a_rehearsal_goes_through_the_locations_in_the_order_of_a_run() -> None:
    assert [SOURCE_LOCATION, *rehearsal.REHEARSALS] == list(LOCATIONS)


NEVER_IN_A_RUN = {"measure_whole", "leading_coordinates", "_walk", "walk_gbm", "walk_student_t", "walk_stretches"}
"""The report on whole series and paths with less error, which are made on request."""
PARTS = {
    *("random_words", "lane_words", "lane_row", "draw_two_sided"),
    *("new_page", "session_draws", "normal_draws", "figures_of_stretches", "_restored", "stops_of"),
    *("_take_units", "_ride"),
    *("new_book", "open_book", "move", "value_shares", "close_lost", "close_lane"),
    *("settle", "settle_if_due", "trade", "is_outside"),
    *("keep_fan", "keep_paths"),
    *("coordinate", "draw_sums", "bridged", "bridged_by_lane", "_add_up"),
}
"""Of the kernels that walk paths; not called by themselves where those come from a cache."""

ASKED = """
import json, sys
from importlib import import_module
from numba.core.registry import CPUDispatcher
from fintech.rehearsal import REHEARSALS

def kernels():
    for name in sys.argv[1:]:
        for value in vars(import_module(name)).values():
            if isinstance(value, CPUDispatcher) and value.py_func.__module__ == name:
                yield name + "." + value.py_func.__name__.removesuffix("_python"), value

gained, before = {}, {name: 0 for name, _ in kernels()}
for location, rehearse in REHEARSALS.items():
    list(rehearse())
    now = {name: len(kernel.signatures) for name, kernel in kernels()}
    gained[location] = [name for name in now if now[name] > before[name]]
    before = now
print(json.dumps({"uncalled": [name for name in before if not before[name]], "gained": gained}))
"""
"""Kernels that no location's rehearsal calls, and those of which each compiles a signature."""


@pytest.fixture(scope="module")
def asked() -> dict[str, Any]:
    files = [file for file in (PROJECT_ROOT / "pipeline").rglob("*.py") if "njit(" in file.read_text()]
    modules = [".".join(file.relative_to(PROJECT_ROOT).with_suffix("").parts) for file in files]
    command = [sys.executable, "-c", ASKED, *modules]
    answer = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_a_rehearsal_calls_every_kernel(asked: dict[str, Any]) -> None:
    assert {name.rpartition(".")[2] for name in asked["uncalled"]} - PARTS == NEVER_IN_A_RUN


def test_no_kernel_is_compiled_for_two_locations(asked: dict[str, Any]) -> None:
    """Otherwise the run would read what the child writes: see `compiling`."""
    gained = [name for names in asked["gained"].values() for name in names]
    assert len(gained) > 10
    assert sorted(set(gained)) == sorted(gained)
