"""How soon the API can start, and how much of the bare server's throughput it leaves."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pipeline.store.engine import Database, with_database
from pipeline.store.migrating import migrate
from tests.integration.serving.seeding import seed
from tests.load.ingest import prepared_server
from tests.load.measuring import Figures

ROUNDS = 5
_PROGRAM = "import sys, time; t = time.perf_counter(); import serving.app; "
_PROGRAM += "print(time.perf_counter() - t, sum(name.partition('.')[0] == 'dagster' for name in sys.modules))"

CONNECTIONS = 100
LOAD_ROUNDS = 15
LOAD_SECONDS = 0.5
PATH = "/api/v1/instruments/AAPL"
FIGURES = {"cached": "cached_vs_bare", "full": "full_stack_vs_bare", "postgres": "pg_read_vs_bare"}


def measure() -> Figures:
    """Seconds to import the application, the modules of Dagster that it loads, and requests a second as ratios.

    The servers take turns within each of many short rounds, so that other work on the machine slows all of them.
    """
    imports = [_import() for _ in range(ROUNDS)]
    with prepared_server() as server, ExitStack() as stack:
        database = Database(with_database(server, "bench"))
        database.ensure_exists()
        migrate(database.url)
        seed(database)
        bare = stack.enter_context(running("bare", database.url))
        collector = f"http://127.0.0.1:{bare}"  # it takes traces as it takes everything
        ports = {"bare": bare} | {name: stack.enter_context(running(name, database.url, collector)) for name in FIGURES}
        for name, port in ports.items():
            _load(name, port, 0.3)
        rounds = [{name: _load(name, port, LOAD_SECONDS) for name, port in ports.items()} for _ in range(LOAD_ROUNDS)]
    return {
        "import_s": statistics.median(seconds for seconds, _ in imports),
        "dagster_modules": max(modules for _, modules in imports),
        "bare_per_s": statistics.median(found["bare"] for found in rounds),
        **{key: statistics.median(found[name] / found["bare"] for found in rounds) for name, key in FIGURES.items()},
    }


def _import() -> tuple[float, float]:
    ended = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    seconds, modules = ended.stdout.split()
    return float(seconds), float(modules)


@contextmanager
def running(name: str, url: str, collector: str | None = None) -> Iterator[int]:
    """A server of `tests.load.served` in a process of its own; its port."""
    command = [sys.executable, "-m", "tests.load.served", name, url, *([collector] if collector else [])]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            port = int(process.stderr.readline())
            _wait_until_up(port)
            yield port
        finally:
            process.terminate()


def _wait_until_up(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{PATH}", timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _load(name: str, port: int, seconds: float) -> float:
    """Requests a second.

    Raises
    ------
    RuntimeError
        If not every answer is a 200.
    """
    command = [sys.executable, "-m", "tests.load.http_load", str(port), PATH, str(CONNECTIONS), str(seconds)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if set(found["statuses"]) != {"200"}:
        raise RuntimeError(f"{name} answered {found['statuses']}, and only 200 counts")
    return float(found["per_second"])
