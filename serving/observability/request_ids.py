"""A name for each request, which its answer, its log lines and its problem documents carry."""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from itertools import count

HEADER = b"x-request-id"
_SANE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")

_PROCESS = os.urandom(8).hex()
"""No secret, and asked for once: the system takes as long for random bytes as the rest of a head (measured)."""
_NUMBERS = count()

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is answered, also in the threads that answer it."""


def request_id_of(given: bytes | None) -> str:
    """The caller's own id, if it can be written into a header and a log as it is; else a new one."""
    if given is not None and _SANE.fullmatch(given):
        return given.decode("ascii")
    return f"{_PROCESS}{next(_NUMBERS):016x}"
