"""How soon the API can start, how much of the bare server's throughput it leaves, and how it bears a crowd."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import psutil

from pipeline.base.settings import inherited_environment
from pipeline.store.engine import Database, with_database
from pipeline.store.migrating import migrate
from tests.load.crowded import crowded, ended, wait_until_all_are_up
from tests.load.ingest import prepared_server
from tests.load.measuring import Figures
from tests.load.serving_data import EMAIL, PASSWORD, SERIES, SERIES_OF_ROWS, fill
from tests.ports import free_port

PATIENCE_SECONDS = 60.0
"""With a program that should have ended, or a server that should be up."""

ROUNDS = 5
_LOADED = "import serving.__main__, sys; print(*sys.modules)"
_TIMED = """
import sys, time
from contextlib import suppress
from importlib import import_module
from serving.importing import uncollected
began = time.process_time()
with uncollected():
    for name in sys.argv[1:]:
        with suppress(ImportError):  # a module that is another one's name for it
            import_module(name)
libraries = time.process_time() - began
import serving.__main__
print(libraries, time.process_time() - began)
"""
_OWN = {"serving", "pipeline"}

CONNECTIONS = 100
LOAD_ROUNDS = 15
LOAD_SECONDS = 0.5
PATH = "/api/v1/instruments/AAPL"
WITH_LOGIN = ("full", "soaked")
FIGURES = {"cached": "cached_vs_bare", "full": "full_stack_vs_bare", "postgres": "pg_read_vs_bare"}

SERIES_ROUNDS = 5
SERIES_CONNECTIONS = 2
SERIES_SECONDS, ROWS_SECONDS = 1.0, 4.0
"""Of a round; an answer from rows takes a tenth of a second of the processor."""

USERS = 100
BURST_PER_SECOND = 1_000
BURST_SECONDS = 10.0
WARMING_SECONDS = 1.0
"""For both workers to have connections."""

SOAK_SECONDS = 60.0
"""``make bench ONLY=serve SOAK=300`` soaks for five minutes."""
SOAK_CONNECTIONS = 8
WARM_SHARE = 1 / 3
"""Of the soak, after which memory may not grow any more."""
SOAK_PATHS = (
    PATH,
    "/api/v1/instruments",
    "/api/v1/portfolios/held/risk",
    "/api/v1/instruments/MSFT/prices?limit={n}",
    "/api/v1/instruments/MSFT/risk?limit={n}",
    "/api/v1/instruments/NONE-{n}",
    "/api/v1/instruments?limit=-{n}",
    "/api/v1/nothing/{n}",
)
"""Answers that are kept, that are computed, and refusals, whose texts differ each time."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    name: str
    port: int
    pid: int
    token: str = ""


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast a server answered, and what an answer cost its process."""

    per_second: float
    cpu_seconds: float


class Errors:
    """Counts what was not answered as it should be, over everything that is measured."""

    def __init__(self) -> None:
        self.count = 0

    def see(self, name: str, found: dict[str, object], expected: Sequence[str] = ("200",)) -> None:
        """Count the answers that are none of the expected ones, and requests that got none."""
        statuses = found["statuses"]
        assert isinstance(statuses, dict)
        wrong = {status: number for status, number in statuses.items() if status not in expected}
        self.count += sum(wrong.values()) + int(str(found.get("lost", 0)))
        if wrong or found.get("lost"):
            print(f"{name} answered {wrong}, lost {found.get('lost', 0)}", file=sys.stderr)


def measure() -> Figures:
    """Seconds to import the application, requests a second as ratios, latencies of a crowd, and memory over time."""
    found: dict[str, float] = {}
    for part in _parts(errors := Errors()):
        told = ", ".join(f"{name} {value:.4g}" for name, value in part.items())
        print(f"serve: {told}", file=sys.stderr, flush=True)  # what is known if a later part fails
        found |= part
    return found | {"errors": errors.count}


def _parts(errors: Errors) -> Iterator[Figures]:
    yield _imports()
    with served_database() as url:
        with ExitStack() as stack:
            bare = stack.enter_context(running("bare", url))
            collector = f"http://127.0.0.1:{bare.port}"  # it takes traces as it takes everything
            servers = {"bare": bare} | {name: stack.enter_context(running(name, url, collector)) for name in FIGURES}
            yield _throughputs(servers, errors)
            yield _series(servers["cached"], servers["postgres"], errors)
        yield _bursts(url, errors)
        yield {"soak_growth_mib": _soak(url, errors)}


def _imports() -> Figures:
    """CPU seconds of the imports, and how much of them is ours: the libraries that they stand on come first."""
    modules = _output([sys.executable, "-c", _LOADED]).split()
    roots = [name.partition(".")[0] for name in modules]
    libraries = [name for name, root in zip(modules, roots, strict=True) if root not in {*_OWN, "__main__"}]
    rounds = [_output([sys.executable, "-c", _TIMED, *libraries]).split() for _ in range(ROUNDS)]
    theirs, all_of_it = np.array(rounds, dtype=float).T
    return {
        "import_s": float(np.median(all_of_it)),
        "import_vs_libraries": float(np.median(all_of_it / theirs)),
        "dagster_modules": roots.count("dagster"),
    }


@contextmanager
def served_database() -> Iterator[str]:
    """Address of a database with something to answer from."""
    with prepared_server() as server:
        database = Database(with_database(server, "bench"))
        database.ensure_exists()
        migrate(database.url)
        fill(database)
        yield database.url


@contextmanager
def running(name: str, url: str, collector: str | None = None) -> Iterator[Server]:
    """A server of `tests.load.served` in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "tests.load.served", name, url, str(port), *([collector] if collector else [])]
    # What it warns of is shown: nobody would read a pipe, and a server that writes into a full one stands still.
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_until_up(port, process)
            yield Server(name, port, process.pid, _token(port) if name in WITH_LOGIN else "")
        finally:
            ended(process)


