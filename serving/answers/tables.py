"""Collections as tables: CSV, Parquet and Arrow with the same columns and values as the JSON.

A column is made from the rows' attributes at once, without an object of the model for each row. Dates are date32,
moments microseconds in UTC, what is missing or no finite number is null, and what is no single value in JSON is its
JSON text.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from math import isfinite
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from pydantic import BaseModel, TypeAdapter

from serving.answers.formats import Format

if TYPE_CHECKING:
    from arro3.core import Array, Table

METADATA = b"fintech"
"""Key of the schema's metadata for what the JSON says beside its rows."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = date(1970, 1, 1).toordinal()
_SINGLE: tuple[type, ...] = (bool, int, float, datetime, date)
"""Kinds of values that have a column type; bool before int and datetime before date, which they are, too."""


def encoded(form: Format, rows: Sequence[object], row_type: type[BaseModel], told: Mapping[str, Any]) -> bytes:
    """The rows as a table in one of the formats but JSON.

    Parameters
    ----------
    row_type
        Model whose fields name the columns.
    told
        What goes into the metadata, which a CSV has none of.
    """
    from arro3.io import write_csv, write_ipc_stream, write_parquet  # noqa: PLC0415 - for tables only

    table, made = table_of(rows, row_type, told), io.BytesIO()
    if form == "csv":
        write_csv(table, made)
    elif form == "parquet":
        write_parquet(table, made, compression="snappy")
    else:
        write_ipc_stream(table, made, compression=None)
    return made.getvalue()


def table_of(rows: Sequence[object], row_type: type[BaseModel], told: Mapping[str, Any]) -> Table:
    """The rows by column, each with the meaning that the documentation of the API gives it."""
    from arro3.core import Field, Schema, Table  # noqa: PLC0415 - for tables only

    arrays, fields = [], []
    for name, field in row_type.model_fields.items():
        array = _array(rows, name, field.annotation)
        about = {"description": field.description} if field.description else None
        arrays.append(array)
        fields.append(Field(name, array.type, nullable=True, metadata=about))
    schema = Schema(fields, metadata={METADATA.decode(): json.dumps(told)})
    return Table.from_arrays(arrays, schema=schema)


def _array(rows: Sequence[object], name: str, annotation: Any) -> Array:
    from arro3.core import Array, DataType  # noqa: PLC0415 - for tables only

    values = [getattr(row, name) for row in rows]
    kind = _kind(annotation)
    if kind is date:
        return Array(_known(values, lambda day: day.toordinal() - _FIRST_DAY), DataType.int32()).cast(DataType.date32())
    if kind is datetime:
        return Array(_known(values, _microseconds), DataType.int64()).cast(DataType.timestamp("us", tz="UTC"))
    if kind is float:
        return _numbers(values)
    if kind in (int, bool):
        return Array(values, DataType.int64() if kind is int else DataType.bool())
    return Array(_known(values, _text(annotation, kind)), DataType.utf8())


def _numbers(values: Sequence[float | None]) -> Array:
    """Numbers with null for what is none; a column without any is taken over as it is, in a tenth of the time."""
    from arro3.core import Array, DataType  # noqa: PLC0415 - for tables only

    numbers = np.array(values, dtype=np.float64)
    if np.isfinite(numbers).all():
        return Array.from_numpy(numbers)
    return Array([value if isfinite(value) else None for value in numbers.tolist()], DataType.float64())


def _text(annotation: Any, kind: type | None) -> Callable[[Any], str]:
    """What makes the text of a value: the JSON of one that is no single value."""
    if kind is str:
        return str
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    return lambda value: adapter.dump_json(adapter.validate_python(value, from_attributes=True)).decode()


def _known(values: Sequence[Any], convert: Callable[[Any], Any]) -> list[Any]:
    return [None if value is None else convert(value) for value in values]


def _microseconds(moment: datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _kind(annotation: Any) -> type | None:
    """What a column of the annotation holds; text for every choice of texts, None for what is no single value."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(parts[0])
    if origin is Literal:
        return str
    if origin in (Union, UnionType):
        kinds = {_kind(part) for part in parts if part is not NoneType}
        return kinds.pop() if len(kinds) == 1 else None
    if origin is not None or annotation is Any or issubclass(annotation, BaseModel | dict | list | tuple):
        return None
    return next((kind for kind in _SINGLE if issubclass(annotation, kind)), str)
