"""Credentials that were checked a moment ago: who is asked about once is not asked about at each request.

How long an entry lasts bounds how long a revoked key, an ended login or a disabled user still gets answers.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from hashlib import blake2b

from serving.callers import Caller

MEMO_SECONDS = 30.0
MOST_ENTRIES = 10_000


class Memo:
    """Callers by their credentials, of which only a keyed digest is kept.

    Parameters
    ----------
    seconds
        Longest life of an entry.
    most_entries
        Of more, those not asked for longest go.
    """

    def __init__(self, seconds: float = MEMO_SECONDS, most_entries: int = MOST_ENTRIES) -> None:
        self._seconds = seconds
        self._most_entries = most_entries
        self._key = os.urandom(32)
        self._entries: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def digest(self, kind: str, *values: bytes) -> bytes:
        """The key of credentials."""
        return blake2b(b"\0".join((kind.encode(), *values)), key=self._key, digest_size=16).digest()

    def get(self, digest: bytes) -> Caller | None:
        """The caller, if it was checked a moment ago."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        if time.monotonic() >= entry[1]:
            del self._entries[digest]
            return None
        self._entries.move_to_end(digest)
        return entry[0]

    def put(self, digest: bytes, caller: Caller, expires_at: float | None = None) -> None:
        """Keep a caller, no longer than its credentials last (seconds since 1970)."""
        seconds = self._seconds if expires_at is None else min(self._seconds, expires_at - time.time())
        self._entries[digest] = (caller, time.monotonic() + seconds)
        self._entries.move_to_end(digest)
        if len(self._entries) > self._most_entries:
            self._entries.popitem(last=False)
