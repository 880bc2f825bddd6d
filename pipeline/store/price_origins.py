"""Where a served price comes from: the bar as its provider gave it, the actions after it, and what it was before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from psycopg import Connection, sql
from psycopg.rows import class_row

from pipeline.store.corporate_actions import CORPORATE_ACTION, CORPORATE_ACTIONS
from pipeline.store.point_in_time import NOW, Knowledge, rows_as_known
from pipeline.store.prices import PRICE, PRICES
from pipeline.store.schema import SUPERSEDED_BY, WRITER, history_of

_BAR = ("session", "open", "high", "low", "close", "volume", "close_adjusted", WRITER)


@dataclass(frozen=True, slots=True)
class GivenBar:
    """A bar as it is stored: in its provider's unit, and with the provider's own adjusted close.

    Parameters
    ----------
    provider
        Name of who gave it.
    """

    session: date
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    close_adjusted: float | None
    materialization_id: int
    provider: str


@dataclass(frozen=True, slots=True)
class Revised:
    """A bar that another one has replaced.

    Parameters
    ----------
    materialization_id, superseded_by
        The write that stored it, and the one that replaced or deleted it.
    """

    session: date
    close: float | None
    close_adjusted: float | None
    volume: float | None
    materialization_id: int
    superseded_by: int


@dataclass(frozen=True, slots=True)
class Action:
    """A split or a dividend, and what it multiplies the closes before it by."""

    ex_session: date
    split_numerator: int
    split_denominator: int
    dividend: float
    factor: float
    materialization_id: int


def read_given_bars(
    connection: Connection, instrument_id: int, last: date | None, limit: int, known: Knowledge = NOW
) -> list[GivenBar]:
    """The newest bars up to a session as they were known, oldest first; `last` None means the newest of all."""
    names = sql.SQL(", ").join(sql.Identifier(name) for name in (*_BAR, "source"))
    condition = sql.SQL("instrument_id = {} AND session <= coalesce({}, session)").format(
        sql.Literal(instrument_id), sql.Literal(last)
    )
    query = sql.SQL(
        "SELECT {names}, provider.name AS provider FROM ({rows}) AS known JOIN provider ON provider.id = known.source"
        " ORDER BY session DESC LIMIT {limit}"
    ).format(
        names=sql.SQL(", ").join(sql.Identifier("known", name) for name in _BAR),
        rows=rows_as_known(connection, PRICE, PRICES, names, condition, known),
        limit=sql.Literal(limit),
    )
    with connection.cursor(row_factory=class_row(GivenBar)) as cursor:
        return cursor.execute(query).fetchall()[::-1]


@dataclass(frozen=True, slots=True)
class GivenClose:
    """The closes of one bar as its provider gave them."""

    close: float | None
    close_adjusted: float | None


def read_given_closes(
    connection: Connection, instrument_ids: Sequence[int], sessions: Sequence[date]
) -> dict[int, GivenClose]:
    """Instrument → its bar on the session beside it in `sessions`; those without a bar are left out."""
    rows = connection.execute(
        """
        SELECT price.instrument_id, close, close_adjusted
        FROM unnest(%s::integer[], %s::date[]) AS asked (instrument_id, session)
        JOIN price ON price.instrument_id = asked.instrument_id AND price.session = asked.session
        """,
        [list(instrument_ids), list(sessions)],
    )
    return {row[0]: GivenClose(row[1], row[2]) for row in rows}


def read_revisions(connection: Connection, instrument_id: int, sessions: Sequence[date]) -> list[Revised]:
    """What the bars of some sessions were before, oldest first."""
    history = history_of(PRICE)
    assert history is not None  # prices are versioned
    query = sql.SQL(
        "SELECT session, close, close_adjusted, volume, {writer}, {superseded} FROM {history}"
        " WHERE instrument_id = {id} AND session = ANY({sessions}) ORDER BY session, {superseded}"
    ).format(
        writer=sql.Identifier(WRITER),
        superseded=sql.Identifier(SUPERSEDED_BY),
        history=sql.Identifier(history.name),
        id=sql.Literal(instrument_id),
        sessions=sql.Literal(list(sessions)),
    )
    with connection.cursor(row_factory=class_row(Revised)) as cursor:
        return cursor.execute(query).fetchall()


def read_actions(
    connection: Connection, instrument_id: int, after: date | None = None, known: Knowledge = NOW
) -> list[Action]:
    """The splits and dividends of an instrument as they were known, oldest first; those after a session, or all."""
    names = sql.SQL("ex_session, split_numerator, split_denominator, dividend, factor, {}").format(
        sql.Identifier(WRITER)
    )
    condition = sql.SQL("instrument_id = {} AND ex_session > {}").format(
        sql.Literal(instrument_id), sql.Literal(after or date(1, 1, 1))
    )
    rows = rows_as_known(connection, CORPORATE_ACTION, CORPORATE_ACTIONS, names, condition, known)
    query = sql.SQL("SELECT * FROM ({}) AS known ORDER BY ex_session").format(rows)
    with connection.cursor(row_factory=class_row(Action)) as cursor:
        return cursor.execute(query).fetchall()
