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
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pipeline.base.errors import ConfigurationError, PlatformError
from pipeline.base.settings import Settings, load_settings
from serving import server
from serving.accepting import Shares, file_of_shares
from serving.app import create_app
from serving.cores import settle_on_core
from serving.edge.rates import rate_of
from serving.observability.log_lines import write_json_lines
from serving.services import Service

if TYPE_CHECKING:
    from fastapi import FastAPI

logger = logging.getLogger("serving")

START_SECONDS = 30.0
"""Until a new process must answer."""
LOOK_SECONDS = 0.1
"""Between two looks at the processes."""
END_SECONDS = 4.0
"""For what a process closes after its last answer; with the rest less than a container is given."""
PAUSE_SECONDS = 1.0
"""Before a process that died at once is replaced, and after one that could not be started."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that answers.

    Parameters
    ----------
    number
        Which none has that runs beside it; the next one may have it again.
    place
        Which core it keeps to: that of the process that it replaces, while both run.
    started_at
        In seconds of the monotonic clock.
    """

    process: subprocess.Popen[bytes]
    number: int
    place: int
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
        As `serving.server.serve`, or if there is a rate limit that several processes cannot count together.
    """
    if settings.workers == 1:
        server.serve(services, settings)
        return
    _require_one_count(settings)
    for service in services:
        create_app(service.name, settings)  # what the settings lack is told here, once
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(server.listening_socket(address)) for address in server.addresses(services, settings)
        ]
        folder = stack.enter_context(_common_folder()) if settings.metrics else None
        counts = stack.enter_context(file_of_shares(settings.workers))
        Supervisor([service.name for service in services], sockets, settings.workers, counts, folder).run()


def _require_one_count(settings: Settings) -> None:
    """Refuse settings by which a client may send the amount of the rate to each process."""
    if rate_of(settings) is not None and settings.redis_url is None:
        raise ConfigurationError(
            f"FINTECH_WORKERS={settings.workers} processes cannot count requests together without REDIS_URL",
            "Set REDIS_URL, start one worker, or leave the limit to a proxy in front with FINTECH_RATE_LIMIT=none.",
            exit_code=2,
        )


@contextlib.contextmanager
def _common_folder() -> Iterator[Path | None]:
    """A folder for the workers' metrics; None if there is none, and then each tells of itself alone."""
    try:
        made = tempfile.TemporaryDirectory(prefix="fintech-metrics-", ignore_cleanup_errors=True)
    except OSError as error:
        logger.warning("TMPDIR: no folder can be made there (%s); each worker tells its own metrics", error)
        yield None
        return
    with made as folder:
        yield Path(folder)


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
    counts
        File in which they tell each other how many connections they have.
    folder
        Where they tell each other their metrics; None if they do not.
    """

    def __init__(
        self,
        names: Sequence[str],
        sockets: Sequence[socket.socket],
        count: int,
        counts: IO[bytes],
        folder: Path | None = None,
    ) -> None:
        self._names = names
        self._sockets = sockets
        self._count = count
        self._counts = counts
        self._folder = folder
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
        for place in range(self._count):
            worker = self._started(place)
            if worker is None:
                if self._ends:
                    return
                raise PlatformError("A service could not start", "Its log above names the cause.")
            self._workers.append(worker)

    def _replace_all(self) -> None:
        """Start each new process before its old one ends; one that does not answer leaves the old one."""
        self._renews = False
        for old in list(self._workers):
            new = self._started(old.place)
            if new is None:
                logger.error("A new process does not answer; the old one goes on")
                return
            self._workers = [worker for worker in self._workers if worker is not old] + [new]
            self._stop([old])

    def _replace_dead(self) -> None:
        for worker in [worker for worker in self._workers if not worker.is_alive]:
            logger.error("Process %d ended with %s; it is replaced", worker.process.pid, worker.process.returncode)
            self._forget(worker)
            if time.monotonic() - worker.started_at < PAUSE_SECONDS:
                time.sleep(PAUSE_SECONDS)
            new = self._started(worker.place)
            if new is None:
                time.sleep(PAUSE_SECONDS)  # before it is tried again
                continue
            self._workers.remove(worker)
            self._workers.append(new)

    def _started(self, place: int) -> Worker | None:
        """A new process once it answers; None if it does not, or if the system has no room for it."""
        try:
            is_ready, tell = os.pipe()
        except OSError as error:
            logger.error("A new process cannot be started (%s)", error)
            return None
        try:
            worker = self._begun(place, tell)
            if worker is None or self._is_told(is_ready, worker):
                return worker
            self._stop([worker])
            return None
        finally:
            os.close(is_ready)

    def _begun(self, place: int, tell: int) -> Worker | None:
        descriptors = [listener.fileno() for listener in self._sockets]
        number = self._free_number()
        pipes = [str(tell), str(self._life[0]), str(self._counts.fileno())]
        arguments = [*pipes, ",".join(map(str, descriptors)), str(number), str(place), self._folder or ""]
        try:
            process = subprocess.Popen(  # noqa: S603 - this module itself
                [sys.executable, "-m", "serving.workers", *arguments, *self._names],
                pass_fds=[tell, self._life[0], self._counts.fileno(), *descriptors],
            )
        except OSError as error:
            logger.error("A new process cannot be started (%s)", error)
            return None
        finally:
            os.close(tell)
        return Worker(process, number, place, time.monotonic())

    def _is_told(self, is_ready: int, worker: Worker) -> bool:
        deadline = worker.started_at + START_SECONDS
        while time.monotonic() < deadline and worker.is_alive and not self._ends:
            if select.select([is_ready], [], [], LOOK_SECONDS)[0]:
                return bool(os.read(is_ready, 1))
        return False

    def _free_number(self) -> int:
        taken = {worker.number for worker in self._workers}
        return next(number for number in count(1) if number not in taken)

    def _stop(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            if worker.is_alive:
                worker.process.send_signal(signal.SIGTERM)
        for worker in workers:
            try:
                worker.process.wait(server.DRAIN_SECONDS + server.GRACE_SECONDS + END_SECONDS)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            self._forget(worker)

    def _forget(self, ended: Worker) -> None:
        """Tell the others that a process has no connections any more, and keep what it has counted: no sum falls."""
        Shares(self._counts, ended.number).end()
        if self._folder is None:
            return
        from serving.observability.worker_metrics import fold  # noqa: PLC0415 - its library takes 0.1 s to import

        try:
            fold(self._folder, ended.number)
        except OSError as error:
            logger.warning("The metrics of process %d are lost (%s)", ended.process.pid, error)


def main(arguments: Sequence[str]) -> int:
    """Serve on sockets that were opened by a `Supervisor`; the exit code."""
    tell, life, counts, descriptors, number, place, folder, *names = arguments

    def tell_supervisor() -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(int(tell), b"1")
        os.close(int(tell))

    settings = load_settings()
    if settings.own_core:
        settle_on_core(int(place))
    write_json_lines(names)
    sockets = [socket.socket(fileno=int(descriptor)) for descriptor in descriptors.split(",")]
    try:
        with os.fdopen(int(counts), "r+b") as file:
            membership = server.Membership(tell_supervisor, int(life), Shares(file, int(number)))
        apps = [create_app(name, settings) for name in names]
        with _told_together(apps, folder, int(number)):
            server.run(apps, settings, sockets, membership)
        if folder and select.select([int(life)], [], [], 0)[0]:
            shutil.rmtree(folder, ignore_errors=True)  # the supervisor, whose it is, was killed
    except PlatformError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _told_together(apps: Sequence[FastAPI], folder: str, number: int) -> contextlib.AbstractContextManager[None]:
    """Share the metrics of applications with the other processes as long as the context lasts."""
    if not folder:
        return contextlib.nullcontext()
    from serving.observability.worker_metrics import written  # noqa: PLC0415 - its library takes 0.1 s to import

    return written([app.state.instruments.metrics.share(Path(folder), app.state.service.name, number) for app in apps])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
