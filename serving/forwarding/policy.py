"""How patient the gateway is with a service."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """How long to wait and how often to try.

    Parameters
    ----------
    total_seconds
        Of one request with all its tries, until the last byte.
    connect_seconds
        To connect, and to wait for a connection of the pool.
    tries
        Of a request that may be sent twice: one that changes nothing, or a POST with an ``Idempotency-Key``.
    backoff_seconds
        Longest pause before the second try; it doubles with each. The pause is drawn between 0 and that (full jitter:
        Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015).
    open_seconds
        How long an open circuit waits before it asks the service's ``/health``.
    probe_seconds
        How long it waits for the answer.
    connections
        To one service at once, so that one which hangs takes nothing from the others.
    idle_seconds
        After which a connection is not used again; shorter than `serving.server.KEEP_ALIVE_SECONDS`, or a request
        would now and then be sent into one that is being closed.
    """

    total_seconds: float = 30.0
    connect_seconds: float = 1.0
    tries: int = 3
    backoff_seconds: float = 0.05
    open_seconds: float = 1.0
    probe_seconds: float = 1.0
    connections: int = 100
    idle_seconds: float = 2.0