def _wait_until_up(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise
            time.sleep(0.05)


def _token(port: int) -> str:
    """What a user gets who logs in."""
    body = json.dumps({"email": EMAIL, "password": PASSWORD}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/auth/login", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["access_token"])


def _throughputs(servers: dict[str, Server], errors: Errors) -> Figures:
    """Requests a second; the servers take turns within many short rounds, so that other work slows all of them.

    Beside each ratio the same of the CPU seconds that an answer costs the server, for a machine that does other work.
    """
    for server in servers.values():
        _load(server, [PATH], 0.3, errors)
    rounds = [
        {name: _load(server, [PATH], LOAD_SECONDS, errors) for name, server in servers.items()}
        for _ in range(LOAD_ROUNDS)
    ]
    found = {"bare_per_s": statistics.median(rates["bare"].per_second for rates in rounds)}
    for name, key in FIGURES.items():
        found[key] = statistics.median(rates[name].per_second / rates["bare"].per_second for rates in rounds)
        cpu = [rates["bare"].cpu_seconds / rates[name].cpu_seconds for rates in rounds]
        found[key.replace("_vs_", "_cpu_vs_")] = statistics.median(cpu)
    return found


def _series(kept: Server, computing: Server, errors: Errors) -> Figures:
    """A long series as the pipeline stored it, by a server that keeps no answer, against its rows through models.

    Beside them the same from memory. All three send the same bytes.
    """
    asked = (
        (computing, SERIES, SERIES_SECONDS),
        (computing, SERIES_OF_ROWS, ROWS_SECONDS),
        (kept, SERIES, SERIES_SECONDS),
    )
    if len({_body(server.port, path) for server, path, _ in asked}) != 1:
        errors.count += 1
    rounds = [
        [_load(server, [path], seconds, errors, SERIES_CONNECTIONS) for server, path, seconds in asked]
        for _ in range(SERIES_ROUNDS)
    ]
    columns = list(zip(*rounds, strict=True))
    stored, by_rows, from_memory = (sum(rate.per_second for rate in rates) for rates in columns)
    stored_cpu, by_rows_cpu, _ = (sum(rate.cpu_seconds for rate in rates) for rates in columns)
    return {
        "series_per_s": stored / SERIES_ROUNDS,
        "series_vs_pydantic": stored / by_rows,
        "series_cpu_vs_pydantic": by_rows_cpu / stored_cpu,
        "series_kept_vs_pydantic": from_memory / by_rows,
    }


def _body(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return bytes(answer.read())


def _bursts(url: str, errors: Errors) -> Figures:
    """Latencies of a crowd, with everything on; those of the bare server show what the machine itself takes."""
    with running("bare", url) as bare:
        found = {"burst_bare_p99_ms": _burst(bare, errors)["p99_ms"]}
        for name, cache_mib in (("cached", 32), ("pg", 0)):
            with crowded(url, f"http://127.0.0.1:{bare.port}", cache_mib=cache_mib) as gateway:
                _wait_until_up(gateway.port, gateway.process)
                wait_until_all_are_up(gateway.process)
                server = Server(name, gateway.port, gateway.process.pid, _token(gateway.port))
                _load(server, [PATH], WARMING_SECONDS, errors)
                latencies = _burst(server, errors)
            found |= {f"burst_{name}_p95_ms": latencies["p95_ms"], f"burst_{name}_p99_ms": latencies["p99_ms"]}
    return found


def _burst(server: Server, errors: Errors) -> Figures:
    found = _client("http_burst", server.port, PATH, USERS, BURST_PER_SECOND, BURST_SECONDS, server.token)
    errors.see(f"burst {server.name}", found)
    return {name: float(value) for name, value in found.items() if name.endswith("_ms")}


def _soak(url: str, errors: Errors) -> float:
    """MiB that a server grows by under a mixed load, once it is warm."""
    seconds = float(inherited_environment().get("SOAK") or SOAK_SECONDS)
    with running("soaked", url) as server:
        command = _command("http_load", server.port, ",".join(SOAK_PATHS), SOAK_CONNECTIONS, seconds, server.token)
        sizes = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
            while load.poll() is None:
                sizes.append(psutil.Process(server.pid).memory_info().rss / 2**20)
                time.sleep(seconds / 300)
            assert load.stdout is not None
            errors.see("soaked", json.loads(load.stdout.read()), ("200", "404", "422"))
    share = max(1, len(sizes) // 20)
    warm = int(len(sizes) * WARM_SHARE)
    return statistics.median(sizes[-share:]) - statistics.median(sizes[warm : warm + share])


def _load(server: Server, paths: Sequence[str], seconds: float, errors: Errors, connections: int = CONNECTIONS) -> Rate:
    """Ask as fast as it answers."""
    process = psutil.Process(server.pid)
    before = process.cpu_times()
    found = _client("http_load", server.port, ",".join(paths), connections, seconds, server.token)
    after = process.cpu_times()
    errors.see(server.name, found)
    statuses = found["statuses"]
    assert isinstance(statuses, dict)
    cpu = after.user + after.system - before.user - before.system
    return Rate(float(str(found["per_second"])), cpu / max(1, sum(statuses.values())))


def _client(module: str, *arguments: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(_output(_command(module, *arguments)))
    return found


def _output(command: list[str]) -> str:
    """What a program prints; what it complains of is shown."""
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=PATIENCE_SECONDS).stdout


def _command(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"tests.load.{module}", *(str(argument) for argument in arguments)]
