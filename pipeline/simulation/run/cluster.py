"""Paths walked by other processes: shards of (simulation × path range) over Dask.

The model is fitted here, and workers are sent the fitted one: a path depends on that, the key and its own number alone,
so whichever worker walks it, or walks it again because another died, the digits are those of one process. Workers have
to run the same code with the same libraries, and refuse a shard of another's. ``distributed`` is imported when a
cluster is asked for.
"""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.base.code_version import code_version
from pipeline.base.errors import PlatformError
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.run.begun import Begun
from pipeline.simulation.run.results import SimulationResult

if TYPE_CHECKING:
    from distributed import Future

T = TypeVar("T")

CONNECT_SECONDS = 5.0
"""For a scheduler to answer, and for it to have a worker."""
POLL_SECONDS = 2.0
"""Between two looks whether anybody is still at work."""
WITHOUT_WORKERS_SECONDS = 30.0
"""For which a run waits for another worker after its last one has gone."""
FEWEST_AT_ONCE = 4
LEAST_PATH_SESSIONS = 10_000_000
"""Paths times sessions of a shard, where there are as many: about ten times what it costs to send one."""
LIBRARIES = ("numpy", "numba", "llvmlite", "scipy")
"""By which the digits of a path are made, besides our own code."""
SETTING = "SIMULATION_SCHEDULER"


class ClusterError(PlatformError):
    """The cluster is out of reach, runs other code, or has lost its workers."""


class OtherCodeError(RuntimeError):
    """A worker was sent a shard of other code than its own."""


