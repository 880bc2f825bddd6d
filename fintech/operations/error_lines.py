"""`fintech logs`: what went wrong, equal messages as one, with the requests and runs that they belong to.

Three kinds of lines are read: the services' JSON, Dagster's (time, logger, level, message between dashes), and those of
others, which count when they say that they are errors. What `docker compose logs` puts in front goes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from pipeline.base.errors import ConfigurationError, PlatformError
from pipeline.base.settings import PROJECT_ROOT, Settings

LEVELS = ("warning", "error", "critical")
SHOWN_IDS = 5
SERVER_ERROR = 500
COMPOSE_FILE = PROJECT_ROOT / "deploy" / "compose.yaml"

_COMPOSE_PREFIX = re.compile(r"^(?P<container>[\w.-]+?)(?:-\d+)?\s+\| ?(?P<rest>.*)$")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_DAGSTER = re.compile(
    r"^(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d+)? ?[+-]?\d*)"
    r" - (?P<logger>[\w.]+) - (?P<level>[A-Z]+) - (?P<text>.*)$"
)
_PLAIN = re.compile(r"^(?P<level>ERROR|CRITICAL|FATAL|WARNING|error|fatal)\b:?\s*(?P<text>.*)$")
_RUN = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_OWN = re.compile(r"\b[0-9a-f]{16,}\b|\b\d+(?:\.\d+)?\b")
"""Of each occurrence alone: numbers and digests. Messages that are equal without them are one."""
_LEVEL_NAMES = {"fatal": "critical"}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was said.

    Parameters
    ----------
    ids
        Of the request and of runs.
    """

    level: str
    source: str
    at: str
    text: str
    ids: tuple[str, ...] = ()


@dataclass(slots=True)
class Group:
    """Equal messages."""

    level: str
    source: str
    text: str
    first: str
    last: str
    count: int = 0
    ids: dict[str, None] = field(default_factory=dict)


def print_lines(
    settings: Settings, files: Sequence[Path], console: Console, *, only_errors: bool, from_compose: bool
) -> None:
    """Print groups of messages, the most frequent first.

    Parameters
    ----------
    files
        ``-`` is the standard input; without any, those of `make up`.

    Raises
    ------
    ConfigurationError
        If a file cannot be read, or there is none.
    PlatformError
        If Docker Compose fails.
    """
    levels = LEVELS[1:] if only_errors else LEVELS
    lines = _from_compose() if from_compose else _from_files(files or _files_of(settings))
    groups = grouped(line for line in lines if line.level in levels)
    total = sum(group.count for group in groups)
    for group in groups:
        console.print(f"[bold]{group.count:>6,}[/bold] {group.level:<8} {escape(group.source)}", highlight=False)
        console.print(f"       {escape(group.text)}", highlight=False, soft_wrap=True)
        when = group.first if group.first == group.last else f"{group.first} … {group.last}"
        more = f" and {len(group.ids) - SHOWN_IDS:,} more" if len(group.ids) > SHOWN_IDS else ""
        about = f"; {', '.join(list(group.ids)[:SHOWN_IDS])}{more}" if group.ids else ""
        if when.strip() or about:
            console.print(f"       [dim]{escape(when + about)}[/dim]", highlight=False, soft_wrap=True)
    console.print(f"{total:,} lines, {len(groups):,} messages." if groups else "No such line.")


def grouped(lines: Iterable[Line]) -> list[Group]:
    """Equal messages as one, the most frequent first."""
    groups: dict[tuple[str, str, str], Group] = {}
    for line in lines:
        key = (line.level, line.source, _OWN.sub("…", _RUN.sub("…", line.text)))
        group = groups.setdefault(key, Group(line.level, line.source, line.text, line.at, line.at))
        group.count += 1
        group.last = line.at or group.last
        group.ids |= dict.fromkeys(line.ids)
    counts = Counter({key: group.count for key, group in groups.items()})
    return [groups[key] for key, _ in counts.most_common()]


def parsed(raw: str, source: str = "") -> Line | None:
    """What a line says; None of one that has no level, such as those of a traceback.

    Parameters
    ----------
    source
        Where it stands, for lines that do not say who wrote them.
    """
    text = _COLOUR.sub("", raw).rstrip()
    prefix = _COMPOSE_PREFIX.match(text)
    if prefix is not None:
        text, source = prefix["rest"], prefix["container"]
    if text.startswith("{"):
        return _parsed_json(text, source)
    dagster = _DAGSTER.match(text)
    if dagster is not None:
        ids = tuple(f"run {run}" for run in dict.fromkeys(_RUN.findall(dagster["text"])))
        return Line(_level(dagster["level"]), dagster["logger"], dagster["at"].strip(), dagster["text"], ids)
    plain = _PLAIN.match(text)
    return Line(_level(plain["level"]), source, "", plain["text"]) if plain is not None else None


def _parsed_json(text: str, source: str) -> Line | None:
    try:
        told: dict[str, Any] = json.loads(text)
        event, level = str(told["event"]), _level(str(told["level"]))
    except (ValueError, KeyError, TypeError):
        return None
    request = told.get("request_id")
    status = told.get("status")
    if isinstance(status, int):  # the access log's, whose level is always info
        event = f"{told.get('method')} {told.get('route')} was answered {status}"
        level = "error" if status >= SERVER_ERROR else level
    cause = str(told.get("traceback") or "").strip().splitlines()[-1:]
    ids = (f"request {request}",) if request else ()
    return Line(
        level, str(told.get("service") or source), str(told.get("timestamp", "")), ": ".join([event, *cause]), ids
    )


def _level(name: str) -> str:
    lower = name.lower()
    return _LEVEL_NAMES.get(lower, lower)


def _files_of(settings: Settings) -> list[Path]:
    found = sorted((settings.data_dir / "logs").glob("*.log"))
    if not found:
        raise ConfigurationError(
            f"There is no log in {settings.data_dir / 'logs'}",
            "`make up` writes them there. Name files, - for the standard input, or --compose.",
            exit_code=2,
        )
    return found


def _from_files(files: Iterable[Path]) -> Iterator[Line]:
    for path in files:
        if str(path) == "-":
            yield from _lines(sys.stdin, "")
            continue
        try:
            with path.open(errors="replace") as file:
                yield from _lines(file, path.stem)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read ({error.strerror})", "Name another file.") from error


def _from_compose() -> Iterator[Line]:
    command = ["docker", "compose", "-f", str(COMPOSE_FILE), "logs", "--no-color"]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")  # noqa: S603
    except OSError as error:
        raise PlatformError(f"docker cannot be started ({error.strerror})", "Install Docker with Compose.") from error
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        yield from _lines(process.stdout, "")
        said = process.stderr.read().strip()
    if process.returncode:
        raise PlatformError(f"docker compose logs failed ({said.splitlines()[-1] if said else 'silent'})", "See above.")


def _lines(raw: Iterable[str], source: str) -> Iterator[Line]:
    for text in raw:
        line = parsed(text, source)
        if line is not None:
            yield line
