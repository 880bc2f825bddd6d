"""What a load can find out of its rows before it is known which of them are offered.

Judging keeps one core busy; meanwhile another orders and digests the rows, and the server sends what was offered last.
"""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import AbstractContextManager
from functools import partial

from sqlalchemy import Table

from pipeline.base.types import MonthRange
from pipeline.store.materializations import read_digests
from pipeline.store.offering import Columns, OfferedRows, PreparedRows
from pipeline.store.stored import meanwhile
from pipeline.store.writing import Write


def preparing(
    write: Write, table: Table, rows: Columns, months: MonthRange
) -> AbstractContextManager[Future[PreparedRows]]:
    """Prepare a table for some of these rows, whichever they will be, while the context lasts.

    Parameters
    ----------
    rows
        Every column of the table but the writer, of rows in `months`; they may break the table's rules.

    Returns
    -------
    AbstractContextManager
        Of a future of the rows. Offer what it takes of them (`PreparedRows.take`).
    """
    return meanwhile(write.connection, partial(_prepared, write, table, rows, months))


def _prepared(write: Write, table: Table, rows: Columns, months: MonthRange) -> PreparedRows:
    offered = OfferedRows.of(table, rows, months)
    write.digests[table.name] = read_digests(write.connection, write.asset, months.months())
    return PreparedRows(offered)
