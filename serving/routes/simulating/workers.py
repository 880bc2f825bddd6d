"""Work off the queue of simulations in threads of the service.

The kernels release the interpreter lock, so a job takes a core from the service, not its loop. Several processes share
the queue; the store says who works on what.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import psycopg

from pipeline.base.compiled_code import compiled_code_folder
from pipeline.base.errors import PlatformError
from pipeline.store.access import RowAccess, ScopedConnection, become_api
from pipeline.store.bounded import BoundedConnection
from pipeline.store.engine import libpq_url, unreachable
from pipeline.store.simulation_queue import (
    ClaimedJob,
    Part,
    claim_job,
    fail_job,
    finish_job,
    forget_parts,
    keep_part,
    prune_jobs,
    read_parts,
    release_job,
)
from serving.cores import use_all_cores
from serving.held import held_of
from serving.routes.simulating.engine import (
    LARGEST_PART_PATHS,
    PART_PATH_SESSIONS,
    About,
    begun,
    described,
    packed,
    parts_of,
    unpack,
)
from serving.routes.simulating.forms import SimulateIn

if TYPE_CHECKING:
    from pipeline.simulation.models.outcomes import Outcomes
    from pipeline.simulation.run import Begun

    Walked = Generator[slice, None, None]

logger = logging.getLogger("serving")

POLL_SECONDS = 1.0
"""Between two looks for the jobs of other processes; the service's own are begun at once."""
RETRY_SECONDS = 2.0
"""After the database was lost."""
PRUNE_SECONDS = 600.0
STOP_SECONDS = 10.0
"""For the part under way, when the service ends."""
CONNECT_TIMEOUT_SECONDS = 2
STATEMENT_TIMEOUT_SECONDS = 10
OVERSEER = RowAccess(None, "operator")
"""Workers see everybody's jobs, and nothing of them that is not in the job."""


class _WorkerConnection(ScopedConnection, BoundedConnection):
    """A connection of a worker's own: the pool belongs to requests.

    A network that has swallowed a statement would otherwise hold the worker, and with it the queue, for good.
    """

    longest_seconds = STATEMENT_TIMEOUT_SECONDS + 2.0


class Workers:
    """Threads that work on jobs, begun and ended with the service.

    Parameters
    ----------
    url
        Address of the database.
    count
        Jobs at once.
    scheduler
        Address of the cluster that walks their paths; None to walk them here.
    """

    def __init__(self, url: str, count: int, scheduler: str | None = None) -> None:
        self._url = url
        self._scheduler = scheduler
        self.code = f"{compiled_code_folder(Path()).name}/{PART_PATH_SESSIONS}/{LARGEST_PART_PATHS}"
        """Which source walks paths here, as in `claim_job`."""
        self._ending = threading.Event()
        self._awake = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"simulations-{number}", daemon=True) for number in range(count)
        ]

    def open(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop after the parts under way, and leave unfinished jobs to whoever comes next."""
        self._ending.set()
        self._awake.set()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def wake(self) -> None:
        """Look for a new job at once."""
        self._awake.set()

    def _work(self) -> None:
        use_all_cores()
        is_lost = False
        while not self._ending.is_set():
            try:
                with _connection(self._url) as connection:
                    is_lost = False
                    self._work_off(connection)
            except (psycopg.Error, PlatformError) as error:
                if not is_lost:  # said once, not every few seconds
                    logger.warning("Simulations wait for the database: %s", _reason(self._url, error))
                is_lost = True
                self._ending.wait(RETRY_SECONDS)

    def _work_off(self, connection: psycopg.Connection) -> None:
        prune_at = time.monotonic()
        while not self._ending.is_set():
            self._awake.clear()  # before the look, so that a job which comes after it is not slept over
            with connection.transaction():
                job = claim_job(connection, uuid4(), self.code)
            if job is not None:
                self._carry_out(connection, job)
                continue
            if time.monotonic() >= prune_at:
                with connection.transaction():
                    prune_jobs(connection)
                prune_at = time.monotonic() + PRUNE_SECONDS
            self._awake.wait(POLL_SECONDS)

    def _carry_out(self, connection: psycopg.Connection, job: ClaimedJob) -> None:
        try:
            is_mine = self._simulate(connection, job)
        except psycopg.Error:
            raise  # the job is taken up again once the database answers
        except PlatformError as error:
            is_mine = _fail(connection, job, str(error))
        except Exception:
            logger.exception("Simulation %s failed", job.id)
            is_mine = _fail(connection, job, "The service failed; its log has the cause. Ask again, or for less.")
        if not is_mine:
            with connection.transaction():
                forget_parts(connection, job.id)

    def _simulate(self, connection: psycopg.Connection, job: ClaimedJob) -> bool:
        """Walk what is missing; False if the job was cancelled or taken over."""
        asked = SimulateIn.model_validate(job.request)
        held, returns = held_of(job.held), np.frombuffer(job.fit_returns, dtype=np.float64)
        simulation = begun(asked, job.subject, returns if held is None else held.columns(returns), held)
        outcomes = simulation.empty_outcomes()
        parts = {rows.start: rows for rows in parts_of(asked, held)}
        for found in read_parts(connection, job.id):
            unpack(found.outcomes, outcomes.part(parts.pop(found.first_path)))
        with closing(walked(simulation, outcomes, list(parts.values()), self._scheduler)) as ready:
            while not self._ending.is_set() and (rows := next(ready, None)) is not None:
                values = packed(outcomes.part(rows))
                with connection.transaction():
                    if not keep_part(connection, job, Part(rows.start, values), rows.stop - rows.start):
                        return False
                del parts[rows.start]
        if parts:  # the service ends
            with connection.transaction():
                release_job(connection, job)
            return True
        about = About(job.portfolio_id, job.fit_start, job.session, () if held is None else held.symbols)
        result = described(asked, about, simulation, outcomes).model_dump(mode="json")
        terminal = outcomes.terminal_wealth.tobytes() if asked.terminal_values else None
        with connection.transaction():
            return finish_job(connection, job, result, terminal)


def walked(simulation: Begun, outcomes: Outcomes, parts: list[slice], scheduler: str | None) -> Walked:
    """Walk parts of a simulation, here or on a cluster, and give each once its outcomes are filled.

    Raises
    ------
    ClusterError
        If there is no cluster at that address, or it cannot go on.
    """
    if scheduler is None or not parts:
        for rows in parts:
            simulation.walk(outcomes.part(rows), rows.start)
            yield rows
        return
    from pipeline.simulation.run.cluster import connected  # noqa: PLC0415 - numba, and distributed

    with connected(scheduler) as cluster, closing(cluster.parts(simulation, parts)) as found:
        for rows, values in found:
            for kept, value in zip(outcomes.part(rows), values, strict=True):
                kept[...] = value
            yield rows


def _fail(connection: psycopg.Connection, job: ClaimedJob, error: str) -> bool:
    with connection.transaction():
        return fail_job(connection, job, error)


@contextmanager
def _connection(url: str) -> Iterator[psycopg.Connection]:
    with _WorkerConnection.connect(
        libpq_url(url),
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        options=f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS * 1000}",
        application_name="fintech-simulations",
    ) as connection:
        become_api(connection)
        connection.show_rows_of(OVERSEER)
        connection.autocommit = True  # what belongs together says so
        yield connection


def _reason(url: str, error: Exception) -> str:
    """In one line, without the password."""
    if isinstance(error, psycopg.OperationalError):
        return unreachable(url, error).cause
    return str(error).strip().partition("\n")[0]
