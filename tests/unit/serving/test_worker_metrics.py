"""Metrics of several workers as those of one service."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from serving.observability import worker_metrics
from serving.observability.worker_metrics import WorkerMetrics, fold, merged, written


class Process:
    """A process that counts."""

    def __init__(self, folder: Path, worker: int, service: str = "backend-api") -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("requests", "Requests.", ["route"], registry=self.registry)
        self.seconds = Histogram("seconds", "Seconds.", buckets=(1.0, 2.0), registry=self.registry)
        self.memory = Gauge("memory_bytes", "Memory.", registry=self.registry)
        self.metrics = WorkerMetrics(folder, service, worker, lambda: generate_latest(self.registry))

    def works(self, requests: int, route: str = "/", seconds: float = 0.5) -> None:
        self.requests.labels(route).inc(requests)
        self.seconds.observe(seconds)
        self.memory.set(100 * requests)


def samples(exposition: bytes) -> dict[tuple[str, ...], float]:
    """Values by name and values of labels."""
    families = list(text_string_to_metric_families(exposition.decode()))
    assert len({family.name for family in families}) == len(families)
    found = [sample for family in families for sample in family.samples]
    by_key = {(sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value for sample in found}
    assert len(by_key) == len(found)
    return by_key


def test_counts_are_summed_and_states_are_told_of_each(tmp_path: Path) -> None:
    one, other = Process(tmp_path, 1), Process(tmp_path, 2)
    one.works(3)
    other.works(4, seconds=1.5)
    other.works(5, "/other", seconds=9.0)
    other.metrics.write()
    found = samples(one.metrics.exposition())
    assert (found["requests_total", "/"], found["requests_total", "/other"]) == (7, 5)
    assert [found["seconds_bucket", bound] for bound in ("1.0", "2.0", "+Inf")] == [1, 2, 3]
    assert (found["seconds_count",], found["seconds_sum",]) == (3, 11.0)
    assert (found["memory_bytes", "1"], found["memory_bytes", "2"]) == (300, 500)
    assert ("memory_bytes",) not in found
    assert found["seconds_created",] == samples(generate_latest(one.registry))["seconds_created",]
    assert samples(other.metrics.exposition()) == found


def test_what_was_told_once_is_known_to_the_others(tmp_path: Path) -> None:
    one, other = Process(tmp_path, 1), Process(tmp_path, 2)
    one.works(3)
    assert samples(one.metrics.exposition())["requests_total", "/"] == 3
    assert samples(other.metrics.exposition())["requests_total", "/"] == 3


def test_those_that_have_ended_count_and_have_no_state(tmp_path: Path) -> None:
    for requests in (3, 4):
        ended = Process(tmp_path, 1)
        ended.works(requests)
        with written([ended.metrics]):
            ended.works(requests)
        fold(tmp_path, 1)
    fold(tmp_path, 1)  # nothing is counted twice
    new = Process(tmp_path, 1)
    new.works(1)
    found = samples(new.metrics.exposition())
    assert found["requests_total", "/"] == 2 * 3 + 2 * 4 + 1
    assert found["seconds_count",] == 5
    assert [key for key in found if key[0] == "memory_bytes"] == [("memory_bytes", "1")]


def test_services_do_not_mix(tmp_path: Path) -> None:
    one, other = Process(tmp_path, 1), Process(tmp_path, 1, "python-risk-engine")
    one.works(3)
    other.works(4)
    one.metrics.write()
    other.metrics.write()
    fold(tmp_path, 1)
    for service, requests in (("backend-api", 3), ("python-risk-engine", 4)):
        assert samples(Process(tmp_path, 2, service).metrics.exposition())["requests_total", "/"] == requests


def test_what_a_killed_process_left_half_written_is_passed_over(tmp_path: Path) -> None:
    one = Process(tmp_path, 1)
    one.works(3)
    one.metrics.write()
    (tmp_path / "backend-api-2").write_bytes(b"# HELP requests_total Requ")
    fold(tmp_path, 2)
    assert samples(one.metrics.exposition())["requests_total", "/"] == 3


def test_they_are_written_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_metrics, "WRITE_SECONDS", 0.01)
    one, other = Process(tmp_path, 1), Process(tmp_path, 2)
    with written([one.metrics]):
        one.works(3)
        is_known = threading.Event()
        for _ in range(1_000):
            if samples(other.metrics.exposition()).get(("requests_total", "/")) == 3:
                is_known.set()
                break
            is_known.wait(0.01)
        assert is_known.is_set()


def test_without_the_folder_each_tells_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = Process(tmp_path / "gone", 1)
    one.works(3)
    for _ in range(2):
        one.metrics.write()
        assert one.metrics.exposition() == generate_latest(one.registry)
    assert [record.getMessage()[:45] for record in caplog.records] == ["TMPDIR: metrics cannot be shared between work"]


def test_sums_never_fall_while_processes_end(tmp_path: Path) -> None:
    teller = Process(tmp_path, 1)
    told: list[float] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            told.append(samples(teller.metrics.exposition()).get(("requests_total", "/"), 0.0))

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(50):
        process = Process(tmp_path, 2)
        process.works(10)
        process.metrics.write()
        fold(tmp_path, 2)
    is_over.set()
    thread.join()
    assert told == sorted(told)
    assert samples(teller.metrics.exposition())["requests_total", "/"] == 500


def test_an_exposition_of_one_is_kept_as_it_is() -> None:
    registry = CollectorRegistry()
    Counter("odd", 'A "quoted" help\\nof two lines.', ["route"], registry=registry).labels('a"b\n\\c').inc()
    assert merged([("1", generate_latest(registry))]) == generate_latest(registry)
