"""How a column of a table went, month by month: the chart of an asset's page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
from psycopg import Connection
from sqlalchemy import Double, Integer, SmallInteger, Table

from pipeline.base.errors import NotFoundError
from pipeline.store.reading import read_monthly_means
from pipeline.store.schema import WRITER, session_column, unit_of, value_columns
from pipeline.store.tables import all_tables
from serving.pages.charts import Line, TimeChart
from serving.pages.drawing import Drawn, number
from serving.pages.formats import PERCENT_UNITS, percent, words

MONTHS = 60
END = date(9999, 1, 1)
_NUMBERS = (Double, Integer, SmallInteger)


def read_trend(connection: Connection, subject: str, given: Mapping[str, str]) -> Drawn:
    """The monthly mean of a column over the last five years.

    Parameters
    ----------
    subject
        ``table.column``, of a table of results.
    given
        Key columns and their values, which the rows must have; what else it holds is left alone.

    Raises
    ------
    NotFoundError
        If there is no such column, or a value cannot be one of its key.
    """
    table, column = _known(subject)
    kept = {c.name: _value(given[c.name], c.name, c.type) for c in table.primary_key if c.name in given}
    means = read_monthly_means(connection, table, column, END, MONTHS, kept)
    unit = unit_of(table.columns[column])
    form = percent if unit is not None and unit.name.startswith(PERCENT_UNITS) else number
    of = "".join(f", {value}" for value in kept.values())
    title = f"{words(table.name)}{of}: mean {column} by month"
    months = np.array([month for month, _ in means], dtype="datetime64[D]")
    line = Line(column, np.array([mean for _, mean in means], dtype=np.float64))
    return Drawn(TimeChart(title, months, [line], form).svg())


def _known(subject: str) -> tuple[Table, str]:
    name, _, column = subject.partition(".")
    table = all_tables().tables.get(name)
    is_result = table is not None and session_column(table) is not None and WRITER in table.columns
    if table is None or not is_result or column not in value_columns(table):
        raise NotFoundError(f"There is no column {subject[:128]!r} of results", "Ask for table.column.")
    if not isinstance(table.columns[column].type, _NUMBERS):
        raise NotFoundError(f"{subject} holds no numbers", "Ask for a column that does.")
    return table, column


def _value(text: str, name: str, kind: object) -> str | int:
    if not isinstance(kind, (Integer, SmallInteger)):
        return text
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value < 2**31:
        raise NotFoundError(f"{name}={text[:64]!r} is no number of a row", "Give a whole number from 0.")
    return value
