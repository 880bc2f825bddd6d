"""What makes two requests the same."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import parse_qsl

from starlette.types import Scope

CALLER = "fintech.caller"
"""Key of the scope under which whoever checks a login in front of the cache leaves who asks, as text."""

AUDIENCE = "fintech.audience"
"""Key of the scope for what all callers have in common who are given the same answer; without it the caller counts."""

_CREDENTIALS = frozenset({b"authorization", b"cookie", b"x-api-key", b"x-service-token"})

Pairs = tuple[tuple[str, str], ...]


class Key(NamedTuple):
    """A request for a representation, at a version of the data.

    Parameters
    ----------
    path
        Decoded path, as routes see it.
    query
        Parameters by name; several of one name in the order given.
    accept
        The header, which may choose the form of the answer.
    caller
        Who asks: each sees their own.
    version
        Of the data.
    """

    path: str
    query: Pairs
    accept: bytes
    caller: bytes
    version: str

    def digest(self) -> str:
        """The key as a short text, for a cache outside of this process."""
        return blake2b(repr(tuple(self)).encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def key_of(scope: Scope, version: str) -> Key:
    """The key of a request."""
    accept = b""
    credentials = []
    for name, value in scope["headers"]:
        if name == b"accept":
            accept = accept + b"," + value if accept else value
        elif name in _CREDENTIALS:
            credentials.append((name, value))
    caller = scope.get(AUDIENCE, scope.get(CALLER))
    return Key(
        scope["path"],
        canonical_query(scope["query_string"]),
        accept,
        _digest(caller) if caller is not None else _digest(credentials) if credentials else b"",
        version,
    )


def _digest(caller: object) -> bytes:
    """No credential is kept as such, in memory or elsewhere."""
    return blake2b(repr(caller).encode("utf-8", "surrogatepass"), digest_size=16).digest()


@lru_cache(4096)
def canonical_query(query: bytes) -> Pairs:
    """Parameters decoded as routes decode them, and sorted by name.

    The order of values of one name stays: a list has it, and of a single value the last one counts.
    """
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return tuple(sorted(pairs, key=lambda pair: pair[0]))
