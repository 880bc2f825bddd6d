"""A stand-in for servers that no wheel ships: old ones, and ones that accept a connection and stay silent.

It speaks the start of PostgreSQL's protocol, version 3.0 ("Message Formats" in the manual): enough for a
client to log in and to learn the version. Every statement is answered by its bare completion.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_REFUSAL_OF_ENCRYPTION = b"N"
_REQUEST_FOR_ENCRYPTION_BYTES = 8
_READY = b"Z\0\0\0\x05I"


@contextmanager
def old_postgres(version: str) -> Iterator[tuple[int, list[bytes]]]:
    """A server that reports a version; gives its port and the messages that it was sent after the log-in."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, version, received), daemon=True).start()
        yield listener.getsockname()[1], received
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread


@contextmanager
def silent_server() -> Iterator[int]:
    """A server whose connections are established and never answered; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def _accept(listener: socket.socket, version: str, received: list[bytes]) -> None:
    with suppress(OSError):  # the listener was closed
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, version, received), daemon=True).start()


def _serve(connection: socket.socket, version: str, received: list[bytes]) -> None:
    with connection, suppress(OSError):
        while len(connection.recv(4096)) == _REQUEST_FOR_ENCRYPTION_BYTES:
            connection.sendall(_REFUSAL_OF_ENCRYPTION)
        connection.sendall(
            _message(b"R", (0).to_bytes(4))  # AuthenticationOk
            + _message(b"S", b"server_version\0" + version.encode() + b"\0")
            + _message(b"S", b"client_encoding\0UTF8\0")
            + _message(b"K", (4711).to_bytes(4) + (42).to_bytes(4))
            + _READY
        )
        while message := connection.recv(4096):
            received.append(message)
            connection.sendall(_message(b"C", b"COMMIT\0") + _READY)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4) + body
