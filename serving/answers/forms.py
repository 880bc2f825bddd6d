"""The form of answers: a resource is its own fields, a collection is ``data``; both tell what their data is worth.

Routes give the notice, and warnings of their own. Those of all data and staleness are added to every answer by
`serving.finishing`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, ClassVar, Generic, Self, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Table

from pipeline.store.schema import unit_of
from serving.answers.cursors import Order

T = TypeVar("T")
Model = TypeVar("Model", bound="Row")

_NOTICE = "What every reader of the data must be told; null if there is nothing."
_WARNINGS = "What else to know before the answer is used, by code."
_STALENESS = "How new the data is that the answer stands on; null if it stands on none that grows old."
_FOLLOWING = "`cursor` of the next page; null if this is the last."


class WarningOut(BaseModel):
    """Something to know before an answer is used."""

    model_config = ConfigDict(frozen=True)

    code: str = Field(
        description="sample_data, provider_notice, stale, partial_window, provisional, too_few_returns or not_stored."
    )
    message: str


class StalenessOut(BaseModel):
    """How new the data is that an answer stands on."""

    model_config = ConfigDict(frozen=True)

    last_session: date | None = Field(description="Newest session with data; null while there is none.")
    expected_session: date = Field(description="Newest session whose data should be there by now.")
    sessions_behind: int | None = Field(description="Sessions after the last one, up to the expected one.")
    materialized_at: datetime | None = Field(description="When the last load or computation of it was finished.")


class Row(BaseModel):
    """A part of an answer, made from a record of the store. NaN and infinity become null."""

    model_config = ConfigDict(frozen=True, from_attributes=True, ser_json_inf_nan="null")

    table_name: ClassVar[str | None] = None
    """Table whose rows these are."""
    is_timeless: ClassVar[bool] = False
    """Whether nothing in it stands on data that grows old."""


class Collection(BaseModel, Generic[T]):
    """Several resources, or the rows of a series."""

    model_config = ConfigDict(frozen=True)

    data: list[T]
    notice: str | None = Field(None, description=_NOTICE)
    warnings: list[WarningOut] = Field([], description=_WARNINGS)
    staleness: StalenessOut | None = Field(None, description=_STALENESS)
    next_cursor: str | None = Field(None, description=_FOLLOWING)

    @classmethod
    def of(
        cls,
        rows: Sequence[object],
        notice: str | None,
        next_cursor: str | None = None,
        warnings: Sequence[WarningOut] = (),
    ) -> Self:
        """The answer for records of the store, which are not copied before it is known in which format it is wanted."""
        given: dict[str, Any] = {"data": rows, "notice": notice, "next_cursor": next_cursor, "warnings": list(warnings)}
        return cast("Self", cls.model_construct(**given))

    @classmethod
    def page(cls, rows: Sequence[object], limit: int, order: Order, notice: str | None) -> Self:
        """The answer for a page of at most `limit` records, read with one more to see whether another page follows."""
        kept, following = order.cut(rows, limit)
        return cls.of(kept, notice, following)

    @classmethod
    def row_type(cls) -> type[BaseModel]:
        """The model of a row."""
        found: type[BaseModel] = get_args(cls.model_fields["data"].annotation)[0]
        return found


class Resource(Row):
    """A single resource: the fields of its subclass, and what its data is worth."""

    notice: str | None = Field(None, description=_NOTICE)
    warnings: list[WarningOut] = Field([], description=_WARNINGS)
    staleness: StalenessOut | None = Field(None, description=_STALENESS)

    @classmethod
    def of(cls, record: object, notice: str | None) -> Self:
        """The answer for a record of the store."""
        return cls.model_validate(record).model_copy(update={"notice": notice})


def described_by(table: Table) -> Callable[[type[Model]], type[Model]]:
    """Give the fields of a row the meaning and unit of the table's columns of the same name."""

    def describe(model: type[Model]) -> type[Model]:
        model.table_name = table.name
        for name, field in model.model_fields.items():
            column = table.columns.get(name)
            if column is None or field.description is not None:
                continue
            unit = unit_of(column)
            field.description = f"{column.comment or ''} [{unit.name}]" if unit else column.comment
        model.model_rebuild(force=True)
        return model

    return describe
