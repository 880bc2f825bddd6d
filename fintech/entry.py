"""The console script: light enough that Ctrl-C is answered in one line from the first moment on."""

import sys

INTERRUPTED_EXIT_CODE = 130
"""128 + SIGINT, as shells report it."""


def main() -> None:
    """Run a command and exit with its code."""
    try:
        from fintech.cli import run_command_line  # noqa: PLC0415 - half a second that Ctrl-C may fall into

        code = run_command_line()
    except KeyboardInterrupt:
        code = INTERRUPTED_EXIT_CODE
    if code == INTERRUPTED_EXIT_CODE:
        print("interrupted: nothing is half-written; the next run goes on from here.", file=sys.stderr)
    sys.exit(code)
