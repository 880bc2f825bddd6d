"""Ask a server as fast as it answers: ``python -m tests.load.http_load PORT PATH[,PATH] CONNECTIONS SECONDS [TOKEN]``.

Prints JSON. Hand-written, because an HTTP client in Python takes longer over a request than the server over its answer.
One request at a time on each connection; about 15 µs a request, in a process of its own. Several paths take turns, and
``{n}`` in one becomes another number each time.
"""

from __future__ import annotations

import itertools
import json
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

NUMBERS = 5_000
"""How many different requests ``{n}`` makes of a path."""
_PIECE = memoryview(bytearray(262_144))
"""Of any answer: a body is counted and not kept, whose megabyte would cost this program as much as the server."""


class Answering:
    """A connection, and what has come of its answer."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._begun = bytearray()
        self._received = 0
        self._length = 0

    def take(self) -> str | None:
        """The status, once a whole answer has come; the length of its body is declared.

        Raises
        ------
        ConnectionError
            If the server has closed the connection.
        """
        size = self.socket.recv_into(_PIECE)
        if not size:
            raise ConnectionError("The server closed a connection")
        self._received += size
        if not self._length:
            self._begun += _PIECE[:size]
            self._length = length_of(self._begun)
        if not self._length or self._received < self._length:
            return None
        status = self._begun[9:12].decode()
        self._begun.clear()
        self._received = self._length = 0
        return status


def length_of(received: bytearray) -> int:
    """Bytes of the whole answer; 0 as long as its head has not come."""
    head = received.find(b"\r\n\r\n")
    if head < 0:
        return 0
    at = received[: head + 2].lower().find(b"content-length: ")
    declared = int(received[at + 16 : received.find(b"\r\n", at)]) if at >= 0 else 0
    return head + 4 + declared


def requests_of(paths: Sequence[str], token: str) -> Iterator[bytes]:
    """Requests without end; the paths take turns."""
    credentials = f"Authorization: Bearer {token}\r\n" if token else ""
    rest = f" HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n{credentials}\r\n"
    if len(paths) == 1 and "{n}" not in paths[0]:
        return itertools.repeat(f"GET {paths[0]}{rest}".encode())
    return (
        f"GET {path.replace('{n}', str(number // len(paths) % NUMBERS + 1))}{rest}".encode()
        for number, path in enumerate(itertools.cycle(paths))
    )


def ask(port: int, paths: Sequence[str], connections: int, seconds: float, token: str = "") -> dict[str, object]:
    """Requests answered a second, and answers by status."""
    requests = requests_of(paths, token)
    statuses: Counter[str] = Counter()
    with selectors.EpollSelector() as selector:
        for _ in range(connections):
            answering = Answering(port)
            selector.register(answering.socket, selectors.EVENT_READ, answering)
            answering.socket.sendall(next(requests))
        started = time.perf_counter()
        while (now := time.perf_counter()) < started + seconds:
            for key, _ in selector.select(1.0):
                status = key.data.take()
                if status is not None:
                    statuses[status] += 1
                    key.data.socket.sendall(next(requests))
        for key in list(selector.get_map().values()):
            key.data.socket.close()
    return {"per_second": sum(statuses.values()) / (now - started), "statuses": statuses}


if __name__ == "__main__":
    _, port, paths, connections, seconds, *token = sys.argv
    print(json.dumps(ask(int(port), paths.split(","), int(connections), float(seconds), *token)))
