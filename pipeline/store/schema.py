"""The vocabulary of tables: columns that carry their meaning, unit and bounds with them.

Alembic, the Dagster column schema, the generic asset checks and the API documentation are all read
from here, so a column is described once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Date, Double, Integer, MetaData, SmallInteger, Table
from sqlalchemy.types import TypeEngine

METADATA = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

WRITER = "materialization_id"
"""Column of every result table: which write made the row (`pipeline.store.materializations`)."""


SUPERSEDED_BY = "superseded_by"
"""Column of a history table: which write replaced or deleted the row."""

_HISTORY_SUFFIX = "_history"


@dataclass(frozen=True, slots=True)
class Unit:
    """What a column's numbers measure, and between which bounds they can lie.

    Parameters
    ----------
    name
        Unit as it is shown beside the number.
    minimum, maximum
        Values outside are impossible; the generic asset check looks for them.
    """

    name: str
    minimum: float | None = None
    maximum: float | None = None


RATIO = Unit("ratio")
ROWS = Unit("rows", minimum=0)
SESSIONS = Unit("sessions", minimum=0)
PRICE_UNIT = Unit("currency of the instrument", minimum=0)
RETURN = Unit("fraction", minimum=-1)
LOSS = Unit("fraction of value, positive loss")
"""Without an upper bound: who holds more than the value, by short positions, can lose more than it."""
DRAWDOWN = Unit("fraction, negative", minimum=-1, maximum=0)
GROWTH = Unit("fraction per year", minimum=-1)
VOLATILITY = Unit("fraction per year", minimum=0)
STANDARD_ERROR = Unit("fraction, standard error", minimum=0)
PROBABILITY = Unit("probability", minimum=0, maximum=1)


NUMPY_TYPES: dict[type[TypeEngine[Any]], str] = {
    Date: "datetime64[D]",
    Double: "f8",
    Integer: "i4",
    SmallInteger: "i2",
    BigInteger: "i8",
}
"""How columns travel as arrays; texts are byte strings of their own width."""


def column(name: str, kind: TypeEngine[Any], meaning: str, unit: Unit | None = None, **options: Any) -> Column[Any]:
    """A column with its meaning and unit, which feed schemas, checks and documentation."""
    return Column(name, kind, comment=meaning, info={"unit": unit}, **options)


def unit_of(column: Column[Any]) -> Unit | None:
    """The unit that `column` was declared with."""
    unit: Unit | None = column.info.get("unit")
    return unit


def key(name: str, kind: TypeEngine[Any], meaning: str) -> Column[Any]:
    """A part of the primary key."""
    return column(name, kind, meaning, primary_key=True, autoincrement=False, nullable=False)


def writer() -> Column[Any]:
    """The column that names the write behind each row."""
    return column(WRITER, Integer(), "Write that made or last changed the row.", nullable=False)


def versioned(table: Table) -> Table:
    """Keep every replaced or deleted row of a table beside it, so that it can be read as it was known."""
    copies = [
        Column(
            c.name,
            c.type,
            primary_key=c.primary_key,
            autoincrement=False,
            nullable=c.nullable,
            comment=c.comment,
            info=dict(c.info),
        )
        for c in table.columns
    ]
    Table(
        f"{table.name}{_HISTORY_SUFFIX}",
        table.metadata,
        *copies,
        key(SUPERSEDED_BY, Integer(), "Write that replaced or deleted the row."),
        comment=f"Rows of {table.name} that were replaced or deleted, as they stood.",
    )
    return table


def history_of(table: Table) -> Table | None:
    """The history of a versioned table."""
    return table.metadata.tables.get(f"{table.name}{_HISTORY_SUFFIX}")


def session_key(name: str = "session") -> Column[Any]:
    """The exchange session of a row."""
    return key(name, Date(), "Exchange session (New York).")


def session_column(table: Table) -> str | None:
    """Name of the column that places a row in a month, if the table is a time series."""
    return next((c.name for c in table.primary_key if isinstance(c.type, Date)), None)


def value_columns(table: Table) -> list[str]:
    """The columns that hold results: neither key nor writer."""
    return [c.name for c in table.columns if not c.primary_key and c.name != WRITER]
