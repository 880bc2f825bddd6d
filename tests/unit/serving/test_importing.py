"""Modules are imported without a look for cycles, and only they."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from serving.importing import uncollected

_PROGRAM = """
import gc
collected = []
gc.callbacks.append(lambda phase, told: collected.append(told["generation"]) if phase == "start" else None)
import serving.__main__
print(gc.isenabled(), len(collected))
"""


def test_the_collector_pauses_and_goes_on() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_goes_on_after_an_import_that_failed() -> None:
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled()


def test_whoever_has_it_off_keeps_it_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_a_container_runs_is_imported_so() -> None:
    command = [sys.executable, "-c", _PROGRAM]
    is_enabled, collections = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert is_enabled == "True"
    assert int(collections) < 100  # some 400 otherwise
