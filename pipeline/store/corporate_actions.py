"""Splits and dividends, and the factor by which each adjusts the closes before it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from operator import mul

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, sql
from psycopg.rows import class_row
from sqlalchemy import CheckConstraint, Double, Integer, SmallInteger, Table

from pipeline.base.types import DateArray, FloatArray, IntArray, MonthRange
from pipeline.store.materializations import mark_changed
from pipeline.store.offering import Columns, Span
from pipeline.store.outdating import outdate
from pipeline.store.point_in_time import NOW, Knowledge, rows_as_known
from pipeline.store.schema import METADATA, PRICE_UNIT, Unit, column, key, session_key, versioned, writer
from pipeline.store.writing import Write, WriteOutcome, replace_rows

CORPORATE_ACTIONS = "prices"
"""Asset that writes the table: a provider tells of actions with its bars."""

CORPORATE_ACTION = versioned(
    Table(
        "corporate_action",
        METADATA,
        key("instrument_id", Integer(), "Instrument."),
        session_key("ex_session"),
        column("split_numerator", Integer(), "New units for the old ones; 1 without a split.", nullable=False),
        column("split_denominator", Integer(), "Old units for the new ones; 1 without a split.", nullable=False),
        column(
            "dividend", Double(), "Cash for one unit held before; 0 without a dividend.", PRICE_UNIT, nullable=False
        ),
        column(
            "factor",
            Double(),
            "What closes before the date are multiplied by.",
            Unit("ratio", minimum=0),
            nullable=False,
        ),
        column("source", SmallInteger(), "Number of the provider.", nullable=False),
        writer(),
        CheckConstraint("split_numerator > 0 AND split_denominator > 0", name="split"),
        comment="Splits and dividends of every instrument, by ex-date.",
    )
)


def action_rows(
    instrument_id: NDArray[np.int32],
    ex_session: DateArray,
    source: int,
    split: tuple[IntArray, IntArray],
    dividend: FloatArray,
    factor: FloatArray,
) -> Columns:
    """Every column of the table; `split` are new units and old ones."""
    return {
        "instrument_id": instrument_id,
        "ex_session": ex_session,
        "split_numerator": split[0].astype(np.int32),
        "split_denominator": split[1].astype(np.int32),
        "dividend": dividend,
        "factor": factor,
        "source": np.full(len(ex_session), source, dtype=np.int16),
    }


def replace_actions(write: Write, rows: Columns, months: MonthRange) -> WriteOutcome:
    """Make the actions of `months` equal to `rows`, in the write of the bars that they came with.

    A changed action changes the month's prices for whoever reads them adjusted.
    """
    span = Span(months.first, months.end)
    outcome = replace_rows(write.connection, CORPORATE_ACTION, rows, span, write.materialization_id)
    mark_changed(write.connection, write.materialization_id, CORPORATE_ACTIONS, outcome.changed_months)
    outdate(write.connection, CORPORATE_ACTION, outcome.changed_months, write.materialization_id)
    return outcome


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What closes before a date are multiplied by."""

    instrument_id: int
    ex_session: date
    factor: float


def read_adjustments(connection: Connection, instrument_ids: Sequence[int], known: Knowledge = NOW) -> list[Adjustment]:
    """The adjustments of instruments, newest first."""
    condition = sql.SQL("instrument_id = ANY({ids})").format(ids=sql.Literal(list(instrument_ids)))
    rows = rows_as_known(
        connection,
        CORPORATE_ACTION,
        CORPORATE_ACTIONS,
        sql.SQL("instrument_id, ex_session, factor"),
        condition,
        known,
    )
    query = sql.SQL("SELECT * FROM ({rows}) AS known ORDER BY ex_session DESC, instrument_id").format(rows=rows)
    with connection.cursor(row_factory=class_row(Adjustment)) as cursor:
        return cursor.execute(query).fetchall()


@dataclass(frozen=True, slots=True)
class CloseFactors:
    """What closes as traded are multiplied by, so that later splits and dividends are taken out of them.

    Parameters
    ----------
    ex_sessions
        (a,) ascending.
    factors
        (a + 1,) product of the factors from each of them on, the newest first; the last one, after all, is 1.
    """

    ex_sessions: tuple[date, ...] = ()
    factors: tuple[float, ...] = (1.0,)

    def at(self, session: date) -> float:
        """Product of the factors of all actions after a session."""
        return self.factors[bisect_right(self.ex_sessions, session)]


UNADJUSTED = CloseFactors()


def read_close_factors(
    connection: Connection, instrument_ids: Sequence[int], known: Knowledge = NOW
) -> dict[int, CloseFactors]:
    """The factors of each of the instruments that has actions."""
    by_instrument: dict[int, list[Adjustment]] = {}
    for adjustment in read_adjustments(connection, instrument_ids, known):
        by_instrument.setdefault(adjustment.instrument_id, []).append(adjustment)
    return {instrument_id: _close_factors(adjustments) for instrument_id, adjustments in by_instrument.items()}


def _close_factors(newest_first: Sequence[Adjustment]) -> CloseFactors:
    products = accumulate((adjustment.factor for adjustment in newest_first), mul, initial=1.0)
    return CloseFactors(tuple(a.ex_session for a in reversed(newest_first)), tuple(products)[::-1])


@dataclass(frozen=True, slots=True)
class Growth:
    """What one unit of an instrument has become by its actions, what they paid reinvested.

    Parameters
    ----------
    ex_sessions
        (a,) ascending.
    units
        (a,) from each of them on; 1 before the first.
    """

    ex_sessions: DateArray
    units: FloatArray

    def at(self, days: DateArray) -> FloatArray:
        """Units on each of some days."""
        grown: FloatArray = np.concatenate([[1.0], self.units])[np.searchsorted(self.ex_sessions, days, side="right")]
        return grown


def read_growth(connection: Connection, instrument_ids: Sequence[int], known: Knowledge = NOW) -> dict[int, Growth]:
    """The growth of each of the instruments that has actions.

    The product begins with the first action that there is, so that it does not depend on what is read of the prices.
    """
    by_instrument: dict[int, list[Adjustment]] = {}
    for adjustment in reversed(read_adjustments(connection, instrument_ids, known)):
        by_instrument.setdefault(adjustment.instrument_id, []).append(adjustment)
    return {instrument_id: _growth(adjustments) for instrument_id, adjustments in by_instrument.items()}


def _growth(adjustments: Sequence[Adjustment]) -> Growth:
    units: FloatArray = np.multiply.accumulate(np.array([1.0 / a.factor for a in adjustments], dtype=np.float64))
    return Growth(np.array([a.ex_session for a in adjustments], dtype="datetime64[D]"), units)
