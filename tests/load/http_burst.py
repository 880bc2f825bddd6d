"""Ask in lock-step: ``python -m tests.load.http_burst PORT PATH USERS PER_SECOND SECONDS [TOKEN]`` prints JSON.

All users ask at the same moments, the worst that so many can do at that rate. A latency is counted from the moment at
which a request was due, not from that at which it could be sent, so a server that falls behind is seen to (Tene's
"coordinated omission").
"""

from __future__ import annotations

import json
import selectors
import sys
import time
from collections import Counter

from tests.load.http_load import Answering, requests_of


class User(Answering):
    """A connection that asks at given moments."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.due: list[float] = []
        """Moments of the requests that are not answered yet, the oldest first; only that one is sent."""


def burst(port: int, path: str, users: int, per_second: float, seconds: float, token: str = "") -> dict[str, object]:
    """Latencies in milliseconds, answers by status, and requests that were never answered."""
    requests, statuses = requests_of([path], token), Counter[str]()
    latencies: list[float] = []
    lost = 0
    with selectors.EpollSelector() as selector:
        crowd = [User(port) for _ in range(users)]
        for user in crowd:
            selector.register(user.socket, selectors.EVENT_READ, user)
        period = users / per_second
        begin = time.perf_counter() + 0.1
        rounds, begun = max(1, round(seconds / period)), 0
        end = begin + rounds * period + 5.0
        while (now := time.perf_counter()) < end and (begun < rounds or any(user.due for user in crowd)):
            if begun < rounds and now >= begin + begun * period:
                for user in crowd:
                    user.due.append(begin + begun * period)
                    if len(user.due) == 1:
                        user.socket.sendall(next(requests))
                begun += 1
            wait = begin + begun * period - now if begun < rounds else end - now
            for key, _ in selector.select(max(0.0, wait)):
                user = key.data
                status = user.take()
                if status is not None:
                    statuses[status] += 1
                    latencies.append(1_000 * (time.perf_counter() - user.due.pop(0)))
                    if user.due:
                        user.socket.sendall(next(requests))
        lost = sum(len(user.due) for user in crowd)
        for user in crowd:
            user.socket.close()
    ordered = sorted(latencies)
    found = {f"p{share}_ms": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 95, 99)}
    return {**found, "statuses": statuses, "lost": lost}


if __name__ == "__main__":
    _, port, path, users, per_second, seconds, *token = sys.argv
    print(json.dumps(burst(int(port), path, int(users), float(per_second), float(seconds), *token)))
