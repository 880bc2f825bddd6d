"""Metrics of several processes that answer on the same sockets, told as those of one service.

Prometheus is answered by whichever process takes its connection. So each writes what it counts into a common folder,
and the one that is asked adds up what is there: counters and histograms are sums, over processes that have ended as
well, so that they never fall. What is a state, such as memory or a circuit, is told of each process, by the label
`worker`.

Hand-written because the library's own way (a variable that names a folder before it is imported) keeps every number in
files that are mapped into memory, and leaves out collectors: the cache's counts, the circuits and the process.
"""

from __future__ import annotations

import fcntl
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

logger = logging.getLogger("serving")

WRITE_SECONDS = 1.0
"""Between two writings: how old the counts of the other processes may be."""
ENDED = "ended"
"""In the place of a worker's number: the sums of those that have ended."""
_SUMMED = frozenset({"counter", "histogram"})
_CREATED = "_created"


class WorkerMetrics:
    """The metrics of a service in one of several processes.

    Parameters
    ----------
    folder
        Common to the processes.
    service
        Whose metrics they are.
    worker
        Number of this process, which none has that runs beside it.
    own
        Makes the exposition of this process.
    """

    def __init__(self, folder: Path, service: str, worker: int, own: Callable[[], bytes]) -> None:
        self._folder = folder
        self._service = service
        self._file = folder / f"{service}.{worker}"
        self._own = own
        self._lock = threading.Lock()
        self._fails = False

    def write(self) -> None:
        """Write what this process counts where the others read it; without the folder each tells of itself alone."""
        with self._lock:  # nobody reads less than what was told before
            self._write(self._own())

    def exposition(self) -> bytes:
        """Everything that the processes count.

        What is told of this one is written first: a sum that was told once is not fallen short of by another process.
        """
        with self._lock:
            own = self._own()
            if not self._write(own):
                return own
        try:
            with _locked(self._folder, fcntl.LOCK_SH):
                found = [
                    (path.suffix[1:], path.read_bytes()) for path in sorted(self._folder.glob(f"{self._service}.*"))
                ]
        except OSError as error:
            self._complain(error)
            return own
        return merged(found)

    def _write(self, exposition: bytes) -> bool:
        try:
            _replace(self._file, exposition)
        except OSError as error:
            self._complain(error)
            return False
        return True

    def _complain(self, error: OSError) -> None:
        if not self._fails:
            self._fails = True
            logger.warning("TMPDIR: metrics cannot be shared between workers (%s); each tells its own", error)


@contextmanager
def written(parts: Sequence[WorkerMetrics]) -> Iterator[None]:
    """Write metrics every second as long as the context lasts, and at its end."""
    is_over = threading.Event()

    def write_all() -> None:
        for part in parts:
            part.write()

    def go_on() -> None:
        while not is_over.wait(WRITE_SECONDS):
            write_all()

    thread = threading.Thread(target=go_on, name="worker-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        write_all()


def fold(folder: Path, worker: int) -> None:
    """Add the counts of a worker that has ended to those of the ones before it, and forget its state."""
    with _locked(folder, fcntl.LOCK_EX):
        for path in folder.glob(f"*.{worker}"):
            ended = path.with_suffix(f".{ENDED}")
            parts = [(ENDED, file.read_bytes()) for file in (ended, path) if file.exists()]
            _replace(ended, merged(parts, with_states=False))
            path.unlink()


def merged(parts: Iterable[tuple[str, bytes]], *, with_states: bool = True) -> bytes:
    """Expositions of several workers as one.

    Parameters
    ----------
    parts
        (number of the worker, exposition).
    with_states
        Whether what is no sum is told, too.
    """
    families: dict[str, _Family] = {}
    for worker, exposition in parts:
        for found in text_string_to_metric_families(exposition.decode()):
            family = families.setdefault(found.name, _Family(found))
            if family.is_sum or family.is_created:
                family.add(found.samples)
            elif with_states:
                family.label(found.samples, worker)
    registry = CollectorRegistry()
    registry.register(_Collected([family.metric() for family in families.values() if family.samples]))
    return generate_latest(registry)


class _Family:
    """The samples of a name, of several workers."""

    def __init__(self, found: Metric) -> None:
        self._found = found
        self.is_sum = found.type in _SUMMED
        self.is_created = found.name.endswith(_CREATED)
        self.samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def add(self, samples: Iterable[Sample]) -> None:
        """Add counts; of the moments when counting began, keep the first."""
        for sample in samples:
            key = (sample.name, tuple(sample.labels.items()))
            before = self.samples.get(key)
            if before is None:
                self.samples[key] = sample.value
            else:
                self.samples[key] = before + sample.value if self.is_sum else min(before, sample.value)

    def label(self, samples: Iterable[Sample], worker: str) -> None:
        """Keep the states of one worker beside those of the others."""
        for sample in samples:
            self.samples[sample.name, (*sample.labels.items(), ("worker", worker))] = sample.value

    def metric(self) -> Metric:
        """The family as the library writes it."""
        made = Metric(self._found.name, self._found.documentation, self._found.type)
        for (name, labels), value in self.samples.items():
            made.add_sample(name, dict(labels), value)
        return made


class _Collected(Collector):
    """Metrics that are known already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    """Read while nothing is folded, or fold while nobody reads: no count is missed or taken twice."""
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, kind)  # given back when the file is closed
        yield


def _replace(path: Path, content: bytes) -> None:
    """Write a file that nobody sees half of."""
    half = path.with_name(path.name.replace(".", "-"))  # the names that are looked for have a dot
    half.write_bytes(content)
    half.replace(path)
