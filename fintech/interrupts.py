"""How a command ends early: Ctrl-C, a termination and a closed terminal all unwind it, and none is lost.

Python raises an interruption wherever the program stands. Struck there, a finaliser, the callback of a weak
reference and the import of many a compiled module drop it, and Dagster, which holds signals back, drops one
that follows its last step. So a signal is noticed apart from its handler and sent again until the end begins.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

AGAIN_SECONDS = 2.0
_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_INTERRUPTIONS = ("KeyboardInterrupt", "DagsterExecutionInterruptedError")


def unwind_on_signals() -> None:
    """Make signals that ask for the end unwind the program as Ctrl-C does, so that it ends the server it started."""
    for number in _SIGNALS:
        # A script's background jobs ignore SIGINT, and Dagster gives SIGTERM the handler of SIGINT: it would be deaf.
        if number != signal.SIGHUP or signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, signal.default_int_handler)
    sys.unraisablehook = _say_no_interruption
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_insist, args=(reader,), daemon=True).start()


def ignore_signals() -> None:
    """Let the end, once it has begun, take its course."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _insist(reader: int) -> None:
    """Send the first signal again and again; harmless once signals are ignored."""
    while os.read(reader, 1)[0] not in _SIGNALS:
        pass
    while True:
        time.sleep(AGAIN_SECONDS)
        os.kill(os.getpid(), signal.SIGINT)


def _say_no_interruption(unraisable: sys.UnraisableHookArgs) -> None:
    """Print what Python drops, but for interruptions, which come again."""
    if unraisable.exc_type.__name__ not in _INTERRUPTIONS:
        sys.__unraisablehook__(unraisable)
