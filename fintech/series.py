"""Rows of the API as DataFrames, whose columns have the same types whatever the rows are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Date, Double, Table, Text

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["date", "time", "float", "int", "count", "text", "truth"]
Columns = Mapping[str, Kind]
Value = float | int | str | date | datetime | None

DTYPES: dict[Kind, str] = {
    "date": "datetime64[ns]",
    "time": "datetime64[ns, UTC]",
    "float": "float64",
    "int": "int64",
    "count": "Int64",
    "text": "string",
    "truth": "boolean",
}
"""The same for an answer without rows. Missing numbers are NaN, missing dates NaT, missing texts and counts <NA>."""


def columns_of(table: Table, *subject: str) -> Columns:
    """The columns that the API answers with for rows of a table: all but those that say whose they are."""
    return {column.name: _kind(column.type) for column in table.columns if column.name not in subject}


def _kind(type_: object) -> Kind:
    if isinstance(type_, Date):
        return "date"
    if isinstance(type_, Double):
        return "float"
    return "text" if isinstance(type_, Text) else "int"


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer tells of its data.

    Parameters
    ----------
    notice
        What every reader of the data must be told; None if there is nothing.
    warnings
        (code, message) of what else to know.
    staleness
        How new the data is; None if it does not grow old.
    """

    notice: str | None = None
    warnings: tuple[tuple[str, str], ...] = ()
    staleness: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Told:
        """What the body of an answer tells."""
        found = tuple((warning["code"], warning["message"]) for warning in body.get("warnings", ()))
        return cls(body.get("notice"), found, body.get("staleness"))

    def attrs(self) -> dict[str, Any]:
        """The same for the ``attrs`` of a DataFrame."""
        return {"notice": self.notice, "warnings": self.warnings, "staleness": self.staleness}


@dataclass(frozen=True, slots=True)
class Series:
    """Rows by day, oldest first.

    Parameters
    ----------
    rows
        Column → value; days are dates, and None is missing.
    columns
        Every column and what it holds, also where there are no rows; the first is the day.
    told
        What the answer tells of its data.
    """

    rows: tuple[Mapping[str, Value], ...]
    columns: Columns
    told: Told

    @classmethod
    def of(cls, data: Iterable[Mapping[str, Any]], columns: Columns, told: Told) -> Series:
        """The series of the rows of an answer."""
        return cls(tuple(_row(found, columns) for found in data), columns, told)

    @property
    def notice(self) -> str | None:
        """What every reader of the data must be told; None if there is nothing."""
        return self.told.notice

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Value]]:
        return iter(self.rows)

    def to_df(self) -> pd.DataFrame:
        """A DataFrame by day (``datetime64[ns]``), numbers as ``float64``; ``attrs`` has what the answer tells."""
        day = next(name for name, kind in self.columns.items() if kind == "date")
        return frame(self.rows, self.columns, self.told).set_index(day)


def _row(found: Mapping[str, Any], columns: Columns) -> Mapping[str, Value]:
    return {name: _value(found[name], kind) for name, kind in columns.items()}


def _value(value: Any, kind: Kind) -> Any:
    if value is None or kind not in ("date", "time"):
        return value
    return date.fromisoformat(value) if kind == "date" else datetime.fromisoformat(value)


def frame(rows: Sequence[Mapping[str, object]], columns: Columns, told: Told) -> pd.DataFrame:
    """A DataFrame whose columns have the same types whatever the rows are."""
    import pandas as pd  # noqa: PLC0415 - half a second that only DataFrames need

    made = pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=DTYPES[kind]) for name, kind in columns.items()}
    )
    made.attrs |= told.attrs()
    return made
