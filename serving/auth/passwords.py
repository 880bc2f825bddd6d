"""Passwords: argon2id by pwdlib, with the second profile that RFC 9106 recommends (64 MiB, three passes)."""

from __future__ import annotations

import threading
from functools import lru_cache

from pwdlib import PasswordHash
from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher

from pipeline.base.errors import InvalidInputError
from pipeline.store.users import normalised
from serving.cores import all_cores

SHORTEST, LONGEST = 12, 128
HASHES_AT_ONCE = 2
"""Each takes 64 MiB and some 50 ms of every core."""

_turns = threading.BoundedSemaphore(HASHES_AT_ONCE)


def hashed(password: str, email: str) -> str:
    """The hash to store; errors as in `require_acceptable`."""
    require_acceptable(password, email)
    with _turns, all_cores():
        return _hasher().hash(password.encode("utf-8", "surrogatepass"))


def require_acceptable(password: str, email: str) -> None:
    """Refuse a password that nobody should choose.

    Raises
    ------
    InvalidInputError
        If it is too short or too long, or the address itself.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInputError(
            f"password: has {len(password)} characters", f"Choose {SHORTEST} to {LONGEST}; several words are good."
        )
    if normalised(password) == normalised(email):
        raise InvalidInputError("password: is the address of the user", "Choose another one.")


def is_right(password: str, known: str | None) -> bool:
    """Whether a password has a hash; without one it takes the same time, so that nobody learns who has an account."""
    given = password[: LONGEST + 1].encode("utf-8", "surrogatepass")
    with _turns, all_cores():
        try:
            matches = _hasher().verify(given, known if known is not None else _nobodys())
        except PwdlibError:
            return False
    return matches and known is not None and len(password) <= LONGEST


@lru_cache(1)
def _hasher() -> PasswordHash:
    return PasswordHash((Argon2Hasher(time_cost=3, memory_cost=64 * 1024, parallelism=4),))


@lru_cache(1)
def _nobodys() -> str:
    return _hasher().hash("the password of nobody")
