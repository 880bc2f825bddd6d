"""What every answer is made of: records, and listings of them that become DataFrames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from fintech.series import Columns, Kind, Told, frame

if TYPE_CHECKING:
    import pandas as pd


def each(kind: Kind, *names: str) -> dict[str, Kind]:
    """Columns that hold the same."""
    return dict.fromkeys(names, kind)


class Record(BaseModel):
    """A part of an answer. What a newer API adds is kept as it came."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=(), arbitrary_types_allowed=True)


class Answer(Record):
    """A whole answer."""

    notice: str | None = Field(None, description="What every reader of the data must be told.")
    warnings: tuple[Mapping[str, str], ...] = Field((), description="What else to know, by code.")
    staleness: Mapping[str, Any] | None = Field(None, description="How new the data is.")

    @property
    def told(self) -> Told:
        """What the answer tells of its data."""
        return Told.of({"notice": self.notice, "warnings": self.warnings, "staleness": self.staleness})


T = TypeVar("T", bound=Record)


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Several records.

    Parameters
    ----------
    columns
        Those of the records that a DataFrame has.
    told
        What the answer tells of its data.
    """

    items: tuple[T, ...]
    columns: Columns
    told: Told

    @property
    def notice(self) -> str | None:
        """What every reader of the data must be told; None if there is nothing."""
        return self.told.notice

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __getitem__(self, position: int) -> T:
        return self.items[position]

    def to_df(self) -> pd.DataFrame:
        """A DataFrame in the order of the records, by their first column; ``attrs`` has what the answer tells."""
        return table(self.items, self.columns, self.told)


def table(items: tuple[Record, ...], columns: Columns, told: Told) -> pd.DataFrame:
    """The columns of records as a DataFrame, by the first of them."""
    return frame([item.model_dump() for item in items], columns, told).set_index(next(iter(columns)))
