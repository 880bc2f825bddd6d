"""The console script: light enough that Ctrl-C is answered in one line from the first moment on."""

import signal
import sys

INTERRUPTED_EXIT_CODE = 130
"""128 + SIGINT, as shells report it."""


def main() -> None:
    """Run a command and exit with its code."""
    try:
        from fintech.interrupts import unwind_on_signals  # noqa: PLC0415 - may be interrupted, too

        unwind_on_signals()
        from fintech.cli import run_command_line  # noqa: PLC0415 - half a second

        code = run_command_line()
    except KeyboardInterrupt:
        code = INTERRUPTED_EXIT_CODE
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if code == INTERRUPTED_EXIT_CODE:
        print("interrupted: nothing is half-written; the next run goes on from here.", file=sys.stderr)
        # An interruption inside any `exec` of text, as of a dataclass that is being made, has Python end `python -m`
        # by SIGINT whatever code it is given, until the next text is executed.
        exec("")  # noqa: S102 - of nothing
    sys.exit(code)
