"""Signals, each tried on a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipeline.base.settings import PROJECT_ROOT

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
ENDS_WITHIN_SECONDS = 20


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    """Run Python code to its end."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_SECONDS,
        check=False,
    )


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_every_signal_unwinds_the_program(number: signal.Signals) -> None:
    ended = run_script(f"""
        import signal
        from fintech.interrupts import unwind_on_signals
        unwind_on_signals()
        try:
            signal.raise_signal({int(number)})
        except KeyboardInterrupt:
            print("unwound")
    """)
    assert (ended.stdout, ended.returncode) == ("unwound\n", 0)


def test_a_background_job_that_ignores_ctrl_c_can_still_be_ended() -> None:
    ended = run_script("""
        import signal
        from fintech.interrupts import unwind_on_signals
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        unwind_on_signals()
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            print("unwound")
    """)
    assert ended.stdout == "unwound\n"


def test_an_interruption_that_python_drops_comes_again_without_a_word() -> None:
    """A weak reference's callback swallows what is raised in it."""
    ended = run_script("""
        import signal, time, weakref
        from fintech.interrupts import unwind_on_signals
        class Thing: pass
        unwind_on_signals()
        thing = Thing()
        reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
        try:
            del thing
            print("dropped", flush=True)
            time.sleep(15)
            print("lost")
        except KeyboardInterrupt:
            print("came again")
    """)
    assert (ended.stdout, ended.stderr) == ("dropped\ncame again\n", "")


def test_other_errors_that_python_drops_are_still_told() -> None:
    ended = run_script("""
        from fintech.interrupts import unwind_on_signals
        class Thing:
            def __del__(self): raise ValueError("told")
        unwind_on_signals()
        Thing()
    """)
    assert "ValueError: told" in ended.stderr


def test_once_ignored_no_signal_does_anything() -> None:
    ended = run_script("""
        import signal
        from fintech.interrupts import ignore_signals, unwind_on_signals
        unwind_on_signals()
        ignore_signals()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(number)
        print("untouched")
    """)
    assert (ended.stdout, ended.returncode) == ("untouched\n", 0)


def test_a_program_under_nohup_ignores_the_closing_of_its_terminal() -> None:
    ended = run_script("""
        import signal
        from fintech.interrupts import unwind_on_signals
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        unwind_on_signals()
        signal.raise_signal(signal.SIGHUP)
        print("goes on")
    """)
    assert ended.stdout == "goes on\n"


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_step_that_must_not_be_interrupted_is_finished_first(number: signal.Signals) -> None:
    ended = run_script(f"""
        import signal
        from fintech.interrupts import unwind_on_signals
        from pipeline.store.embedded import uninterrupted
        unwind_on_signals()
        try:
            with uninterrupted():
                signal.raise_signal({int(number)})
                print("finished")
            print("went on")
        except KeyboardInterrupt:
            print("then ended")
    """)
    assert ended.stdout == "finished\nthen ended\n"


def test_programs_started_in_such_a_step_are_spared_too() -> None:
    """A terminal sends Ctrl-C to every process of the command."""
    ended = run_script("""
        import os, signal, subprocess
        from pipeline.store.embedded import uninterrupted
        os.setpgrp()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may have been told to ignore it
        try:
            with uninterrupted(programs=True):
                program = subprocess.Popen(["sleep", "0.3"])
                os.killpg(0, signal.SIGINT)
                print(program.wait())
        except KeyboardInterrupt:
            print("then ended")
    """)
    assert ended.stdout == "0\nthen ended\n"


def test_an_interruption_inside_text_that_is_executed_ends_with_the_same_code(tmp_path: Path) -> None:
    """As of a dataclass that is being made: Python would end `python -m` by the signal."""
    (tmp_path / "interrupted.py").write_text(
        textwrap.dedent("""
        import sys
        import types
        cli = types.ModuleType("fintech.cli")
        cli.run_command_line = lambda: exec("raise KeyboardInterrupt")
        sys.modules["fintech.cli"] = cli
        from fintech.entry import main
        main()
        """)
    )
    ended = subprocess.run(
        [sys.executable, "-m", "interrupted"],
        cwd=tmp_path,
        capture_output=True,
        timeout=ENDS_WITHIN_SECONDS,
        check=False,
    )
    assert ended.returncode == 130
    assert ended.stderr.startswith(b"interrupted: ")
