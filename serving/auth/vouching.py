"""What a gateway tells a service of the caller it asks for."""

from __future__ import annotations

import time

from starlette.types import Scope

from serving.auth.tokens import VOUCHED_LIFETIME, Tokens
from serving.callers import IDENTITY, Caller

REUSED_SECONDS = VOUCHED_LIFETIME.total_seconds() / 2
MOST_CALLERS = 1_000


class Vouching:
    """Makes tokens of callers, each used for half of its life.

    Parameters
    ----------
    tokens
        None vouches for nobody, where no login is asked.
    """

    def __init__(self, tokens: Tokens | None) -> None:
        self._tokens = tokens
        self._made: dict[Caller, tuple[str, float]] = {}

    def __call__(self, scope: Scope) -> str | None:
        """The token of who asks."""
        caller: Caller | None = scope.get(IDENTITY)
        if self._tokens is None or caller is None:
            return None
        made = self._made.get(caller)
        if made is None or time.monotonic() >= made[1]:
            if len(self._made) >= MOST_CALLERS:
                self._made.clear()
            made = self._made[caller] = (self._tokens.vouching_for(caller), time.monotonic() + REUSED_SECONDS)
        return made[0]
