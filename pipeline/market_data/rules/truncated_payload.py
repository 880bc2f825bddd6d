"""An answer that ends too early: a dropped connection, a full disk at the vendor, a proxy's limit."""

from __future__ import annotations

import csv
import json

from pipeline.market_data.rules.unparsable_payload import PayloadForm, decoded

TRUNCATED_PAYLOAD = "truncated_payload"

_CLOSING = {"[": "]", "{": "}"}


def refuse_truncated_payload(content: bytes, form: PayloadForm, *, is_framed: bool = True) -> str | None:
    """Why the payload must be a part of a longer one; None if nothing says so.

    Parameters
    ----------
    content
        The answer.
    form
        ``json``, or ``csv`` separated by commas.
    is_framed
        Whether the transfer itself says where it ends (a length, or chunks). If it does not, a table that lacks
        its last line break may have lost digits of its last number.
    """
    text = decoded(content)
    if text is None:
        return "it ends inside a character" if _ends_inside_character(content) else None
    if not text.strip():
        return None
    return _unfinished_json(text.strip()) if form == "json" else _unfinished_table(text, is_framed)


def _ends_inside_character(content: bytes) -> bool:
    return any(decoded(content[:-cut]) is not None for cut in (1, 2, 3))  # UTF-8 has up to four bytes


def _unfinished_json(text: str) -> str | None:
    closing = _CLOSING.get(text[0])
    if closing is None:
        return None
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text) or error.msg.startswith("Unterminated string") or text[-1] not in "]}":
            return f"it ends inside the JSON text, after {len(text)} characters"
    except (ValueError, RecursionError):
        pass
    return None


def _unfinished_table(text: str, is_framed: bool) -> str | None:
    header, *rest = text.rstrip("\r\n").splitlines()
    if rest and _cells(rest[-1]) < _cells(header):
        return f"its last row has {_cells(rest[-1])} cells of {_cells(header)}"
    if not is_framed and not text.endswith("\n"):
        return "it has no length and ends without a line break"
    return None


def _cells(line: str) -> int:
    return len(next(csv.reader([line]), []))
