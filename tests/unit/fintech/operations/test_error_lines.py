"""What is read from logs of every kind, and how it is told."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest
from rich.console import Console

from fintech.operations.error_lines import Line, grouped, parsed, print_lines
from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import Settings
from serving.observability.log_lines import JsonLines
from serving.observability.request_ids import REQUEST_ID

RUN = "0a1b2c3d-0000-4000-8000-123456789abc"
ACCESS = {
    "service": "python-risk-engine",
    "timestamp": "2026-11-25T10:00:00+00:00",
    "method": "GET",
    "route": "/api/v1/portfolios/{reference}",
    "status": 503,
    "duration_ms": 12.3,
    "request_id": "abc123",
    "event": "request",
    "level": "info",
}


def access(**changes: object) -> str:
    return json.dumps(ACCESS | changes)


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (
            access(),
            Line(
                "error",
                "python-risk-engine",
                "2026-11-25T10:00:00+00:00",
                "GET /api/v1/portfolios/{reference} was answered 503",
                ("request abc123",),
            ),
        ),
        (
            f"backend-api-1  | {access(status=404)}",
            Line(
                "info",
                "python-risk-engine",
                "2026-11-25T10:00:00+00:00",
                "GET /api/v1/portfolios/{reference} was answered 404",
                ("request abc123",),
            ),
        ),
        (
            f"\x1b[32m2026-11-25 15:30:33 +0000\x1b[0m - dagster.daemon - \x1b[34mERROR\x1b[0m - Run {RUN} is lost",
            Line("error", "dagster.daemon", "2026-11-25 15:30:33 +0000", f"Run {RUN} is lost", (f"run {RUN}",)),
        ),
        ("dagster-daemon-1  | ERROR:    no module", Line("error", "dagster-daemon", "", "no module")),
        (
            "FATAL:  the database system is shutting down",
            Line("critical", "pg", "", "the database system is shutting down"),
        ),
        ("error: No Postgres answers", Line("error", "pg", "", "No Postgres answers")),
        ("INFO:     Application startup complete.", None),
        ("Traceback (most recent call last):", None),
        ("{ no JSON", None),
        ('{"event": "without a level"}', None),
        ("[1, 2]", None),
        ("", None),
        ("\x00\ufffd", None),
    ],
)
def test_a_line_is_read(raw: str, line: Line | None) -> None:
    assert parsed(raw, "pg") == line


def test_what_the_services_log_is_read_again() -> None:
    token = REQUEST_ID.set("abc123")
    try:
        raise ZeroDivisionError("by nothing")
    except ZeroDivisionError as error:
        record = logging.LogRecord(
            "serving", logging.ERROR, __file__, 1, "%s failed", ("GET /x",), (type(error), error, error.__traceback__)
        )
        raw = JsonLines("backend-api").format(record)
    finally:
        REQUEST_ID.reset(token)
    assert "\n" not in raw
    line = parsed(raw)
    assert line is not None
    assert (line.level, line.source, line.ids) == ("error", "backend-api", ("request abc123",))
    assert line.text == "GET /x failed: ZeroDivisionError: by nothing"
    assert "Traceback" in json.loads(raw)["traceback"]


def test_equal_messages_are_one_with_all_their_requests() -> None:
    lines = [
        Line("error", "a", f"0{number}:00", f"waited {number} s for {'f' * 32}", (f"request {number}",))
        for number in (1, 2, 3)
    ]
    first, other = grouped([Line("error", "b", "", "rare"), *lines])
    assert (first.count, first.first, first.last) == (3, "01:00", "03:00")
    assert first.text == lines[0].text
    assert list(first.ids) == ["request 1", "request 2", "request 3"]
    assert (other.count, other.text) == (1, "rare")


def said(folder: Path, files: list[Path], *, only_errors: bool = True) -> str:
    output = io.StringIO()
    settings = Settings.model_construct(data_dir=folder)
    print_lines(settings, files, Console(file=output, width=200), only_errors=only_errors, from_compose=False)
    return output.getvalue()


def test_the_files_of_the_local_platform_are_read(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "api.log").write_text("\n".join([access(request_id=f"id{n}") for n in range(7)] + ["INFO: x"]))
    (tmp_path / "logs" / "dagster.log").write_bytes(b"2026-01-01 00:00:00 +0000 - dagster - WARNING - \xff [red]slow\n")
    told = said(tmp_path, [])
    assert "     7 error    python-risk-engine\n" in told
    assert "request id0, request id1, request id2, request id3, request id4 and 2 more\n" in told
    assert told.endswith("7 lines, 1 messages.\n")
    assert "[red]slow" in said(tmp_path, [], only_errors=False)


def test_the_standard_input_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("ERROR: piped\n"))
    assert "piped" in said(tmp_path, [Path("-")])


def test_nothing_found_is_said(tmp_path: Path) -> None:
    (tmp_path / "quiet.log").write_text("INFO: well\n")
    assert said(tmp_path, [tmp_path / "quiet.log"]) == "No such line.\n"


def test_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no log in"):
        said(tmp_path, [])
    with pytest.raises(ConfigurationError, match=r"gone.log cannot be read \(No such file"):
        said(tmp_path, [tmp_path / "gone.log"])
