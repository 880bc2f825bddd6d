"""A network between a service and its database that swallows what it is given, as a process of its own.

In the tests' process, whatever keeps that from running would be a silence of the network too.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from pipeline.store.engine import libpq_url

ROOT = Path(__file__).parents[3]
SWALLOW, PASS = b"swallow\n", b"pass\n"


class Swallower:
    """Has a network swallow every byte, and pass them on again; both ends stay connected.

    Parameters
    ----------
    process
        This module, run.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def swallow(self) -> None:
        self._tell(SWALLOW)

    def pass_on(self) -> None:
        """What was swallowed never comes."""
        self._tell(PASS)

    def _tell(self, word: bytes) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(word)
        self._process.stdin.flush()
        assert self._process.stdout.readline() == word


@contextmanager
def swallower(url: str) -> Iterator[tuple[Swallower, str]]:
    """A network before a server, and the address of the database through it."""
    with psycopg.connect(libpq_url(url)) as connection:
        info = connection.info
        target, user, name = str(Path(info.host) / f".s.PGSQL.{info.port}"), info.user, info.dbname
    command = [sys.executable, "-m", __name__, target]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield Swallower(process), f"postgresql://{user}@127.0.0.1:{port}/{name}"
        finally:
            process.kill()


# The process -----------------------------------------------------------------------------------------------


def _pass(source: socket.socket, sink: socket.socket, swallows: threading.Event) -> None:
    try:
        while data := source.recv(65_536):
            if not swallows.is_set():
                sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


def _accept(listener: socket.socket, target: str, swallows: threading.Event) -> None:
    while True:
        caller, _ = listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(target)
        for source, sink in ((caller, server), (server, caller)):
            threading.Thread(target=_pass, args=(source, sink, swallows), daemon=True).start()


def main(target: str) -> None:
    """Print the port, then do what lines of the standard input say, and repeat each when it is done."""
    swallows = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, target, swallows), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    for word in sys.stdin.buffer:
        (swallows.set if word == SWALLOW else swallows.clear)()
        sys.stdout.buffer.write(word)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
