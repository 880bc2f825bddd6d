"""Events of limits as alerts, each told at least once and with a key: see `pipeline.orchestration.alerts_sending`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from psycopg import Connection

from pipeline.orchestration.alerts_formats import Alert, Severity
from pipeline.orchestration.alerts_sending import Delivered, Outbox, Receiver, RetryPolicy, deliver
from pipeline.store import limits
from pipeline.store.engine import Database
from pipeline.store.limits import StoredEvent
from pipeline.store.portfolios import Portfolio, read_portfolio

SEVERITIES: dict[str, Severity] = {"WARN": "warning", "BREACH": "error", "CLEAR": "info"}


def deliver_events(database: Database, receiver: Receiver, policy: RetryPolicy | None = None) -> Delivered:
    """Post every event of a limit that is not delivered, oldest first."""
    return deliver(database, Outbox(_claim, limits.mark_delivered, limits.mark_undelivered), receiver, policy)


def _claim(connection: Connection, tried: Collection[str]) -> tuple[str, Alert] | None:
    event = limits.claim_undelivered(connection, tried)
    return None if event is None else (event.key, alert_of(event, read_portfolio(connection, str(event.portfolio_id))))


def alert_of(event: StoredEvent, portfolio: Portfolio) -> Alert:
    """The alert of an event.

    A level that an episode reaches opens an incident of its own: a receiver that merges messages of one incident would
    not wake anybody for the breach after the warning. The breach takes the warning's place, and the end closes both.
    """
    episode = event.key.removesuffix(f":{event.kind}")
    warning, breach = f"{episode}:WARN", f"{episode}:BREACH"
    opens, closes = {
        "WARN": (warning, ()),
        "BREACH": (breach, (warning,)),
        "CLEAR": (None, (breach, warning)),
    }[event.kind]
    return Alert(
        key=event.key,
        text=_text(event, portfolio),
        severity=SEVERITIES[event.kind],
        component=f"portfolio {portfolio.slug or portfolio.id}",
        occurred_at=event.recorded_at,
        detail=_detail(event, portfolio),
        opens=opens,
        closes=closes,
    )


def _detail(event: StoredEvent, portfolio: Portfolio) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "portfolio": {"id": portfolio.id, "slug": portfolio.slug, "name": portfolio.name},
        "measure": event.measure,
        "direction": event.direction,
        "session": event.session.isoformat(),
        "opened": event.opened.isoformat(),
        "value": event.value,
        "warn": event.warn,
        "breach": event.breach,
    }


def _text(event: StoredEvent, portfolio: Portfolio) -> str:
    stands = "its limit was taken away" if event.value is None else f"{event.measure} is {event.value:.6g}"
    bound = event.breach if event.kind == "BREACH" else event.warn
    limit = "" if bound is None else f" (limit {bound:.6g}, {event.direction} is not allowed)"
    return f"{event.kind}: {portfolio.name}, {event.session}: {stands}{limit}"
