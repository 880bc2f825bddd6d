"""Rows that a data-quality rule refused, exactly as they were parsed: nothing is dropped.

A person may release a row, which is then accepted, or reject it for good. Each decision is kept and never changed.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from psycopg import Connection
from psycopg.rows import class_row
from sqlalchemy import CheckConstraint, Date, DateTime, Identity, Integer, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

from pipeline.base.errors import ConflictError, NotFoundError
from pipeline.base.types import MonthRange
from pipeline.store.schema import METADATA, column, key, writer
from pipeline.store.writing import Write

Decision = Literal["released", "rejected"]
ParsedRow = dict[str, float | str | list[float | str] | None]
SETTLED_AFTER = timedelta(days=1)
"""No decision's transaction stays open that long, so no lower number appears after it."""

QUARANTINE = Table(
    "quarantine",
    METADATA,
    key("provider", Text(), "Provider of the row."),
    key("symbol", Text(), "Symbol as the provider names it."),
    key("session", Date(), "Date of the row."),
    key("rule", Text(), "Rule that refused it."),
    column("payload", JSONB(), "The row as it was parsed.", nullable=False),
    column("state", Text(), "held, released or rejected.", nullable=False, server_default="held"),
    writer(),
    CheckConstraint("state IN ('held', 'released', 'rejected')", name="state"),
    comment="Price rows that a rule refused, kept as parsed.",
)

QUARANTINE_DECISION = Table(
    "quarantine_decision",
    METADATA,
    column("id", Integer(), "Number of the decision.", primary_key=True, server_default=Identity(always=True)),
    column("provider", Text(), "Provider of the row.", nullable=False),
    column("symbol", Text(), "Symbol as the provider names it.", nullable=False),
    column("session", Date(), "Date of the row.", nullable=False),
    column("rule", Text(), "Rule that had refused it.", nullable=False),
    column("payload", JSONB(), "The row that was decided on.", nullable=False),
    column("decision", Text(), "released or rejected.", nullable=False),
    column("decided_by", Text(), "Who decided.", nullable=False),
    column("note", Text(), "Why.", nullable=False),
    column("decided_at", DateTime(timezone=True), "When.", nullable=False, server_default=func.clock_timestamp()),
    comment="Every decision on a quarantined row; rows are added and never changed.",
)


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A refused row and the rule that refused it; a field that came with several values holds all of them."""

    provider: str
    symbol: str
    session: date
    rule: str
    payload: ParsedRow


@dataclass(frozen=True, slots=True)
class HeldRow(QuarantinedRow):
    """A refused row as it is stored."""

    state: str


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A decision as it is stored."""

    id: int
    provider: str
    symbol: str
    session: date
    rule: str
    decision: str
    decided_by: str
    note: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class SeenDecisions:
    """Which decisions a reader has seen.

    Parameters
    ----------
    settled
        All up to this number.
    later
        And these, of which lower ones may still appear.
    """

    settled: int = 0
    later: frozenset[int] = frozenset()


def replace_quarantine(
    write: Write, rows: Iterable[QuarantinedRow], months: MonthRange, untouched: Container[str] = ()
) -> int:
    """Make the quarantine of `months` equal to `rows`; unchanged rows are not written and keep their state.

    Parameters
    ----------
    untouched
        Symbols that were not answered for: what is in quarantine of them stays.

    Returns
    -------
    int
        Rows written or deleted.
    """
    offered = {(r.provider, r.symbol, r.session, r.rule): r for r in rows}
    known = write.connection.execute(
        "SELECT provider, symbol, session, rule, payload FROM quarantine WHERE session >= %s AND session < %s",
        [months.first, months.end],
    ).fetchall()
    known = [row for row in known if row[1] not in untouched]
    kept = {tuple(row[:4]) for row in known if _is_same(offered.get(row[:4]), row[4])}
    for stale in known:
        if tuple(stale[:4]) not in kept:
            write.connection.execute(
                "DELETE FROM quarantine WHERE (provider, symbol, session, rule) = (%s, %s, %s, %s)", stale[:4]
            )
    new = [row for row_key, row in offered.items() if row_key not in kept]
    for row in new:
        write.connection.execute(
            "INSERT INTO quarantine (provider, symbol, session, rule, payload, materialization_id)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [
                row.provider,
                row.symbol,
                row.session,
                row.rule,
                json.dumps(row.payload),
                write.materialization_id,
            ],
        )
    return len(new) + len(known) - len(kept)


def _is_same(row: QuarantinedRow | None, payload: object) -> bool:
    return row is not None and row.payload == payload


