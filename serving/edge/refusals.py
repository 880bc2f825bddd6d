"""Bounds how often a client is refused, and how many keys it can guess.

A refused key is counted apart from requests: a program whose key was revoked keeps nobody behind its address from
logging in, and many requests without a login keep no key from being looked up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.auth.checking import TooManyGuessesError, UnknownCallerError
from serving.edge.clients import client_of
from serving.edge.rate_limit import RateLimit, counted_as

_GUESSED = "fintech.guessed"
"""Key of the scope that is there if a key was looked up and not found."""


class Refusals:
    """Counts every refusal, and has no more keys looked up for an address than the rate lets it guess.

    Keys that were accepted a moment ago and tokens that were signed here are no guesses, so a guesser does not shut out
    who shares its address and has logged in. Look-ups under way count until they end, so guesses sent at once are no
    more than those sent one after the other. Another process learns of a spent count by the first key it refuses.

    Parameters
    ----------
    limit
        The amount and the window, as of requests.
    """

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._under_way: Counter[str] = Counter()

    def counted(self, answer: ASGIApp) -> ASGIApp:
        """A refusal that counts for its client, or 429 if there were too many."""

        async def answer_or_refuse(scope: Scope, receive: Receive, send: Send) -> None:
            if self._limit.is_service(scope):
                await answer(scope, receive, send)
                return
            client = _guesser(scope) if _GUESSED in scope else counted_as(scope)
            await self._limit.pass_on(client, answer, scope, receive, send)

        return answer_or_refuse

    @contextmanager
    def guess(self, scope: Scope) -> Iterator[None]:
        """Around the look for a key.

        Raises
        ------
        TooManyGuessesError
            If the client has no guess left.
        """
        client = _guesser(scope)
        standing = self._limit.counts.standing(client)
        if standing.remaining <= self._under_way[client]:
            raise TooManyGuessesError(partial(self._limit.refuse, standing))
        self._under_way[client] += 1
        try:
            yield
        except UnknownCallerError:
            scope[_GUESSED] = True
            raise
        finally:
            self._under_way[client] -= 1
            if not self._under_way[client]:
                del self._under_way[client]


def _guesser(scope: Scope) -> str:
    return f"guesses:{client_of(scope)}"
