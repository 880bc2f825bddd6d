"""Several processes that answer on the same sockets, replaced one after the other without losing a request.

All of them accept from one queue of connections, which belongs to the socket and not to a process: while one ends, the
others take what arrives. Hand-written because uvicorn's own supervisor opens its sockets itself, closes idle
connections under requests that are on their way, and begins new processes before it knows that they can answer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from pipeline.base.errors import PlatformError
from pipeline.base.settings import Settings, load_settings
from serving import server
from serving.app import create_app
from serving.services import Service

logger = logging.getLogger("serving")

START_SECONDS = 30.0
"""Until a new process must answer."""
LOOK_SECONDS = 0.1
"""Between two looks at the processes."""
PAUSE_SECONDS = 1.0
"""Before a process that died at once is replaced."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that answers, and when it was started in seconds of the monotonic clock."""

    process: subprocess.Popen[bytes]
    started_at: float

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None


def serve(services: Sequence[Service], settings: Settings) -> None:
    """Serve by as many processes as ``FINTECH_WORKERS`` says; one needs no other beside it.

    Raises
    ------
    PlatformError
        As `serving.server.serve`.
    """
    if settings.workers == 1:
        server.serve(services, settings)
        return
    for service in services:
        create_app(service.name, settings)  # what the settings lack is told here, once
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(server.listening_socket(address)) for address in server.addresses(services, settings)
        ]
        Supervisor([service.name for service in services], sockets, settings.workers).run()


class Supervisor:
    """Keeps processes running until SIGINT or SIGTERM; SIGHUP replaces each.

    Parameters
    ----------
    names
        Services that each process serves.
    sockets
        One for each service; they listen.
    count
        Processes.
    """

    def __init__(self, names: Sequence[str], sockets: Sequence[socket.socket], count: int) -> None:
        self._names = names
        self._sockets = sockets
        self._count = count
        self._workers: list[Worker] = []
        self._ends = False
        self._renews = False
        # Processes see its other end close when this one is gone, however it went.
        self._life = os.pipe()

    def run(self) -> None:
        """Serve until a signal ends it.

        Raises
        ------
        PlatformError
            If the first processes cannot start.
        """
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGHUP, self._renew)
        try:
            self._start_all()
            while not self._ends:
                if self._renews:
                    self._replace_all()
                self._replace_dead()
                time.sleep(LOOK_SECONDS)
        finally:
            self._stop(self._workers)
            for descriptor in self._life:
                os.close(descriptor)

    def _end(self, *_: object) -> None:
        self._ends = True

    def _renew(self, *_: object) -> None:
        self._renews = True

    def _start_all(self) -> None:
        for _ in range(self._count):
            worker = self._started()
            if worker is None:
                if self._ends:
                    return
                raise PlatformError("A service could not start", "Its log above names the cause.")
            self._workers.append(worker)

    def _replace_all(self) -> None:
        """Start each new process before its old one ends; one that does not answer leaves the old one."""
        self._renews = False
        for old in list(self._workers):
            new = self._started()
            if new is None:
                logger.error("A new process does not answer; the old one goes on")
                return
            self._workers = [worker for worker in self._workers if worker is not old] + [new]
            self._stop([old])

    def _replace_dead(self) -> None:
        for worker in [worker for worker in self._workers if not worker.is_alive]:
            logger.error("Process %d ended with %s; it is replaced", worker.process.pid, worker.process.returncode)
            if time.monotonic() - worker.started_at < PAUSE_SECONDS:
                time.sleep(PAUSE_SECONDS)
            new = self._started()
            if new is not None:
                self._workers.remove(worker)
                self._workers.append(new)

    def _started(self) -> Worker | None:
        """A new process once it answers; None if it does not."""
        is_ready, tell = os.pipe()
        descriptors = [listener.fileno() for listener in self._sockets]
        arguments = [str(tell), str(self._life[0]), ",".join(map(str, descriptors)), *self._names]
        try:
            process = subprocess.Popen(  # noqa: S603 - this module itself
                [sys.executable, "-m", "serving.workers", *arguments],
                pass_fds=[tell, self._life[0], *descriptors],
            )
            os.close(tell)
            worker = Worker(process, time.monotonic())
            if self._is_told(is_ready, worker):
                return worker
            self._stop([worker])
            return None
        finally:
            os.close(is_ready)

    def _is_told(self, is_ready: int, worker: Worker) -> bool:
        deadline = worker.started_at + START_SECONDS
        while time.monotonic() < deadline and worker.is_alive and not self._ends:
            if select.select([is_ready], [], [], LOOK_SECONDS)[0]:
                return bool(os.read(is_ready, 1))
        return False

    @staticmethod
    def _stop(workers: Sequence[Worker]) -> None:
        for worker in workers:
            if worker.is_alive:
                worker.process.send_signal(signal.SIGTERM)
        for worker in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(server.DRAIN_SECONDS + server.GRACE_SECONDS + 5.0)
                continue
            worker.process.kill()
            worker.process.wait()


def main(arguments: Sequence[str]) -> int:
    """Serve on sockets that were opened by a `Supervisor`; the exit code."""
    tell, life, descriptors, *names = arguments

    def tell_supervisor() -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(int(tell), b"1")
        os.close(int(tell))

    settings = load_settings()
    sockets = [socket.socket(fileno=int(descriptor)) for descriptor in descriptors.split(",")]
    try:
        server.run([create_app(name, settings) for name in names], settings, sockets, tell_supervisor, int(life))
    except PlatformError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
