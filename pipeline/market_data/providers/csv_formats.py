"""How files of prices are written: separators, headers, dates and numbers of several conventions.

Nothing is guessed from the market or the machine: a form counts only if the file itself leaves no other reading,
and what could be read in two ways is refused. docs/providers.md shows each convention.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime

import numpy as np

from pipeline.base.types import DateArray, FloatArray
from pipeline.market_data.rules.unparsable_payload import excerpt

SEPARATORS = (",", ";", "\t", "|")

MISSING = frozenset({"", ".", "-", "--", "null", "none", "nan", "na", "n/a", "n/d", "#n/a", "#n/a n/a", "#n/v"})

# Header, in small letters without signs → column. Yahoo, Stooq, Tiingo, Bloomberg and German exports.
COLUMNS = {
    "date": ("date", "dates", "datum", "day", "session"),
    "symbol": ("symbol", "ticker", "kürzel", "kuerzel"),
    "open": ("open", "pxopen", "eröffnung", "eroeffnung", "eröffnungskurs", "erster"),
    "high": ("high", "pxhigh", "hoch", "tageshoch", "höchst", "hoechst"),
    "low": ("low", "pxlow", "tief", "tagestief", "tiefst"),
    "close": ("close", "pxlast", "last", "closelast", "schluss", "schlusskurs", "letzter"),
    "volume": ("volume", "vol", "pxvolume", "stücke", "stuecke", "stück", "stueck"),
    "close_adjusted": ("adjclose", "adjustedclose", "closeadjusted", "bereinigt", "schlussbereinigt"),
    "dividend": ("divcash",),
    "split_factor": ("splitfactor",),
}
_COLUMN_OF = {header: column for column, headers in COLUMNS.items() for header in headers}
_TURNOVER_OR_UNITS = "volumen"
"""German exports have units in ``Volumen``, unless they have them in ``Stücke``: then it is the turnover."""

_SEPARATOR_LINE = re.compile(r"^\s*sep=.\s*$", re.MULTILINE)
"""What Excel writes before the header."""

_SIGNS = re.compile(r"[^a-zäöüß]")
_ISO = re.compile(r"(\d{4})[-/.]?(\d{2})[-/.]?(\d{2})(?:[T ].*)?")
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
_SLASHED = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})")
_WORDED = ("%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d/%b/%Y")

_GROUPED = {",": re.compile(r"[+-]?\d{1,3}(,\d{3})*(\.\d+)?"), ".": re.compile(r"[+-]?\d{1,3}(\.\d{3})*(,\d+)?")}
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
"""One mark and three digits: a thousand and some, or one and some thousandths."""


class AmbiguousError(ValueError):
    """A file that can be read in two ways."""


def text_of(content: bytes) -> str:
    """The text of a file in UTF-8, UTF-16 with a byte order mark, or Windows' Western European code page.

    Raises
    ------
    ValueError
        If it is no text.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252")
    if "\0" in text:
        raise ValueError("it holds NUL characters")
    return text


def table_of(text: str) -> tuple[dict[str, list[str]], str]:
    """Columns by our names, and the separator of the cells.

    Raises
    ------
    AmbiguousError
        If two headers mean the same column.
    ValueError
        If there is no date and no close, or a row has more or fewer cells than the header.
    """
    lines = _SEPARATOR_LINE.sub("", text, count=1).lstrip()
    first = lines.splitlines()[0] if lines else ""
    for separator in SEPARATORS:
        headers = next(csv.reader([first], delimiter=separator))
        names = column_names(headers)
        if "date" in names and ("close" in names or "close_adjusted" in names):
            rows = [row for row in csv.reader(io.StringIO(lines, newline=""), delimiter=separator) if any(row)][1:]
            _require_even(rows, len(headers))
            return {name: [row[names.index(name)].strip() for row in rows] for name in names if name}, separator
    raise ValueError(f"its header {excerpt(first)} names no date and close that are known here")


def column_names(headers: Sequence[str]) -> list[str]:
    """Our name of each header, empty where it is none that is read.

    Raises
    ------
    AmbiguousError
        If two headers mean the same column.
    """
    plain = [_SIGNS.sub("", header.casefold()) for header in headers]
    names = [_COLUMN_OF.get(header, "") for header in plain]
    if _TURNOVER_OR_UNITS in plain and "volume" not in names:
        names[plain.index(_TURNOVER_OR_UNITS)] = "volume"
    for name in filter(None, names):
        if names.count(name) > 1:
            twice = [header for header, known in zip(headers, names, strict=True) if known == name]
            raise AmbiguousError(f"headers {' and '.join(map(repr, twice))} both mean {name}")
    return names


