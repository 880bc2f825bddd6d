"""Services and databases as processes of their own, which tests may stop, kill and start again."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import psycopg

from pipeline.base.settings import inherited_environment
from pipeline.store.embedded import embedded_server
from pipeline.store.engine import Database, libpq_url, with_database
from pipeline.store.migrating import migrate
from tests.integration.serving.running import wait_until
from tests.integration.serving.seeding import seed


@dataclass(frozen=True, slots=True)
class ServingProcess:
    """``python -m serving backend-api``, and a client for it."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    port: int
    log: Path

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()


@contextmanager
def serving_process(url: str, **environment: str) -> Iterator[ServingProcess]:
    """A gateway that runs as a user starts it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    given = {
        "DATABASE_URL": url,
        "FINTECH_ENV": "local",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "LOG_LEVEL": "warning",
        "FINTECH_OWN_CORE": "false",  # other tests share the machine
    }
    kept = {name: value for name, value in inherited_environment().items() if name in ("PATH", "HOME", "LANG")}
    command = [sys.executable, "-m", "serving", "backend-api"]
    with (
        tempfile.NamedTemporaryFile(prefix="fintech-serving-", suffix=".log") as log,
        subprocess.Popen(command, env={**kept, **given, **environment}, stderr=log) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=15, trust_env=False) as client,
    ):
        try:
            wait_until(lambda: _answers(client) or process.poll() is not None, 90)
            assert process.poll() is None, Path(log.name).read_text()
            yield ServingProcess(process, client, port, Path(log.name))
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


class OwnPostgres:
    """A seeded database on a server of its own.

    Parameters
    ----------
    folder
        Data folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self.url = ""

    def start(self) -> None:
        """Start, or start again at the same address."""
        self.url = with_database(self._stack.enter_context(embedded_server(self._folder)), "faults")

    def fill(self) -> None:
        Database(self.url).ensure_exists()
        migrate(self.url)
        seed(Database(self.url))

    def kill(self) -> None:
        """End every process at once, as a power cut does."""
        self.signal(signal.SIGKILL)
        self._stack.pop_all()  # there is nothing left to stop

    def stop(self) -> None:
        self.signal(signal.SIGCONT)
        self._stack.close()

    def signal(self, number: signal.Signals) -> None:
        with suppress(FileNotFoundError, psutil.NoSuchProcess):
            first = psutil.Process(int((self._folder / "postmaster.pid").read_text().splitlines()[0]))
            for process in (first, *first.children()):
                with suppress(ProcessLookupError):
                    os.kill(process.pid, number)

    def wait_until_it_accepts(self) -> float:
        """The moment at which it takes connections, in seconds of the monotonic clock."""
        wait_until(self._accepts, 30)
        return time.monotonic()

    def _accepts(self) -> bool:
        try:
            psycopg.connect(libpq_url(self.url), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """A database that a test may stop."""
    with tempfile.TemporaryDirectory(prefix="fintech-faults-") as folder:
        Path(folder).chmod(0o755)  # root's embedded server runs as another user
        postgres = OwnPostgres(Path(folder) / "pg")
        postgres.start()
        try:
            postgres.fill()
            yield postgres
        finally:
            postgres.stop()


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer, and when its request began in seconds of the monotonic clock."""

    started: float
    seconds: float
    answer: httpx.Response

    @property
    def status(self) -> int:
        return self.answer.status_code


@dataclass(slots=True)
class Load:
    """What callers were answered, and what went wrong."""

    asked: list[Asked] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def statuses(self) -> Counter[int]:
        return Counter(asked.status for asked in self.asked)

    def between(self, start: float, end: float = float("inf")) -> list[Asked]:
        return [asked for asked in self.asked if start <= asked.started < end]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Collect no garbage: among the objects of all tests that takes up to seconds, in which nobody asks."""
    is_outermost = gc.isenabled()
    if is_outermost:
        gc.collect()
        gc.disable()
    try:
        yield
    finally:
        if is_outermost:
            gc.enable()


@contextmanager
def load(port: int, path: Callable[[], str], callers: int, pause: float = 0.01) -> Iterator[Load]:
    """Ask with several connections as long as the context lasts, each request for what `path` gives."""
    found = Load()
    is_over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=15, trust_env=False) as client:
            while not is_over.wait(pause):
                started = time.monotonic()
                try:
                    answer = client.get(path())
                    found.asked.append(Asked(started, time.monotonic() - started, answer))
                except httpx.HTTPError as error:
                    found.failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(callers)]
    with _uncollected():
        for thread in threads:
            thread.start()
        try:
            yield found
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