def read_quarantine(
    connection: Connection,
    state: str | None = None,
    limit: int = 1_000,
    after: tuple[date, str, str, str] | None = None,
) -> list[HeldRow]:
    """Quarantined rows, newest session first; of one state, or of all.

    Parameters
    ----------
    after
        Session, symbol, rule and provider of the row that the first one follows; None for the first of all.
    """
    session, symbol, rule, provider = after or (None, None, None, None)
    with connection.cursor(row_factory=class_row(HeldRow)) as cursor:
        return cursor.execute(
            """
            SELECT provider, symbol, session, rule, payload, state FROM quarantine
            WHERE (%(state)s::text IS NULL OR state = %(state)s)
                AND (%(session)s::date IS NULL OR session < %(session)s
                    OR (session = %(session)s AND (symbol, rule, provider) > (%(symbol)s, %(rule)s, %(provider)s)))
            ORDER BY session DESC, symbol, rule, provider LIMIT %(limit)s
            """,
            {
                "state": state,
                "limit": limit,
                "session": session,
                "symbol": symbol,
                "rule": rule,
                "provider": provider,
            },
        ).fetchall()


def read_released(connection: Connection, provider: str, months: MonthRange) -> list[HeldRow]:
    """The rows of some months that a person has released."""
    with connection.cursor(row_factory=class_row(HeldRow)) as cursor:
        return cursor.execute(
            """
            SELECT provider, symbol, session, rule, payload, state FROM quarantine
            WHERE state = 'released' AND provider = %s AND session >= %s AND session < %s
            """,
            [provider, months.first, months.end],
        ).fetchall()


def decide(
    connection: Connection, symbol: str, session: date, decision: Decision, decided_by: str, note: str
) -> list[DecisionRow]:
    """Release or reject what is quarantined of a symbol and session, and keep the decision.

    The state changes nothing by itself: the next load of that month accepts what was released.

    Raises
    ------
    NotFoundError
        If nothing of that symbol and session is in quarantine.
    ConflictError
        If rows that contradict each other are to be released.
    """
    made = connection.execute(
        """
        WITH decided AS (
            UPDATE quarantine SET state = %(decision)s WHERE symbol = %(symbol)s AND session = %(session)s
            RETURNING provider, symbol, session, rule, payload
        )
        INSERT INTO quarantine_decision (provider, symbol, session, rule, payload, decision, decided_by, note)
        SELECT provider, symbol, session, rule, payload, %(decision)s, %(decided_by)s, %(note)s FROM decided
        RETURNING id, payload
        """,
        {"symbol": symbol, "session": session, "decision": decision, "decided_by": decided_by, "note": note},
    ).fetchall()
    if decision == "released" and any(isinstance(value, list) for _, payload in made for value in payload.values()):
        raise ConflictError(
            f"The rows of {symbol} on {session} contradict each other, so none can be released",
            "Reject them, and have the provider correct its data.",
        )
    if not made:
        raise NotFoundError(
            f"Nothing of {symbol} on {session} is in quarantine", "`fintech quarantine list` shows what is."
        )
    numbers = {number for number, _ in made}
    return [row for row in read_decisions(connection, after=min(numbers) - 1) if row.id in numbers]


def read_decisions(connection: Connection, after: int = 0) -> list[DecisionRow]:
    """Decisions with a higher number, oldest first."""
    with connection.cursor(row_factory=class_row(DecisionRow)) as cursor:
        return cursor.execute(
            """
            SELECT id, provider, symbol, session, rule, decision, decided_by, note, decided_at
            FROM quarantine_decision WHERE id > %s ORDER BY id
            """,
            [after],
        ).fetchall()


def read_unseen_decisions(connection: Connection, seen: SeenDecisions) -> tuple[list[DecisionRow], SeenDecisions]:
    """Decisions that have not been seen yet, oldest first, and what has been seen with them.

    Numbers are given out before transactions end, so a lower one may appear after a higher one.
    """
    decisions = read_decisions(connection, after=seen.settled)
    row = connection.execute("SELECT clock_timestamp() - %s", [SETTLED_AFTER]).fetchone()
    assert row is not None
    settled = max([seen.settled, *(decision.id for decision in decisions if decision.decided_at < row[0])])
    known = frozenset(decision.id for decision in decisions if decision.id > settled)
    return [decision for decision in decisions if decision.id not in seen.later], SeenDecisions(settled, known)


def count_quarantined(connection: Connection) -> int:
    """Rows in quarantine that nobody has released."""
    row = connection.execute("SELECT count(*) FROM quarantine WHERE state <> 'released'").fetchone()
    return int(row[0]) if row else 0