def _require_even(rows: Iterable[Sequence[str]], width: int) -> None:
    for number, row in enumerate(rows, start=2):
        if len(row) != width:
            raise ValueError(f"line {number} has {len(row)} cells of {width}")


def days_of(cells: Sequence[str]) -> DateArray:
    """(m,) the days of a column; its dates must be in one form.

    Raises
    ------
    AmbiguousError
        If no date tells whether the day or the month comes first.
    ValueError
        If a cell is no date.
    """
    slashed = [_SLASHED.fullmatch(cell) for cell in cells]
    if any(slashed):
        if not all(slashed):
            raise ValueError("its dates are in several forms")
        return _slashed_days([(int(m[1]), int(m[2]), int(m[3])) for m in slashed if m])
    return np.array([_day(cell) for cell in cells], dtype="datetime64[D]")


def _slashed_days(parts: list[tuple[int, int, int]]) -> DateArray:
    day_first = any(first > 12 for first, _, _ in parts)
    month_first = any(second > 12 for _, second, _ in parts)
    if day_first and month_first:
        raise ValueError("its dates have the day first in some rows and the month first in others")
    if not day_first and not month_first:
        first, second, year = parts[0]
        raise AmbiguousError(f"{first:02}/{second:02}/{year} may be day/month or month/day, and no date of it tells")
    return np.array([date(y, b, a) if day_first else date(y, a, b) for a, b, y in parts], dtype="datetime64[D]")


def _day(cell: str) -> date:
    if match := _ISO.fullmatch(cell):
        return date(int(match[1]), int(match[2]), int(match[3]))
    if match := _DOTTED.fullmatch(cell):
        return date(int(match[3]), int(match[2]), int(match[1]))
    for form in _WORDED:
        try:
            return datetime.strptime(cell, form).date()  # noqa: DTZ007 - a date has no zone
        except ValueError:
            continue
    raise ValueError(f"{excerpt(cell)} is no date with a year of four digits")


def numbers_of(columns: dict[str, list[str]], separator: str) -> dict[str, FloatArray]:
    """(m,) the numbers of each column; NaN where a cell says that there is none.

    The decimal mark is one for the whole file, and the file must show which.

    Raises
    ------
    AmbiguousError
        If it does not show it, or shows both.
    ValueError
        If a cell is no number.
    """
    mark = decimal_mark([cell for cells in columns.values() for cell in cells], separator)
    return {
        name: np.array([_number(cell, mark) for cell in cells], dtype=np.float64) for name, cells in columns.items()
    }


def decimal_mark(cells: Iterable[str], separator: str) -> str:
    """The decimal mark that the numbers of a file show; a point where none has a mark.

    Raises
    ------
    AmbiguousError
        If they show none although they have marks, or both.
    """
    shown, doubtful = set(), []
    for cell in cells:
        marks = [sign for sign in cell if sign in ".,"] if cell.casefold() not in MISSING else []
        if marks and _EITHER.fullmatch(cell):
            doubtful.append(cell)
        elif marks:
            shown.add(_shown_mark(marks))
    if len(shown) > 1:
        raise AmbiguousError("some of its numbers have a decimal point and some a decimal comma")
    if shown:
        return shown.pop()
    if not doubtful or (separator == "," and not any("," in cell for cell in doubtful)):
        return "."
    raise AmbiguousError(f"{doubtful[0]!r} may have a decimal mark or a mark of thousands, and no number of it tells")


def _shown_mark(marks: Sequence[str]) -> str:
    """The decimal mark among the marks of one number: the last, unless it is repeated and so marks thousands."""
    last = marks[-1]
    return last if marks.count(last) == 1 else {".": ",", ",": "."}[last]


def _number(cell: str, mark: str) -> float:
    if cell.casefold() in MISSING:
        return float("nan")
    thousands = "," if mark == "." else "."
    plain = cell
    if thousands in cell:
        if not _GROUPED[thousands].fullmatch(cell):
            raise ValueError(f"{excerpt(cell)} is no number")
        plain = cell.replace(thousands, "")
    plain = plain.replace(mark, ".")
    if not _PLAIN.fullmatch(plain):
        raise ValueError(f"{excerpt(cell)} is no number")
    return float(plain)
