"""The form of answers: a resource is its own fields, a collection is ``data``; both carry the notice of their data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Table

from pipeline.store.schema import unit_of

T = TypeVar("T")
Model = TypeVar("Model", bound="Row")

_NOTICE = "What every reader of the data must be told; null if there is nothing."


class Collection(BaseModel, Generic[T]):
    """Several resources, or the rows of a series."""

    model_config = ConfigDict(frozen=True)

    data: list[T]
    notice: str | None = Field(description=_NOTICE)


class Row(BaseModel):
    """A part of an answer, made from a record of the store. NaN and infinity become null."""

    model_config = ConfigDict(frozen=True, from_attributes=True, ser_json_inf_nan="null")


class Resource(Row):
    """A single resource: the fields of its subclass, and the notice."""

    notice: str | None = Field(None, description=_NOTICE)

    @classmethod
    def of(cls, record: object, notice: str | None) -> Self:
        """The answer for a record of the store."""
        return cls.model_validate(record).model_copy(update={"notice": notice})


def described_by(table: Table) -> Callable[[type[Model]], type[Model]]:
    """Give the fields of a row the meaning and unit of the table's columns of the same name."""

    def describe(model: type[Model]) -> type[Model]:
        for name, field in model.model_fields.items():
            column = table.columns.get(name)
            if column is None or field.description is not None:
                continue
            unit = unit_of(column)
            field.description = f"{column.comment or ''} [{unit.name}]" if unit else column.comment
        model.model_rebuild(force=True)
        return model

    return describe
