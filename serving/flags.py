"""What the flags are (`pipeline.base.flags`), read by a thread often enough and never in the way of a request."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

import psycopg

from pipeline.base.errors import PlatformError
from pipeline.base.flags import DEFAULTS, Flag
from pipeline.store.bounded import BoundedConnection
from pipeline.store.engine import libpq_url
from pipeline.store.feature_flags import read_flags

logger = logging.getLogger("serving")

REFRESH_SECONDS = 5.0
"""Between two readings: the longest that a change is not known."""
CONNECT_TIMEOUT_SECONDS = 2


class Flags:
    """The flags of one service. Until the first reading they are their defaults; while Postgres is away, the last ones.

    Parameters
    ----------
    url
        Address of the application database.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._known: Mapping[Flag, bool] = DEFAULTS
        self.mark = ""
        """Differs whenever a flag does: a part of the key of answers that are kept."""
        self._is_closed = threading.Event()
        self._is_failing = False

    def is_on(self, flag: Flag) -> bool:
        """What a flag was at the last reading."""
        return self._known[flag]

    def open(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._read_often, name="flags", daemon=True).start()

    def close(self) -> None:
        """End the thread as soon as it is not waiting for the server."""
        self._is_closed.set()

    def _read_often(self) -> None:
        while not self._is_closed.is_set():
            self._read()
            self._is_closed.wait(REFRESH_SECONDS)

    def _read(self) -> None:
        # A connection for each reading: one that is kept would take a place of the few that the server has.
        try:
            with BoundedConnection.connect(
                libpq_url(self._url),
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                application_name="fintech-serving-flags",
            ) as connection:
                self._tell(read_flags(connection))
        except (psycopg.Error, PlatformError) as error:
            if not self._is_failing:  # once an outage
                logger.warning("Flags cannot be read, the last ones count: %s", type(error).__name__)
            self._is_failing = True
        else:
            self._is_failing = False

    def _tell(self, flags: Mapping[Flag, bool]) -> None:
        changed = [f"{flag}={'on' if is_on else 'off'}" for flag, is_on in flags.items() if is_on != self._known[flag]]
        if changed:
            logger.warning("Flags have changed: %s", ", ".join(changed))
        self._known = flags
        self.mark = "".join(f" {flag}" for flag, is_on in flags.items() if is_on != DEFAULTS[flag])
