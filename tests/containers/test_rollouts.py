"""Rollouts by the script that the workflow calls, under a client that asks all the time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from deploy.rollout.compose import VARIABLES
from deploy.rollout.errors import ExitCode
from tests.containers.images import PREFIX
from tests.containers.measured import NOISE, measure
from tests.containers.stack import Stack

REQUESTS = 2_000
ROLLBACK_SECONDS = 60.0
CLIENTS = 3
PAUSE_SECONDS = 0.03
"""Of a client after each answer: a rollout needs the machine, too."""
BROKEN = "ENV PYTHONPATH=/nowhere"
"""Every program of the platform is imported from elsewhere, and ends at once."""
BROKEN_HOST = "ENV PATH=/nowhere:/bin:/usr/bin"
"""Dagster's own programs are not found."""
CALCULATION = {"returns": {"values": [0.01, -0.02, 0.015, 0.003, -0.007] * 12}, "measures": ["sharpe_ratio"]}


@dataclass
class Asked:
    """What clients were answered while the context was open."""

    answers: Counter[str] = field(default_factory=Counter)
    refusals: int = 0
    """Answers that named a time to ask again after, as services do while Postgres has no core to answer with."""
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def count(self) -> int:
        """Requests so far."""
        return sum(self.answers.values())

    def add(self, what: str, failure: str | None) -> None:
        """Count an answer."""
        with self._lock:
            self.answers[what] += 1
            if failure is not None:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {what}: {failure}")


@contextmanager
def asking(stack: Stack) -> Iterator[Asked]:
    """Ask by several connections until the context is left and there were `REQUESTS`.

    A third of the requests is the gateway's own, one read is forwarded to the service of the risk engine, and one POST
    is computed there: nobody may send that one twice, so it must not be lost.
    """
    asked, ended = Asked(), threading.Event()
    threads = [threading.Thread(target=ask, args=(stack, asked, ended)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def ask(stack: Stack, asked: Asked, ended: threading.Event) -> None:
    """One client."""
    headers = {"Authorization": f"Bearer {stack.key}"}
    with httpx.Client(base_url=stack.url, headers=headers, trust_env=False, timeout=60) as client:
        requests = [
            ("gateway", client.build_request("GET", "/health")),
            ("read", client.build_request("GET", "/api/v1/portfolios")),
            ("computed", client.build_request("POST", "/api/v1/calculate", json=CALCULATION)),
        ]
        while not ended.is_set() or asked.count < REQUESTS:
            for what, request in requests:
                asked.add(what, failure_of(client, request, asked))
                time.sleep(PAUSE_SECONDS)


def failure_of(client: httpx.Client, request: httpx.Request, asked: Asked) -> str | None:
    """Send a request; once more if the answer says when, and it may be sent twice."""
    try:
        answer = client.send(request)
        if answer.status_code == 503 and "Retry-After" in answer.headers and request.method == "GET":
            asked.refusals += 1
            time.sleep(int(answer.headers["Retry-After"]))
            answer = client.send(request)
    except httpx.HTTPError as error:
        return repr(error)
    return None if answer.status_code == 200 else f"{answer.status_code} {answer.text[:300]}"


@pytest.fixture
def journal(tmp_path: Path) -> list[str]:
    """Where a rollout keeps its steps, as an option."""
    return ["--journal", str(tmp_path / "journal.json")]


def test_an_image_comes_back_from_the_registry_by_its_digest(stack: Stack) -> None:
    reference = pushed(stack, "backend-api", "LABEL pulled=again")
    docker = stack.engine.docker
    assert not stack.engine.has_image(reference)
    docker("pull", "--quiet", reference)
    assert docker("image", "inspect", "--format", '{{index .Config.Labels "pulled"}}', reference) == "again"


def test_what_serves_is_known_by_digest(stack: Stack) -> None:
    done, _ = stack.rollout("status")
    assert done.exit_code == 0, done.stderr
    for service, reference in stack.images.items():
        assert reference in done.stdout, service


def test_a_good_image_takes_over_without_a_lost_request(stack: Stack, journal: list[str]) -> None:
    images = {name: pushed(stack, name, "LABEL release=next") for name in ("python-risk-engine", "backend-api")}
    with asking(stack) as asked:
        done, _ = stack.rollout("run", *chosen(images), *journal)
    assert done.exit_code == ExitCode.DONE, done.stdout + done.stderr
    assert asked.count >= REQUESTS
    measure(f"rolling update of two services, failures of {asked.count:,} requests", len(asked.failures), 0, "failures")
    assert not asked.failures, "\n".join(asked.failures)
    for name, image in images.items():
        assert stack.images_of(name) == {image}
        assert f"{VARIABLES[name]}={image}" in (stack.file.parent / ".env").read_text()
    assert stack.images_of("python-risk-engine-location") == {images["python-risk-engine"]}
    assert stack.dagster.locations()["risk"] is None
    stack.images.update(images)


@pytest.mark.parametrize("service", ["python-risk-engine", "backend-api", "dagster-host"])
def test_a_broken_image_is_rolled_back_without_a_lost_request(stack: Stack, journal: list[str], service: str) -> None:
    broken = pushed(stack, service, BROKEN_HOST if service == "dagster-host" else BROKEN)
    with asking(stack) as asked:
        done, seconds = stack.rollout("run", *chosen({service: broken}), *journal)
    assert done.exit_code == ExitCode.ROLLED_BACK, done.stdout + done.stderr
    measure(f"broken image of {service}, detection and rollback", seconds, ROLLBACK_SECONDS, "s")
    assert seconds < NOISE * ROLLBACK_SECONDS
    assert not asked.failures, "\n".join(asked.failures)
    assert as_before(stack, service)


def test_an_image_that_fails_late_takes_those_before_it_back(stack: Stack, journal: list[str]) -> None:
    """The risk engine's is good and served already when the gateway's fails."""
    images = {
        "python-risk-engine": pushed(stack, "python-risk-engine", "LABEL release=after-next"),
        "backend-api": pushed(stack, "backend-api", BROKEN),
    }
    with asking(stack) as asked:
        done, _ = stack.rollout("run", *chosen(images), *journal)
    assert done.exit_code == ExitCode.ROLLED_BACK, done.stdout + done.stderr
    assert not asked.failures, "\n".join(asked.failures)
    for service in images:
        assert as_before(stack, service)
    assert stack.dagster.locations()["risk"] is None


def pushed(stack: Stack, service: str, *lines: str) -> str:
    """The image that the tests have built, with lines of a Dockerfile more and so another digest; its reference."""
    folder = stack.folder / "context"
    folder.mkdir(exist_ok=True)
    tag = f"{PREFIX}changed-{service}"
    made = [f"FROM {PREFIX}{service}", *lines, f"LABEL made={time.time_ns()}"]
    (folder / "Dockerfile").write_text("\n".join(made) + "\n")
    stack.engine.build(folder, tag)
    reference = stack.registry.push(tag, service)
    stack.engine.docker("rmi", tag)
    return reference


def chosen(images: dict[str, str]) -> list[str]:
    """Images as options."""
    return [f"--image={service}={reference}" for service, reference in images.items()]


def as_before(stack: Stack, service: str) -> bool:
    """Whether all that runs of a service is its last good image."""
    running = {found["Config"]["Image"] for found in stack.containers() if service in found["Config"]["Image"]}
    return running == {stack.images[service]}
