"""Limits that users set on portfolios, and what was told about them: each event is stored once and delivered once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from psycopg import Connection
from psycopg.rows import class_row
from sqlalchemy import (
    CheckConstraint,
    Date,
    DateTime,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)

from pipeline.store import materializations
from pipeline.store.reading import Window
from pipeline.store.schema import METADATA, Unit, column, key

MEASURED = Unit("unit of the measure")

WATCH = "limit_event"
"""Name of the turn that judges of limits take, so that none judges with episodes that another is about to change."""

PORTFOLIO_LIMIT = Table(
    "portfolio_limit",
    METADATA,
    key("portfolio_id", Integer(), "Portfolio."),
    key("measure", Text(), "What is limited, such as var_99_1d or largest_weight."),
    key("direction", Text(), "Side that is not allowed: above or below."),
    column("warn", Double(), "Value that is warned of; reaching it counts.", MEASURED, nullable=False),
    column("breach", Double(), "Value that breaches the limit; reaching it counts.", MEASURED, nullable=False),
    column("created_at", DateTime(timezone=True), "When it was set.", nullable=False, server_default=func.now()),
    column("changed_at", DateTime(timezone=True), "When it last changed.", nullable=False, server_default=func.now()),
    CheckConstraint("direction IN ('above', 'below')", name="direction"),
    comment="Limits on portfolios, set by users.",
)
# Users write these few rows, so the reference is enforced here, unlike on bulk result tables (ADR 0003).
PORTFOLIO_LIMIT.append_constraint(ForeignKeyConstraint(["portfolio_id"], ["portfolio.id"], ondelete="CASCADE"))

LIMIT_EVENT = Table(
    "limit_event",
    METADATA,
    column("key", Text(), "The same whenever the same session is judged again.", primary_key=True),
    column("portfolio_id", Integer(), "Portfolio.", nullable=False),
    column("kind", Text(), "WARN or BREACH: what was reached; CLEAR: the limit is kept again.", nullable=False),
    column("measure", Text(), "Measure of the limit.", nullable=False),
    column("direction", Text(), "Side that is not allowed: above or below.", nullable=False),
    column("session", Date(), "Session on which it happened.", nullable=False),
    column("opened", Date(), "Session on which the episode began.", nullable=False),
    column(
        "ordinal",
        SmallInteger(),
        "Which of the limit's episodes that began on that session, from 1.",
        nullable=False,
        server_default="1",
    ),
    column("value", Double(), "Of the measure; empty where the limit itself was taken away.", MEASURED),
    column("warn", Double(), "The limit's warning as it stood; empty where it was taken away.", MEASURED),
    column("breach", Double(), "The limit's breach as it stood; empty where it was taken away.", MEASURED),
    column("recorded_at", DateTime(timezone=True), "When it was stored.", nullable=False, server_default=func.now()),
    column("delivered_at", DateTime(timezone=True), "When the receiver took it; empty until then."),
    column("attempts", Integer(), "Deliveries that were tried.", nullable=False, server_default="0"),
    column("last_error", Text(), "Why the last delivery failed; empty if none did."),
    CheckConstraint("kind IN ('WARN', 'BREACH', 'CLEAR')", name="kind"),
    CheckConstraint("direction IN ('above', 'below')", name="direction"),
    Index(None, "portfolio_id", "session"),
    Index("limit_event_undelivered_idx", "recorded_at", postgresql_where=text("delivered_at IS NULL")),
    comment="What was told about limits: an event a level that an episode reaches, and one when it ends.",
)
LIMIT_EVENT.append_constraint(ForeignKeyConstraint(["portfolio_id"], ["portfolio.id"], ondelete="CASCADE"))


@dataclass(frozen=True, slots=True)
class NewLimit:
    """A limit before it is stored."""

    measure: str
    direction: str
    warn: float
    breach: float


@dataclass(frozen=True, slots=True)
class StoredLimit(NewLimit):
    """A limit as it is stored."""

    portfolio_id: int
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something to tell, before it is stored."""

    key: str
    portfolio_id: int
    kind: str
    measure: str
    direction: str
    session: date
    opened: date
    value: float | None
    warn: float | None
    breach: float | None
    ordinal: int = field(default=1, kw_only=True)


@dataclass(frozen=True, slots=True)
class StoredEvent(NewEvent):
    """An event as it is stored."""

    recorded_at: datetime
    delivered_at: datetime | None
    attempts: int
    last_error: str | None


_LIMIT = "measure, direction, warn, breach, portfolio_id, created_at, changed_at"
_NEW_EVENT = "key, portfolio_id, kind, measure, direction, session, opened, value, warn, breach, ordinal"
_EVENT = f"{_NEW_EVENT}, recorded_at, delivered_at, attempts, last_error"


def read_limits(connection: Connection, portfolio_id: int | None = None) -> list[StoredLimit]:
    """The limits of a portfolio, or of all of them."""
    with connection.cursor(row_factory=class_row(StoredLimit)) as cursor:
        return cursor.execute(
            f"""
            SELECT {_LIMIT} FROM portfolio_limit WHERE %(id)s::int IS NULL OR portfolio_id = %(id)s
            ORDER BY portfolio_id, measure, direction
            """,
            {"id": portfolio_id},
        ).fetchall()


