"""What is not kept for ever in the application's database, and how long it is.

Results and what they were made of stay. Most of what goes is also removed by those who write it, some at a time; here
it goes although nobody writes any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from psycopg import Connection, sql

from pipeline.store import audit, idempotency, raw_payloads, refresh_tokens, simulation_jobs
from pipeline.store.audit import Actor
from pipeline.store.data_version import RECENT
from pipeline.store.engine import Database

BATCH_ROWS = 10_000
"""Of one transaction, so that nobody waits long for a row or for the log."""
LOCK_PATIENCE = "3s"


@dataclass(frozen=True, slots=True)
class Retention:
    """Rows of a table that go.

    Parameters
    ----------
    name
        Of what goes.
    table
        Where; what refers to it goes with it.
    gone
        Condition on a row that goes.
    kept
        How long it is kept, ``%(kept)s`` in the condition; None if that is not a time.
    closed_by
        Trigger that refuses to delete; it is off for the transaction, which only the tables' owner can do.
    """

    name: str
    table: str
    gone: str
    kept: timedelta | None
    closed_by: str | None = None


AUDIT = "audit entries"


def retentions(audit_days: int | None) -> tuple[Retention, ...]:
    """What goes.

    Parameters
    ----------
    audit_days
        How long entries of the audit log are kept; None for ever.
    """
    always = (
        Retention("vendors' answers", "raw_payload", "last_seen_at < clock_timestamp() - %(kept)s", raw_payloads.KEPT),
        Retention("simulations", "simulation_job", "finished_at < clock_timestamp() - %(kept)s", simulation_jobs.KEPT),
        Retention(
            "answers to requests with a key",
            "idempotent_request",
            "created_at < clock_timestamp() - %(kept)s",
            idempotency.KEPT,
        ),
        Retention(
            "tokens of logins",
            "refresh_token",
            "expires_at < clock_timestamp() - %(kept)s",
            refresh_tokens.KEPT_AFTER_EXPIRY,
        ),
        Retention(
            "numbers of changes",
            "data_change",
            f"id <= (SELECT max(id) FROM data_change) - {10 * RECENT}",
            None,
        ),
    )
    if audit_days is None:
        return always
    old = "at < clock_timestamp() - %(kept)s"
    return (*always, Retention(AUDIT, "audit_entry", old, timedelta(days=audit_days), "refuse_audit_change"))


def count_gone(database: Database, rules: Sequence[Retention]) -> dict[str, int]:
    """How many rows would go, by name of the rule."""
    with database.connect() as connection:
        return {rule.name: _count(connection, rule) for rule in rules}


def prune(database: Database, rules: Sequence[Retention], actor: Actor) -> dict[str, int]:
    """Delete what goes, a batch a transaction.

    Returns
    -------
    dict
        Name of the rule → rows.

    Raises
    ------
    psycopg.errors.LockNotAvailable
        If writers keep the audit log to themselves for `LOCK_PATIENCE`; what went before is gone.
    """
    return {rule.name: _prune(database, rule, actor) for rule in rules}


def _count(connection: Connection, rule: Retention) -> int:
    query = sql.SQL("SELECT count(*) FROM {table} WHERE {gone}").format(**_parts(rule))
    row = connection.execute(query, {"kept": rule.kept}).fetchone()
    return int(row[0]) if row else 0


def _prune(database: Database, rule: Retention, actor: Actor) -> int:
    total, count = 0, BATCH_ROWS
    while count == BATCH_ROWS:
        with database.connect() as connection:
            count = _prune_batch(connection, rule)
            if count and rule.name == AUDIT:
                audit.record(connection, actor, "audit.prune", "audit", {"entries": count, "kept": str(rule.kept)})
        total += count
    return total


def _prune_batch(connection: Connection, rule: Retention) -> int:
    parts = _parts(rule)
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_PATIENCE)))
    query = sql.SQL(
        "DELETE FROM {table} WHERE ctid = ANY(ARRAY("
        "SELECT ctid FROM {table} WHERE {gone} LIMIT {batch} FOR UPDATE SKIP LOCKED))"
    )
    if rule.closed_by is None:
        return connection.execute(query.format(**parts), {"kept": rule.kept}).rowcount
    if not _count(connection, rule):  # nobody has to wait for nothing
        return 0
    trigger = sql.Identifier(rule.closed_by)
    connection.execute(sql.SQL("ALTER TABLE {table} DISABLE TRIGGER {}").format(trigger, **parts))
    count = connection.execute(query.format(**parts), {"kept": rule.kept}).rowcount
    connection.execute(sql.SQL("ALTER TABLE {table} ENABLE TRIGGER {}").format(trigger, **parts))
    return count


def _parts(rule: Retention) -> dict[str, sql.Composable]:
    return {
        "table": sql.Identifier(rule.table),
        "gone": sql.SQL(rule.gone),  # words of this module
        "batch": sql.Literal(BATCH_ROWS),
    }
