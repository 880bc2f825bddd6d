"""Delivering events of limits to the receiver that ``FINTECH_ALERT_WEBHOOK_URL`` names.

Each event is posted at least once and, unless a process ends between the receiver's answer and the note of it,
exactly once. A repeated post carries the same ``Idempotency-Key``, by which the receiver can drop it; the other order,
noting first, could lose an alert without a word. A row lock keeps two processes from posting the same event.

Written on `http.client`, because the location's image has no HTTP library: the protocol needed is one POST without
redirects, cookies or proxies (RFC 9110).
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import env_name
from pipeline.store import limits
from pipeline.store.engine import Database
from pipeline.store.limits import StoredEvent
from pipeline.store.portfolios import Portfolio, read_portfolio

WORTH_RETRYING = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a receiver is waited for in one tick; the next tick tries again.

    Parameters
    ----------
    attempts
        Posts of an event.
    first_wait_seconds
        After the first failure; doubled after each further one.
    timeout_seconds
        For connecting, and for each part of the answer.
    """

    attempts: int = 3
    first_wait_seconds: float = 0.5
    timeout_seconds: float = 5.0


class DeliveryError(Exception):
    """The receiver did not take an event.

    Parameters
    ----------
    cause
        What happened, without the address, which may hold a secret.
    may_pass
        Whether the receiver may take it later: it did not answer, or said so.
    """

    def __init__(self, cause: str, *, may_pass: bool) -> None:
        super().__init__(cause)
        self.may_pass = may_pass


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where events are posted.

    Parameters
    ----------
    url
        ``http`` or ``https``; kept out of every message.
    """

    url: str

    def __post_init__(self) -> None:
        try:
            usable = self._parts.scheme in ("http", "https") and bool(self._parts.hostname)
            _ = self._parts.port
        except ValueError:
            usable = False
        if not usable or not self.url.isascii() or any(character <= " " for character in self.url):
            raise ConfigurationError(
                f"{env_name('alert_webhook_url')} is no http or https address",
                "Write it as https://host/path, special characters percent-encoded.",
            )

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url)

    def post(self, body: dict[str, Any], idempotency_key: str, timeout_seconds: float) -> None:
        """Post a JSON document once.

        Raises
        ------
        DeliveryError
            Unless the receiver answers with a status from 200 to 299.
        """
        parts = self._parts
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        connection = _connection(parts, timeout_seconds)
        try:
            connection.request("POST", target, json.dumps(body, allow_nan=False).encode(), headers)
            status = connection.getresponse().status
        except (OSError, HTTPException) as error:
            raise DeliveryError(f"no answer ({type(error).__name__}: {error})", may_pass=True) from error
        finally:
            connection.close()
        if not 200 <= status <= 299:
            raise DeliveryError(f"the receiver answered {status}", may_pass=status in WORTH_RETRYING)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a round of deliveries did."""

    delivered: int
    failures: tuple[str, ...]


def deliver_events(database: Database, receiver: Receiver, policy: RetryPolicy | None = None) -> Delivered:
    """Post every event that is not delivered, oldest first, each in a transaction that holds its row.

    The round ends with the first event for which the receiver cannot be reached. One that it refuses is passed over.
    """
    tried: list[str] = []
    failures: list[str] = []
    while True:
        with database.connect() as connection:
            event = limits.claim_undelivered(connection, tried)
            if event is None:
                break
            tried.append(event.key)
            portfolio = read_portfolio(connection, str(event.portfolio_id))
            attempts, error = _posted(receiver, message(event, portfolio), event.key, policy or RetryPolicy())
            if error is None:
                limits.mark_delivered(connection, event.key, attempts)
                continue
            limits.mark_undelivered(connection, event.key, attempts, str(error)[:LONGEST_ERROR])
        failures.append(f"{event.key}: {error}")
        if error.may_pass:
            break
    return Delivered(len(tried) - len(failures), tuple(failures))


def message(event: StoredEvent, portfolio: Portfolio) -> dict[str, Any]:
    """The document that is posted: `text` for people, the rest for programs."""
    return {
        "key": event.key,
        "kind": event.kind,
        "text": _text(event, portfolio),
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


def _posted(
    receiver: Receiver,
    body: dict[str, Any],
    key: str,
    policy: RetryPolicy,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[int, DeliveryError | None]:
    """Attempts that were made, and what the last one failed with."""
    for attempt in range(1, policy.attempts + 1):
        try:
            receiver.post(body, key, policy.timeout_seconds)
        except DeliveryError as error:
            if not error.may_pass or attempt == policy.attempts:
                return attempt, error
            sleep(policy.first_wait_seconds * 2.0 ** (attempt - 1))
        else:
            return attempt, None
    raise AssertionError("every attempt returns or waits")


def _connection(parts: SplitResult, timeout_seconds: float) -> HTTPConnection:
    assert parts.hostname is not None
    if parts.scheme == "http":
        return HTTPConnection(parts.hostname, parts.port, timeout=timeout_seconds)
    return HTTPSConnection(parts.hostname, parts.port, timeout=timeout_seconds, context=ssl.create_default_context())
