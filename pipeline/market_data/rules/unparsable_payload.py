"""An answer that is not in the form that was asked for."""

from __future__ import annotations

import json
from typing import Literal, NoReturn, TypeAlias

UNPARSABLE_PAYLOAD = "unparsable_payload"

PayloadForm: TypeAlias = Literal["json", "csv"]

EXCERPT_LENGTH = 100
"""Characters of an answer that a message may show."""


def refuse_unparsable_payload(content: bytes, form: PayloadForm) -> str | None:
    """Why the payload cannot be read as JSON, or as a table separated by commas; None if it can.

    JSON is taken strictly: ``NaN`` and ``Infinity``, which Python would read, are no JSON (RFC 8259, 6).
    """
    text = decoded(content)
    if text is None:
        return "it is not UTF-8 text"
    if not text.strip():
        return "it is empty"
    if "\0" in text:
        return "it holds NUL characters"
    return _json_fault(text) if form == "json" else _table_fault(text)


def decoded(content: bytes) -> str | None:
    """The text of a payload without a byte order mark; None if it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def excerpt(text: str) -> str:
    """The beginning of a text on one line, as messages show it."""
    line = " ".join(text.split())
    return repr(line if len(line) <= EXCERPT_LENGTH else f"{line[: EXCERPT_LENGTH - 1]}…")


def _json_fault(text: str) -> str | None:
    try:
        json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        if text.lstrip()[0] not in "[{":
            return f"it is plain text: {excerpt(text)}"
        return f"it is no JSON at character {error.pos}: {error.msg}"
    except RecursionError:
        return "its JSON is nested too deeply"
    except ValueError as error:
        return f"it is no JSON: {error}"
    return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _table_fault(text: str) -> str | None:
    header = text.lstrip().splitlines()[0]
    return None if "," in header else f"it is plain text: {excerpt(text)}"
