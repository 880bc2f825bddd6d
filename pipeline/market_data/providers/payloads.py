"""What providers do with an answer before they read it: the payload rules, and the error that names one."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable
from datetime import date

import numpy as np

from pipeline.base.types import DateArray, FloatArray
from pipeline.market_data.providers.errors import PayloadRefusedError
from pipeline.market_data.providers.protocol import Payload
from pipeline.market_data.providers.vendors import Answer
from pipeline.market_data.rules.html_payload import HTML_PAYLOAD, refuse_html_payload
from pipeline.market_data.rules.schema_drift import SCHEMA_DRIFT, refuse_schema_drift
from pipeline.market_data.rules.truncated_payload import TRUNCATED_PAYLOAD, refuse_truncated_payload
from pipeline.market_data.rules.unparsable_payload import (
    UNPARSABLE_PAYLOAD,
    PayloadForm,
    decoded,
    refuse_unparsable_payload,
)

REMEDY = {
    HTML_PAYLOAD: "The vendor may be under maintenance, or a proxy is in the way: run again later.",
    TRUNCATED_PAYLOAD: "Run again: the transfer or the vendor broke off.",
    UNPARSABLE_PAYLOAD: "Run again later; if it lasts, the vendor has changed what it sends: look at the answer.",
    SCHEMA_DRIFT: "The vendor has changed its format: compare it with docs/providers.md, and mend the provider.",
}


def accept(vendor: str, name: str, answer: Answer, form: PayloadForm) -> Payload:
    """The answer as a payload that can be read.

    Raises
    ------
    PayloadRefusedError
        If it is a web page, not whole, or not of the form.
    """
    content, payload = answer.content, Payload(name, answer.media_type, answer.content)
    refuse_if(HTML_PAYLOAD, refuse_html_payload(content, answer.media_type), vendor, payload)
    refuse_if(TRUNCATED_PAYLOAD, refuse_truncated_payload(content, form, is_framed=answer.is_framed), vendor, payload)
    refuse_if(UNPARSABLE_PAYLOAD, refuse_unparsable_payload(content, form), vendor, payload)
    return payload


def refuse_if(rule: str, reason: str | None, vendor: str, payload: Payload) -> None:
    """Raise where a rule gives a reason.

    Raises
    ------
    PayloadRefusedError
        Naming the rule, the vendor and what was asked, with the payload.
    """
    if reason is not None:
        raise refused(rule, reason, vendor, payload)


def refused(rule: str, reason: str, vendor: str, payload: Payload) -> PayloadRefusedError:
    """The error that a rule's reason is told with."""
    cause = f"{vendor}'s answer for {payload.name} is refused ({rule}): {reason}"
    return PayloadRefusedError(rule, cause, REMEDY[rule], [payload])


def read_table(vendor: str, payload: Payload, required: Collection[str]) -> dict[str, list[str]]:
    """The columns of a table separated by commas, by name.

    Raises
    ------
    PayloadRefusedError
        If a column is missing or a row has more or fewer cells than the header.
    """
    header, *rows = [row for row in csv.reader(io.StringIO(decoded(payload.content), newline="")) if row]
    reason = refuse_schema_drift(header, required, map(len, rows))
    refuse_if(SCHEMA_DRIFT, reason, vendor, payload)
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    return {name: list(cells) for name, cells in zip(header, columns, strict=True)}


def read_numbers(vendor: str, payload: Payload, cells: list[str], missing: Collection[str]) -> FloatArray:
    """(m,) the numbers of a column; NaN where a cell is one of the words for a missing value.

    Raises
    ------
    PayloadRefusedError
        If a cell is neither.
    """
    try:
        return np.array([np.nan if cell.strip() in missing else _number(cell) for cell in cells], dtype=np.float64)
    except ValueError as error:
        raise refused(UNPARSABLE_PAYLOAD, str(error), vendor, payload) from None


def read_days(vendor: str, payload: Payload, texts: Iterable[str]) -> DateArray:
    """(m,) the days of a column in ISO form.

    Raises
    ------
    PayloadRefusedError
        If a text is no day.
    """
    try:
        return np.array([date.fromisoformat(text) for text in texts], dtype="datetime64[D]")
    except ValueError as error:
        raise refused(UNPARSABLE_PAYLOAD, str(error), vendor, payload) from None


def _number(cell: str) -> float:
    number = float(cell)
    if not np.isfinite(number) or "_" in cell:  # Python reads both
        raise ValueError(f"{cell!r} is no number")
    return number
