"""Ask a server as fast as it answers: ``python -m tests.load.http_load PORT PATH CONNECTIONS SECONDS`` prints JSON.

Hand-written, because an HTTP client in Python takes longer over a request than the server over its answer. One
request at a time on each connection; about 15 µs a request, in a process of its own.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections import Counter


def ask(port: int, path: str, connections: int, seconds: float) -> dict[str, object]:
    """Requests answered a second, and answers by status."""
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n\r\n".encode()
    statuses: Counter[str] = Counter()
    with selectors.EpollSelector() as selector:
        for _ in range(connections):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ, bytearray())
            connection.sendall(request)
        started = time.perf_counter()
        while (now := time.perf_counter()) < started + seconds:
            for key, _ in selector.select(1.0):
                received = key.data
                received += key.fileobj.recv(65_536)
                if is_complete(received):
                    statuses[received[9:12].decode()] += 1
                    received.clear()
                    key.fileobj.sendall(request)
        for key in list(selector.get_map().values()):
            key.fileobj.close()
    return {"per_second": sum(statuses.values()) / (now - started), "statuses": statuses}


def is_complete(received: bytearray) -> bool:
    """Whether a whole answer has come; the length of its body is declared."""
    head = received.find(b"\r\n\r\n")
    if head < 0:
        if not received:
            raise ConnectionError("The server closed a connection")
        return False
    length = received.lower().find(b"content-length: ", 0, head + 2)
    declared = int(received[length + 16 : received.find(b"\r\n", length)]) if length >= 0 else 0
    return len(received) >= head + 4 + declared


if __name__ == "__main__":
    print(json.dumps(ask(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))))
