"""What the fake Render knows: its services, their deployments, and how each image behaves once it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import RLock

from deploy.rollout.services import LOCATIONS, PARTS, Part, Role

DEPLOY_SECONDS = 0.05
REGISTRY = "docker.io/acme"
PLATFORM_VERSION = "1.0.0"


def digest(number: int) -> str:
    """A digest to tell images by."""
    return f"sha256:{number:064x}"


def reference(service: str, number: int) -> str:
    """Reference by digest of a service's image."""
    return f"{REGISTRY}/{service}@{digest(number)}"


FIRST = 1
"""What every service runs in the beginning."""


@dataclass
class Behaviour:
    """How an image behaves.

    Parameters
    ----------
    outcome
        Status its deployments end with; ``hang`` for none.
    queued
        Whether its deployments are queued, and their ids not told.
    health, ready
        Status of ``/health`` and ``/health/ready``.
    error
        What keeps Dagster from loading its code location.
    stale_seconds
        How long the image before it goes on answering once it is live.
    run
        Status in which its runs end.
    version
        What ``/health`` gives.
    silent
        Whether its daemon sends no heartbeats.
    """

    outcome: str = "live"
    queued: bool = False
    health: int = 200
    ready: int = 200
    error: str | None = None
    stale_seconds: float = 0.0
    run: str = "SUCCESS"
    version: str = PLATFORM_VERSION
    silent: bool = False


@dataclass
class Fault:
    """Requests that fail: the next `times` whose method and path fit get `status`."""

    path: str
    status: int
    method: str = ""
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeDeploy:
    """One deployment; `shown` is what the container's environment says of its image."""

    id: str
    digest: str
    shown: str | None
    due: float
    status: str = "created"
    live_at: float = 0.0


@dataclass
class FakeService:
    """A service with its deployments, the newest last."""

    id: str
    part: Part
    variables: dict[str, str] = field(default_factory=dict)
    deploys: list[FakeDeploy] = field(default_factory=list)

    @property
    def repository(self) -> str:
        return f"{REGISTRY}/{self.part.service}"


class Platform:
    """All services of one environment; one lock round it, since requests come from several threads."""

    def __init__(self, environment: str) -> None:
        self.lock = RLock()
        self.environment = environment
        self.services = {part.name: FakeService(f"srv-{index:02d}", part) for index, part in enumerate(PARTS)}
        self.behaviours: dict[str, Behaviour] = {}
        self.faults: list[Fault] = []
        self.begun: list[tuple[str, str]] = []
        """Deployments in order: part and digest."""
        self.refused_from_second: set[str] = set()
        """Services (ids) that take one more deployment, and refuse those after it."""
        self.runs: dict[str, str] = {}
        for service in self.services.values():
            first = FakeDeploy(f"dep-{service.id}-0", digest(FIRST), None, 0.0, "live")
            first.shown = f"{service.repository}@{first.digest}"
            service.deploys.append(first)

    def behaviour(self, image_digest: str) -> Behaviour:
        return self.behaviours.get(image_digest, Behaviour())

    def begin(self, service: FakeService, image: str) -> FakeDeploy:
        shown = service.variables.get("DAGSTER_CURRENT_IMAGE")
        deploy = FakeDeploy(
            f"dep-{service.id}-{len(service.deploys)}",
            image.rpartition("@")[2],
            shown,
            time.monotonic() + DEPLOY_SECONDS,
        )
        service.deploys.append(deploy)
        self.begun.append((service.part.name, deploy.digest))
        return deploy

    def settle(self) -> None:
        """Let deployments go on that are due."""
        for service in self.services.values():
            for deploy in service.deploys:
                if deploy.status in ("created", "update_in_progress"):
                    self._advance(service, deploy)

    def _advance(self, service: FakeService, deploy: FakeDeploy) -> None:
        outcome = self.behaviour(deploy.digest).outcome
        if time.monotonic() < deploy.due or outcome == "hang":
            deploy.status = "update_in_progress"
            return
        deploy.status = outcome
        if outcome == "live":
            deploy.live_at = time.monotonic()
            for other in service.deploys:
                if other is not deploy and other.status == "live":
                    other.status = "deactivated"

    def live(self, service: FakeService) -> FakeDeploy:
        return next(deploy for deploy in reversed(service.deploys) if deploy.status == "live")

    def answering(self, service: FakeService) -> FakeDeploy:
        """The deployment whose container answers, which may still be the one before."""
        live = self.live(service)
        if time.monotonic() < live.live_at + self.behaviour(live.digest).stale_seconds:
            return next(
                deploy for deploy in reversed(service.deploys) if deploy is not live and deploy.status == "deactivated"
            )
        return live

    def serving(self) -> dict[str, str]:
        """Digest that each part serves."""
        return {name: self.live(service).digest for name, service in self.services.items()}

    def code_location(self, location: str) -> FakeService:
        name = next(service for service, found in LOCATIONS.items() if found == location)
        return self.services[Part(name, Role.LOCATION).name]
