"""Delivering alerts to the receiver that ``FINTECH_ALERT_WEBHOOK_URL`` names.

Each alert is posted at least once and, unless a process ends between the receiver's answer and the note of it,
exactly once. A repeated post carries the same ``Idempotency-Key`` (PagerDuty: the same ``dedup_key``), by which the
receiver can drop it; the other order, noting first, could lose an alert without a word. A row lock keeps two processes
from posting the same alert.

Written on `http.client`, because the locations' images have no HTTP library in common: the protocol needed is one POST
without redirects, cookies or proxies (RFC 9110).
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, urlsplit

from psycopg import Connection

from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import env_name
from pipeline.orchestration.alerts_formats import Alert, Form, Sender, bodies
from pipeline.store.engine import Database

WORTH_RETRYING = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_ERROR = 500
LOCAL = Sender("local")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a receiver is waited for in one tick; the next tick tries again.

    Parameters
    ----------
    attempts
        Posts of an alert.
    first_wait_seconds
        After the first failure; doubled after each further one.
    timeout_seconds
        For connecting, and for each part of the answer.
    """

    attempts: int = 3
    first_wait_seconds: float = 0.5
    timeout_seconds: float = 5.0


class DeliveryError(Exception):
    """The receiver did not take an alert.

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
    """Where alerts are posted.

    Parameters
    ----------
    url
        ``http`` or ``https``; kept out of every message.
    form
        What it understands.
    sender
        Whom it is told as.
    """

    url: str
    form: Form = "json"
    sender: Sender = LOCAL

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
        if self.form == "pagerduty" and not self.sender.routing_key:
            raise ConfigurationError(
                f"{env_name('alert_format')}=pagerduty needs {env_name('alert_routing_key')}, which is not set",
                "Set it to the integration key of an 'Events API v2' integration.",
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
class Outbox:
    """Alerts that wait in a table.

    Parameters
    ----------
    claim
        (connection, keys to leave out) → (key of the row, alert) of the oldest that nobody has delivered or is
        delivering, its row locked; None if there is none.
    mark_delivered
        (connection, key, attempts) notes that the receiver took it.
    mark_undelivered
        (connection, key, attempts, error) notes why it did not.
    """

    claim: Callable[[Connection, Collection[str]], tuple[str, Alert] | None]
    mark_delivered: Callable[[Connection, str, int], None]
    mark_undelivered: Callable[[Connection, str, int, str], None]


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a round of deliveries did."""

    delivered: int
    failures: tuple[str, ...]


def deliver(database: Database, outbox: Outbox, receiver: Receiver, policy: RetryPolicy | None = None) -> Delivered:
    """Post every alert that is not delivered, oldest first, each in a transaction that holds its row.

    The round ends with the first alert for which the receiver cannot be reached. One that it refuses is passed over.
    """
    refused: list[str] = []
    failures: list[str] = []
    delivered = 0
    while True:
        with database.connect() as connection:
            claimed = outbox.claim(connection, refused)
            if claimed is None:
                break
            key, alert = claimed
            attempts, error = _posted(receiver, alert, policy or RetryPolicy())
            if error is None:
                outbox.mark_delivered(connection, key, attempts)
                delivered += 1
                continue
            outbox.mark_undelivered(connection, key, attempts, str(error)[:LONGEST_ERROR])
        refused.append(key)
        failures.append(f"{key}: {error}")
        if error.may_pass:
            break
    return Delivered(delivered, tuple(failures))


def _posted(
    receiver: Receiver, alert: Alert, policy: RetryPolicy, sleep: Callable[[float], None] = time.sleep
) -> tuple[int, DeliveryError | None]:
    """Attempts that were made, and what the last one failed with."""
    waiting = list(_numbered(receiver, alert))
    for attempt in range(1, policy.attempts + 1):
        try:
            while waiting:  # what was taken is not posted again in this round
                receiver.post(waiting[0][1], waiting[0][0], policy.timeout_seconds)
                del waiting[0]
        except DeliveryError as error:
            if not error.may_pass or attempt == policy.attempts:
                return attempt, error
            sleep(policy.first_wait_seconds * 2.0 ** (attempt - 1))
        else:
            return attempt, None
    raise AssertionError("every attempt returns or waits")


def _numbered(receiver: Receiver, alert: Alert) -> list[tuple[str, dict[str, Any]]]:
    """(idempotency key, document) of each post of an alert."""
    documents = bodies(receiver.form, alert, receiver.sender)
    return [(alert.key if n == 0 else f"{alert.key}#{n + 1}", document) for n, document in enumerate(documents)]


def _connection(parts: SplitResult, timeout_seconds: float) -> HTTPConnection:
    assert parts.hostname is not None
    if parts.scheme == "http":
        return HTTPConnection(parts.hostname, parts.port, timeout=timeout_seconds)
    return HTTPSConnection(parts.hostname, parts.port, timeout=timeout_seconds, context=ssl.create_default_context())
