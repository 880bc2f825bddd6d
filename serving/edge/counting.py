"""Requests by client in fixed windows, counted here and, where there is a Redis, together with other processes.

A window begins with a client's first request. One that moves would keep the moment of each request, and processes would
have to agree on them; of a fixed one what remains and when it ends are two numbers. Its price is known: around the end
of a window a client can send twice the amount.

Hand-written because the storages of the library `limits` ask Redis at every request (129 µs) or, in memory, sweep all
clients in a thread every 10 ms; its notation of rates is used (`serving.edge.rates`). Here Redis is waited for where an
answer depends on what other processes count: at a client's first request, and when fewer remain than `EXACT`. Of a
higher rate the requests before are counted here and told to Redis in the background; what is refused asks nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from serving.edge.rates import Rate
from serving.shared_server import TIMEOUT_SECONDS, SharedServer

if TYPE_CHECKING:
    from redis.asyncio import Redis

CLIENTS = 50_000
"""Whose requests are counted at once; of more, those whose window began first are forgotten here, not in Redis."""
EXACT = 1_000
"""The last requests of a window, or the last fifth if that is more, are counted together one by one."""
TELL_SECONDS = 0.05
"""Between two tellings: short of what a client needs to send `EXACT` requests through another process unseen."""
_BATCH = 256


@dataclass(slots=True)
class Count:
    """Requests of one client in its window.

    Parameters
    ----------
    used
        As far as this process knows.
    ends
        Of the window, in seconds of the monotonic clock.
    untold
        Of `used`, those that Redis does not know of.
    """

    used: int
    ends: float
    untold: int = 0


class Standing(NamedTuple):
    """How a client stands after a request."""

    is_within: bool
    remaining: int
    seconds: float
    """Until the window ends."""


class RequestCounts:
    """How many requests each client has sent in its window.

    Parameters
    ----------
    rate
        What each may send.
    server
        Where processes count together; while it is out, each counts by itself.
    namespace
        Begins each key there.
    """

    def __init__(self, rate: Rate, server: SharedServer | None, namespace: str) -> None:
        self._rate = rate
        self._server = server
        self._namespace = f"{namespace}{rate.amount}/{rate.seconds}:"
        self._exact_from = rate.amount - max(EXACT, rate.amount // 5)
        self._counts: OrderedDict[str, Count] = OrderedDict()
        self._untold: dict[str, Count] = {}
        self._is_telling = False

    def __len__(self) -> int:
        return len(self._counts)

    async def add(self, client: str) -> Standing:
        """Count a request; one too many is not counted."""
        now = time.monotonic()
        count = self._counts.get(client)
        if count is not None and count.ends <= now:
            self._untold.pop(client, None)
            count = None
        if count is not None and count.used >= self._rate.amount:
            return self._standing(count, now, is_within=False)
        server = self._server
        if server is None or server.is_out:
            return self._standing(self._add_here(client, count, 1, now), now)
        if count is None or count.used >= self._exact_from:
            return await self._add_there(server, client, count, now)
        count = self._add_here(client, count, 1, now)
        self._tell_later(server)
        return self._standing(count, now)

    def standing(self, client: str) -> Standing:
        """How a client stands, as far as this process knows; nothing is counted."""
        now = time.monotonic()
        count = self._current(client, now)
        if count is None:
            return Standing(True, self._rate.amount, 0.0)
        return self._standing(count, now, is_within=count.used < self._rate.amount)

    def _standing(self, count: Count, now: float, *, is_within: bool = True) -> Standing:
        return Standing(is_within, max(0, self._rate.amount - count.used), max(0.0, count.ends - now))

    def _add_here(self, client: str, count: Count | None, requests: int, now: float) -> Count:
        if count is None:
            count = self._begin(client, Count(0, now + self._rate.seconds))
        count.used += requests
        if self._server is not None:
            count.untold += requests
            self._untold[client] = count
        return count

    def _begin(self, client: str, count: Count) -> Count:
        self._counts.pop(client, None)
        self._counts[client] = count
        if len(self._counts) > CLIENTS:
            forgotten, _ = self._counts.popitem(last=False)
            self._untold.pop(forgotten, None)
        return count

    async def _add_there(self, server: SharedServer, client: str, count: Count | None, now: float) -> Standing:
        """Count a request and what is untold where all processes do; here, if that fails."""
        told = 0
        if count is not None:
            told, count.untold = count.untold, 0
            self._untold.pop(client, None)
        left = self._milliseconds(count, now)
        answers = await server.ask(lambda redis: _add(redis, [(self._namespace + client, told + 1, left)]))
        count = self._current(client, now)
        if answers is None:
            count = self._add_here(client, count, 1, now)
            count.untold += told
            return self._standing(count, now, is_within=count.used <= self._rate.amount)
        [(used, milliseconds)] = answers
        if count is None:
            count = self._begin(client, Count(0, 0.0))
        count.used = max(count.used, used + count.untold)
        count.ends = time.monotonic() + milliseconds / 1000
        # By what was counted there: requests of this process that were sent meanwhile have had numbers of their own.
        return self._standing(count, now, is_within=used <= self._rate.amount)

    def _current(self, client: str, now: float) -> Count | None:
        count = self._counts.get(client)
        return count if count is not None and count.ends > now else None

    def _milliseconds(self, count: Count | None, now: float) -> int:
        """How long the window lasts, if it begins there."""
        return max(1, int(1000 * (count.ends - now if count is not None else self._rate.seconds)))

    def _tell_later(self, server: SharedServer) -> None:
        if not self._is_telling:
            self._is_telling = server.begin(self._tell(server))

    async def _tell(self, server: SharedServer) -> None:
        try:
            while self._untold and not server.is_out:
                await self._tell_some(server)
                await asyncio.sleep(TELL_SECONDS)
        finally:
            self._is_telling = False

    async def _tell_some(self, server: SharedServer) -> None:
        now = time.monotonic()
        told = [(client, self._untold.pop(client)) for client in list(self._untold)[:_BATCH]]
        told = [(client, count) for client, count in told if count.ends > now]
        amounts = [count.untold for _, count in told]
        for _, count in told:
            count.untold = 0
        added = [
            (self._namespace + client, amount, self._milliseconds(count, now))
            for (client, count), amount in zip(told, amounts, strict=True)
        ]
        answers = await server.ask(lambda redis: _add(redis, added), 2 * TIMEOUT_SECONDS) if added else []
        if answers is None:
            for (client, count), amount in zip(told, amounts, strict=True):
                count.untold += amount
                self._untold[client] = count
            return
        for (_, count), (used, milliseconds) in zip(told, answers, strict=True):
            count.used = max(count.used, used + count.untold)
            count.ends = time.monotonic() + milliseconds / 1000


async def _add(redis: Redis, added: list[tuple[str, int, int]]) -> list[tuple[int, int]]:
    """Add to counts that begin with their window; how many there are, and milliseconds until the window ends."""
    async with redis.pipeline(transaction=True) as commands:
        for key, requests, milliseconds in added:
            commands.set(key, 0, px=milliseconds, nx=True)
            commands.incrby(key, requests)
            commands.pttl(key)
        answers = await commands.execute()
    return list(zip(answers[1::3], answers[2::3], strict=True))
