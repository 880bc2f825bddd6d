"""A JSON line a request, written by a thread of its own: the event loop only appends to a list."""

from __future__ import annotations

import sys
import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any, BinaryIO

import orjson

from serving.observability.exchanges import Exchange

WRITE_SECONDS = 0.2
"""Between two writes: the longest that a line waits."""
MOST_LINES = 50_000
"""That wait; of more, which only a disk that hangs could cause, the oldest go."""


class AccessLog:
    """Lines of requests, oldest first.

    Parameters
    ----------
    service
        Named in every line, as the five services may share one output.
    output
        Where lines go; standard output if None.
    """

    def __init__(self, service: str, output: BinaryIO | None = None) -> None:
        self._service = service
        self._output = output or sys.stdout.buffer
        self._waiting: deque[Exchange] = deque(maxlen=MOST_LINES)
        self._is_closed = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self, exchange: Exchange) -> None:
        """Take a request."""
        self._waiting.append(exchange)

    def open(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._write_often, name="access-log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what waits, and end."""
        self._is_closed.set()
        if self._thread is not None:
            self._thread.join(5)

    def _write_often(self) -> None:
        log = _logger(self._service)
        while not self._is_closed.wait(WRITE_SECONDS):
            self._write(log)
        self._write(log)

    def _write(self, log: Any) -> None:
        lines = []
        while self._waiting:
            exchange = self._waiting.popleft()
            lines.append(
                log.info(
                    "request",
                    timestamp=datetime.fromtimestamp(exchange.ended_at, UTC),
                    method=exchange.method,
                    route=exchange.route,
                    status=exchange.status,
                    duration_ms=round(exchange.seconds * 1000, 3),
                    bytes=exchange.sent_bytes,
                    request_id=exchange.request_id,
                )
            )
        if lines:
            try:
                self._output.write(b"\n".join(lines) + b"\n")
                self._output.flush()
            except (OSError, ValueError):  # nobody reads the output any more; requests are answered all the same
                self._waiting.clear()


def _logger(service: str) -> Any:
    """A structlog logger whose calls give the line, so that many are written at once."""
    import structlog  # noqa: PLC0415 - not needed where no line is written

    return structlog.wrap_logger(
        structlog.ReturnLogger(),
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer(orjson.dumps)],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        cache_logger_on_first_use=True,
    ).bind(service=service)
