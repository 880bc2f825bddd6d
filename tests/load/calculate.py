"""CPU that ``POST /api/v1/calculate`` takes for 100 positions: of the service, and of Postgres for it.

The service is a process of its own, as in production; what the client takes does not count. Every figure is the
median of rounds of requests, because a process's CPU time is counted in steps of 10 ms.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import numpy as np
import psutil
import psycopg

from pipeline.base.settings import inherited_environment
from pipeline.base.types import MonthRange
from pipeline.store.engine import Database, libpq_url, with_database
from pipeline.store.instruments import Listing, read_instruments, replace_instruments
from pipeline.store.migrating import migrate
from pipeline.store.prices import price_rows, replace_prices
from pipeline.store.writing import open_write
from tests.load.ingest import prepared_server
from tests.load.measuring import Figures
from tests.load.universe import Universe, UniverseSpec, make_universe
from tests.ports import free_port_offset

INSTRUMENTS, SESSIONS, POSITIONS = 500, 800, 100
ROUNDS, REQUESTS = 5, 30
SERVICE, PORT = "python-risk-engine", 8000


def calculate_figures() -> Figures:
    """Milliseconds of CPU a request: ``calculate_100_ms`` of the service, ``calculate_100_database_ms`` of Postgres."""
    universe = make_universe(UniverseSpec(INSTRUMENTS, SESSIONS))
    with prepared_server() as server:
        database = Database(with_database(server, "bench_calculate"))
        database.ensure_exists()
        migrate(database.url)
        _store(database, universe)
        with _service(database) as (process, client):
            return _figures(process, client, database, _body(universe))


def _store(database: Database, universe: Universe) -> None:
    bars = universe.bars
    listings = [Listing(symbol, symbol, "stock", "", "USD", "XNYS", "bench") for symbol in bars.symbols]
    months = bars.sessions.astype("datetime64[M]").astype("datetime64[D]").astype(object)
    with open_write(database, "instruments", "bench", "1") as write:
        replace_instruments(write, listings)
        ids = {instrument.symbol: instrument.id for instrument in read_instruments(write.connection)}
        number_of = np.array([ids[symbol] for symbol in bars.symbols], dtype=np.int32)
        rows = price_rows(
            number_of[bars.symbol_index],
            bars.sessions,
            1,
            {"close": bars.close_adjusted, "volume": bars.volume},
        )
        replace_prices(write, rows, MonthRange(months.min(), months.max()))
    with psycopg.connect(libpq_url(database.url), autocommit=True) as connection:
        connection.execute("ANALYZE")


def _body(universe: Universe) -> dict[str, object]:
    """Equal weights of instruments that traded on every one of the newest sessions, rebalanced monthly."""
    bars = universe.bars
    newest = np.unique(bars.sessions)[-480:]
    counts = np.bincount(bars.symbol_index[bars.sessions >= newest[0]], minlength=INSTRUMENTS)
    chosen = np.flatnonzero(counts == len(newest))[: POSITIONS + 1]
    symbols = [bars.symbols[index] for index in chosen]
    return {
        "positions": [{"symbol": symbol, "target_weight": 1 / POSITIONS} for symbol in symbols[:POSITIONS]],
        "rebalancing": "monthly",
        "benchmark": symbols[POSITIONS],
        "liquidity": {"portfolio_value": 1e7},
    }


@contextmanager
def _service(database: Database) -> Iterator[tuple[psutil.Process, httpx.Client]]:
    offset = free_port_offset()
    added = {"DATABASE_URL": database.url, "FINTECH_ENV": "local", "FINTECH_PORT_OFFSET": str(offset)}
    command = [sys.executable, "-m", "serving", SERVICE]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = subprocess.Popen(command, env=inherited_environment() | added, **quiet)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{PORT + offset}", timeout=30, trust_env=False) as client:
            _wait_for(client)
            yield psutil.Process(started.pid), client
    finally:
        started.terminate()
        started.wait(20)


def _wait_for(client: httpx.Client) -> None:
    deadline = time.monotonic() + 30
    while True:
        with suppress(httpx.TransportError):
            if client.get("/health/ready").status_code == 200:
                return
        if time.monotonic() > deadline:
            raise RuntimeError("The service does not become ready within 30 s")
        time.sleep(0.1)


def _figures(process: psutil.Process, client: httpx.Client, database: Database, body: dict[str, object]) -> Figures:
    def ask() -> None:
        answer = client.post("/api/v1/calculate", json=body)
        if answer.status_code != 200 or answer.json()["liquidity"]["undefined"]:
            raise RuntimeError(f"{answer.status_code}: {answer.text[:300]}")

    for _ in range(REQUESTS):  # statements are prepared and kernels loaded by then
        ask()
    service, postgres = [], []
    for _ in range(ROUNDS):
        before = _cpu(process), _database_cpu(database)
        for _ in range(REQUESTS):
            ask()
        service.append(_cpu(process) - before[0])
        postgres.append(_database_cpu(database) - before[1])
    per_request = 1e3 / REQUESTS
    return {
        "calculate_100_ms": per_request * statistics.median(service),
        "calculate_100_database_ms": per_request * statistics.median(postgres),
    }


def _database_cpu(database: Database) -> float:
    """CPU seconds of the server processes that the service is connected to."""
    with psycopg.connect(libpq_url(database.url)) as connection:
        found = connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'fintech-serving'")
        return sum(_cpu(psutil.Process(row[0])) for row in found)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    for name, value in calculate_figures().items():
        sys.stdout.write(f"risk.{name} {value:.4g}\n")