def replace_limits(connection: Connection, portfolio_id: int, limits: Sequence[NewLimit]) -> None:
    """Make the limits of a portfolio equal to `limits`; those that stay as they are keep their dates."""
    # Two callers at once take turns, so that the limits are those of one of them, never a mixture.
    connection.execute("SELECT FROM portfolio WHERE id = %s FOR NO KEY UPDATE", [portfolio_id])
    kept = [f"{limit.measure} {limit.direction}" for limit in limits]
    connection.execute(
        "DELETE FROM portfolio_limit WHERE portfolio_id = %s AND NOT measure || ' ' || direction = ANY(%s)",
        [portfolio_id, kept],
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO portfolio_limit AS known (portfolio_id, measure, direction, warn, breach)
            VALUES (%s, %s, %s, %s, %s)
            ON CONFLICT (portfolio_id, measure, direction) DO UPDATE
                SET warn = excluded.warn, breach = excluded.breach, changed_at = now()
                WHERE (known.warn, known.breach) IS DISTINCT FROM (excluded.warn, excluded.breach)
            """,
            [(portfolio_id, limit.measure, limit.direction, limit.warn, limit.breach) for limit in limits],
        )


def take_turn(connection: Connection) -> None:
    """Wait until no other transaction judges limits; the server frees the turn with the transaction."""
    materializations.take_turn(connection, WATCH)


def read_open_episodes(connection: Connection) -> list[StoredEvent]:
    """The events of every episode that has not ended, those of each portfolio, measure and direction together."""
    with connection.cursor(row_factory=class_row(StoredEvent)) as cursor:
        return cursor.execute(
            f"""
            SELECT {_EVENT} FROM limit_event AS event WHERE NOT EXISTS (
                SELECT FROM limit_event AS other
                WHERE (other.portfolio_id, other.measure, other.direction, other.opened, other.ordinal)
                    = (event.portfolio_id, event.measure, event.direction, event.opened, event.ordinal)
                    AND other.kind = 'CLEAR'
            ) ORDER BY portfolio_id, measure, direction, opened, ordinal, session, key
            """
        ).fetchall()


def count_ended_episodes(connection: Connection, portfolio_id: int, opened: date) -> dict[tuple[str, str], int]:
    """(measure, direction) → how many of a portfolio's episodes began on a session and have ended."""
    rows = connection.execute(
        "SELECT measure, direction, count(*) FROM limit_event"
        " WHERE portfolio_id = %s AND opened = %s AND kind = 'CLEAR' GROUP BY measure, direction",
        [portfolio_id, opened],
    )
    return {(measure, direction): count for measure, direction, count in rows}


def record_events(connection: Connection, events: Sequence[NewEvent]) -> int:
    """Store events; one that is stored already stays as it is.

    Returns
    -------
    int
        How many were new.
    """
    recorded = 0
    for event in events:
        added = connection.execute(
            # A portfolio may be deleted meanwhile: nothing is told of it then, and the run goes on.
            f"INSERT INTO limit_event ({_NEW_EVENT}) SELECT %s::text, %s::int, %s::text,"
            " %s::text, %s::text, %s::date, %s::date, %s::float8, %s::float8, %s::float8, %s::int2"
            " WHERE EXISTS (SELECT FROM portfolio WHERE id = %s FOR KEY SHARE) ON CONFLICT (key) DO NOTHING",
            [
                event.key,
                event.portfolio_id,
                event.kind,
                event.measure,
                event.direction,
                event.session,
                event.opened,
                event.value,
                event.warn,
                event.breach,
                event.ordinal,
                event.portfolio_id,
            ],
        )
        recorded += added.rowcount
    return recorded


def read_events(connection: Connection, portfolio_id: int, window: Window) -> list[StoredEvent]:
    """The newest events of a portfolio inside a window, oldest first."""
    with connection.cursor(row_factory=class_row(StoredEvent)) as cursor:
        return cursor.execute(
            f"""
            SELECT {_EVENT} FROM limit_event WHERE portfolio_id = %(id)s
                AND session >= coalesce(%(start)s, '-infinity'::date)
                AND session <= coalesce(%(end)s, 'infinity'::date)
                AND (%(is_first)s OR (session, recorded_at, key) < (%(session)s, %(recorded_at)s, %(key)s))
            ORDER BY session DESC, recorded_at DESC, key DESC LIMIT %(limit)s
            """,
            {"id": portfolio_id, "start": window.start, "end": window.end, "limit": window.limit} | _before(window),
        ).fetchall()[::-1]


def _before(window: Window) -> dict[str, object]:
    """The key before which a page of events ends."""
    session, recorded_at, key = window.before or (None, None, None)
    return {"is_first": window.before is None, "session": session, "recorded_at": recorded_at, "key": key}


def claim_undelivered(connection: Connection, tried: Collection[str]) -> StoredEvent | None:
    """The oldest event that nobody has delivered or is delivering; others pass it by until this transaction ends.

    Parameters
    ----------
    tried
        Keys to leave out.
    """
    with connection.cursor(row_factory=class_row(StoredEvent)) as cursor:
        return cursor.execute(
            f"""
            SELECT {_EVENT} FROM limit_event WHERE delivered_at IS NULL AND NOT key = ANY(%s)
            ORDER BY recorded_at, session, key LIMIT 1 FOR UPDATE SKIP LOCKED
            """,
            [list(tried)],
        ).fetchone()


def mark_delivered(connection: Connection, event_key: str, attempts: int) -> None:
    """Note that the receiver took an event, after a number of further attempts."""
    connection.execute(
        "UPDATE limit_event SET delivered_at = clock_timestamp(), attempts = attempts + %s, last_error = NULL"
        " WHERE key = %s",
        [attempts, event_key],
    )


def mark_undelivered(connection: Connection, event_key: str, attempts: int, error: str) -> None:
    """Note why an event could not be delivered, after a number of further attempts."""
    connection.execute(
        "UPDATE limit_event SET attempts = attempts + %s, last_error = %s WHERE key = %s", [attempts, error, event_key]
    )
