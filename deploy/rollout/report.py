"""What a rollout says: a line an event, and a summary in Markdown. Secrets are cut out of both."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from deploy.rollout.errors import ExitCode
from deploy.rollout.images import digest_of
from deploy.rollout.journal import Journal, Progress, Step

HIDDEN = "***"

_HEADINGS = {
    ExitCode.DONE: "Rolled out",
    ExitCode.ROLLED_BACK: "Rolled back: what served before serves again",
    ExitCode.ROLLBACK_FAILED: "ROLLBACK FAILED: parts below are not what they were",
}


class Report:
    """Writes events and the summary.

    Parameters
    ----------
    secrets
        Texts that no output may hold.
    stream
        Where events go.
    summary
        File to which the summary is appended (``$GITHUB_STEP_SUMMARY``); None for no summary.
    """

    def __init__(
        self, secrets: Iterable[str] = (), *, stream: TextIO | None = None, summary: Path | None = None
    ) -> None:
        self._secrets = sorted(secrets, key=len, reverse=True)  # a secret may be a part of another
        self._stream = stream or sys.stderr
        self._summary = summary

    def say(self, event: str, **fields: object) -> None:
        """Write ``time event field=value …``; a value with blanks stands in quotes."""
        shown = "".join(f" {name}={_quoted(str(value))}" for name, value in fields.items() if value is not None)
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        print(f"{moment} {event}{self.hide(shown)}", file=self._stream, flush=True)

    def hide(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def summarise(self, journal: Journal, code: ExitCode, cause: str | None) -> None:
        """Append a table of the parts: what was to serve, and what does."""
        if self._summary is None:
            return
        rows = [
            f"| {step.part.name} | {_short(serving(step))} | {_short(step.image)} | {_state(step)} |"
            for step in journal
        ]
        lines = [
            f"### {_HEADINGS[code]} ({journal.target})",
            *([f"Cause: {_cell(cause)}"] if cause else []),
            "\n".join(("| part | serves | was to serve | state |", "|---|---|---|---|", *rows))
            if rows
            else "No changes.",
        ]
        try:
            with self._summary.open("a") as file:
                file.write(self.hide("\n\n".join(lines)) + "\n")
        except OSError as error:  # how the rollout ended does not depend on it
            self.say("summary-not-written", cause=error)


def serving(step: Step) -> str | None:
    """What the part serves now, as far as is known; None if nothing or not known."""
    if step.progress in (Progress.WAITING, Progress.RESTORED):
        return step.previous
    return step.image if step.progress is Progress.SERVING else None


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if not value or set(value) & set(' "=\n\t') else value


def _short(image: str | None) -> str:
    return f"`{digest_of(image).removeprefix('sha256:')[:12]}`" if image else "unknown"


def _state(step: Step) -> str:
    return f"{step.progress}: {_cell(step.cause)}" if step.cause else str(step.progress)


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")
