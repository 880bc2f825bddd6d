"""Rows that a data-quality rule refused, exactly as they were parsed: nothing is dropped."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import Date, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from pipeline.base.types import MonthRange
from pipeline.store.schema import METADATA, column, key, writer
from pipeline.store.writing import Write

QUARANTINE = Table(
    "quarantine",
    METADATA,
    key("provider", Text(), "Provider of the row."),
    key("symbol", Text(), "Symbol as the provider names it."),
    key("session", Date(), "Date of the row."),
    key("rule", Text(), "Rule that refused it."),
    column("payload", JSONB(), "The row as it was parsed.", nullable=False),
    writer(),
    comment="Price rows that a rule refused, kept as parsed.",
)


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A refused row and the rule that refused it; a field that came with several values holds all of them."""

    provider: str
    symbol: str
    session: date
    rule: str
    payload: dict[str, float | str | list[float | str] | None]


def replace_quarantine(write: Write, rows: Iterable[QuarantinedRow], months: MonthRange) -> int:
    """Make the quarantine of `months` equal to `rows`; unchanged rows are not written.

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


def count_quarantined(connection: Connection) -> int:
    """Rows in quarantine."""
    row = connection.execute("SELECT count(*) FROM quarantine").fetchone()
    return int(row[0]) if row else 0
