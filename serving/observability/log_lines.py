"""What is logged besides requests, as JSON lines of the same form as the access log's."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

from serving.observability.request_ids import REQUEST_ID

LOGGERS = ("serving", "pipeline")
"""uvicorn says by itself, in words, that it starts and ends."""


class JsonLines(logging.Formatter):
    """A record as one line of JSON: ``timestamp``, ``level``, ``event``, ``service``, ``request_id``, ``traceback``.

    Parameters
    ----------
    service
        Named in every line.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        told = {
            "service": self._service,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            "request_id": REQUEST_ID.get(),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps({name: value for name, value in told.items() if value is not None})


def write_json_lines(services: Sequence[str], output: TextIO | None = None) -> None:
    """Have the platform's own loggers write JSON lines, to the standard error by default; once a process.

    Parameters
    ----------
    services
        Names of those that the process serves.
    """
    handler = logging.StreamHandler(output or sys.stderr)
    handler.setFormatter(JsonLines(",".join(services)))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