@cache
def code_identity() -> str:
    """What has to be the same here and there for the same digits."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"code {code_version('simulation')}, {libraries}"


def walk_shard(simulations: bytes, first: int, stop: int, code: str) -> Outcomes:
    """On a worker: the outcomes of some paths."""
    (begun,) = _unpacked(simulations, code)
    outcomes = begun.empty_outcomes(stop - first)
    begun.walk(outcomes, first)
    return outcomes


def simulate_whole(simulations: bytes, code: str) -> list[SimulationResult]:
    """On a worker: the results of whole simulations."""
    return [begun.result() for begun in _unpacked(simulations, code)]


def _unpacked(simulations: bytes, code: str) -> tuple[Begun, ...]:
    """Unpacked only where it is the same code, whose classes it then fits."""
    if code != code_identity():
        raise OtherCodeError(f"a worker runs {code_identity()}, and this process {code}")
    # Who reaches the scheduler may run anything anyway: docs/scale.md.
    found: tuple[Begun, ...] = pickle.loads(simulations)  # noqa: S301
    return found


def grouped(simulations: Iterable[Begun]) -> Iterator[tuple[Begun, ...]]:
    """Small simulations together, for a shard costs as much as thousands of paths, and large ones by themselves."""
    group: list[Begun] = []
    size = 0
    for begun in simulations:
        group.append(begun)
        size += begun.spec.paths * begun.spec.horizon_sessions
        if size >= LEAST_PATH_SESSIONS:
            yield tuple(group)
            group, size = [], 0
    if group:
        yield tuple(group)


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """A cluster, for as long as it is used.

    Parameters
    ----------
    address
        Of its scheduler: ``tcp://host:8786``.

    Raises
    ------
    ClusterError
        If ``distributed`` is not installed, no scheduler answers, or it has no worker.
    """
    try:
        client_of = _distributed().Client
    except ModuleNotFoundError as error:
        raise ClusterError(
            f"{SETTING}: distributed is not installed",
            f"Install the extra cluster (pip install 'fintech-platform[cluster]'), or leave {SETTING} empty.",
        ) from error
    try:
        client = client_of(address, timeout=CONNECT_SECONDS, set_as_default=False, name="fintech")
    except (OSError, ValueError) as error:  # a time-out is an OSError
        raise ClusterError(
            f"{SETTING}: no scheduler answers within {CONNECT_SECONDS:g} s",
            f"Start one (docs/scale.md), correct the address, or leave {SETTING} empty to simulate in this process.",
        ) from error
    try:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            raise _workerless() from error
        yield Cluster(client)
    finally:
        client.close(timeout=CONNECT_SECONDS)


class Cluster:
    """A connection to a scheduler; used from several threads at once.

    Parameters
    ----------
    client
        Of ``distributed``.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def at_once(self) -> int:
        """Shards to have under way: two for each thread of the workers, so that none waits for the next."""
        threads: int = sum(self._client.nthreads().values())
        return max(FEWEST_AT_ONCE, 2 * threads)

    def results(self, simulations: Iterable[Begun]) -> Generator[SimulationResult, None, None]:
        """Whole simulations, several small ones a shard: the result of each, in their order.

        Raises
        ------
        ClusterError
            If the workers run other code, or are gone.
        """
        waiting: deque[Future[list[SimulationResult]]] = deque()
        most = self.at_once()
        try:
            for group in grouped(simulations):
                waiting.append(self._submit(simulate_whole, group, "whole"))
                if len(waiting) >= most:
                    yield from self._result(waiting.popleft())
            while waiting:
                yield from self._result(waiting.popleft())
        finally:
            self._cancel(waiting)

    def parts(self, begun: Begun, rows: Iterable[slice]) -> Generator[tuple[slice, Outcomes], None, None]:
        """Path ranges of one simulation, a shard each: the outcomes of each as they come. Closing it cancels the rest.

        Raises
        ------
        ClusterError
            If the workers run other code, or are gone.
        """
        under_way: dict[Future[Outcomes], slice] = {}
        most, left = self.at_once(), deque(rows)
        try:
            while left or under_way:
                while left and len(under_way) < most:
                    part = left.popleft()
                    name = f"{part.start}-{part.stop}"
                    under_way[self._submit(walk_shard, (begun,), name, part.start, part.stop)] = part
                for future in self._ended(under_way):
                    yield under_way.pop(future), self._result(future)
        finally:
            self._cancel(under_way)

    def walk(self, begun: Begun, outcomes: Outcomes, rows: Iterable[slice]) -> None:
        """Fill the outcomes of every path by parts; the same bits as `Begun.walk`."""
        for part, found in self.parts(begun, rows):
            for kept, values in zip(outcomes.part(part), found, strict=True):
                kept[...] = values

    def _submit(self, work: Callable[..., T], simulations: tuple[Begun, ...], name: str, *rows: int) -> Future[T]:
        """A task whose key says what it computes: one that is asked for twice is computed once."""
        from dask.tokenize import tokenize  # noqa: PLC0415 - an extra

        # By one thread: a worker's threads each walk a shard.
        alone = tuple(replace(begun, spec=replace(begun.spec, threads=1)) for begun in simulations)
        key = f"simulation-{tokenize(alone, code_identity())}-{name}"
        # Never as scattered data, which dies with the worker that has it and cannot be made again.
        packed = pickle.dumps(alone, protocol=pickle.HIGHEST_PROTOCOL)
        submitted: Future[T] = self._client.submit(work, packed, *rows, code_identity(), key=key)
        return submitted

    def _ended(self, under_way: Iterable[Future[Any]]) -> list[Future[Any]]:
        """Those that have ended, at least one."""
        wait, futures = _distributed().wait, list(under_way)
        with self._client.as_current():
            return list(self._patiently(lambda: wait(futures, POLL_SECONDS, "FIRST_COMPLETED")).done)

    def _result(self, future: Future[T]) -> T:
        asked: Any = future  # whose methods have no types
        try:
            found: T = self._patiently(lambda: asked.result(POLL_SECONDS))
            return found
        finally:
            asked.release()  # now, and not with the last time-out's traceback, which refers to it

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask until there is an answer, as long as anybody is there to give it."""
        killed_worker, workers_seen = _distributed().KilledWorker, time.monotonic()
        while True:
            try:
                return ask()
            except TimeoutError:
                if self._has_workers():
                    workers_seen = time.monotonic()
                elif time.monotonic() - workers_seen > WITHOUT_WORKERS_SECONDS:
                    raise _workerless() from None
            except OtherCodeError as error:
                raise ClusterError(f"{SETTING}: {error}", _SAME_IMAGE) from None
            except killed_worker as error:
                raise ClusterError(
                    f"{SETTING}: a shard was begun {error.allowed_failures + 1} times, and each time its worker died",
                    "See the workers' logs; they most likely lack memory: docs/scale.md says how much they need.",
                ) from error
            except CancelledError as error:  # the scheduler's tasks are lost with it
                raise ClusterError(
                    f"{SETTING}: the scheduler has gone while it was at work",
                    "Start it again, and ask again: nothing of the run was kept there.",
                ) from error
            except RuntimeError as error:
                if "deserialization" not in str(error):
                    raise
                raise ClusterError(f"{SETTING}: the scheduler does not know what it was sent", _SAME_IMAGE) from error

    def _has_workers(self) -> bool:
        try:
            return len(self._client.nthreads()) > 0
        except OSError:  # the connection is being made again, or is lost, which cancels every task
            return False

    def _cancel(self, futures: Iterable[Future[Any]]) -> None:
        left = list(futures)
        if left and self._client.status == "running":
            self._client.cancel(left)


def _distributed() -> Any:
    """An extra, and half a second; typed by halves."""
    return import_module("distributed")


_SAME_IMAGE = "Start the scheduler and its workers from the image of this process, with the same libraries."


def _workerless() -> ClusterError:
    return ClusterError(
        f"{SETTING}: the scheduler has no worker", f"Start some (docs/scale.md), or leave {SETTING} empty."
    )
