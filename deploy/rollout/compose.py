"""A rollout on one machine by Docker Compose: a part's new container starts beside the old one, which then ends.

While both run, both have the part's name in the networks. Whoever asks by that name finds either, and the other where
one no longer accepts; the old one answers what it has accepted before it ends (`serving.server`). Dagster's daemon
alone is ended first: two of them would start runs twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from deploy.rollout import engine
from deploy.rollout.engine import Container, Project
from deploy.rollout.errors import DeployError, RefusedError
from deploy.rollout.services import ORDER, Part, Role
from deploy.rollout.targets import Addresses

VARIABLES = {
    "market-data-ingestion": "MARKET_DATA_IMAGE",
    "python-risk-engine": "RISK_ENGINE_IMAGE",
    "portfolio-simulation": "PORTFOLIO_SIMULATION_IMAGE",
    "ai-microservice-engine": "AI_ENGINE_IMAGE",
    "backend-api": "BACKEND_API_IMAGE",
    "dagster-host": "DAGSTER_HOST_IMAGE",
}
"""What compose.yaml calls the image of each service."""
PORTS = {
    "market-data-ingestion": 8002,
    "python-risk-engine": 8000,
    "portfolio-simulation": 8001,
    "ai-microservice-engine": 8003,
    "backend-api": 3000,
}
API_NETWORK = "api"
"""In which the HTTP services are."""
EDGE, EDGE_PORT = "edge", "3000"
"""The service that leads to Dagster's webserver, below ``/dagster``, whoever it lets in (`ROLLOUT_TOKEN`)."""
MIGRATING = Part(ORDER[0], Role.LOCATION)
"""Before this part, the first of all, the schema is brought to the new image's version."""
SCHEMA_IS_NEWER = "which this version does not know"
"""How `pipeline.store.migrating` words it (a test holds the two together)."""
POLL_SECONDS = 0.5


class ComposeTarget:
    """The parts as services of a Compose project on this machine's engine.

    The images are kept in ``.env`` beside the compose file, so that ``docker compose up`` by hand keeps them too.

    Parameters
    ----------
    environment
        Name of the project.
    compose_file
        ``deploy/compose.yaml``.
    addresses
        Where gates ask instead of the containers' own addresses, by service, or ``dagster``.
    """

    def __init__(self, environment: str, compose_file: Path, addresses: Mapping[str, str]) -> None:
        if not compose_file.is_file():
            raise RefusedError(f"--compose-file: there is no {compose_file}; name the project's compose file")
        self._project = Project(environment, compose_file)
        self._images = compose_file.with_name(".env")
        self._given = addresses

    @property
    def name(self) -> str:
        """Kind and project."""
        return f"compose:{self._project.name}"

    def live_image(self, part: Part) -> str | None:
        """The image of the container that has served longest, by digest; one whose check has given up serves last.

        Raises
        ------
        RefusedError
            If the engine does not answer, or no registry knows the image: it could not be restored.
        """
        running = [found for found in self._project.containers(part.name) if found.status == "running"]
        if not running:
            return None
        found = min(running, key=lambda one: not one.serves)
        image = found.image
        if "@" not in image:
            repository = image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image
            known = engine.digest_of_image(found.image_id, repository)
            if known is None:
                raise RefusedError(
                    f"{part.name}: it runs {image}, which no registry knows, so that it could not be restored; push it,"
                    f" and start it by digest ({VARIABLES[part.service]} in {self._images})"
                )
            image = known
        return image

    def deploy(self, part: Part, image: str) -> str:
        """Start a container of the image beside those that run; its id.

        One that already serves this image is taken as it is: what failed has not yet taken its place.

        Raises
        ------
        DeployError
            If the image cannot be pulled, the schema not be migrated, or the container not be started.
        """
        self._keep(part.service, image)
        before = self._project.containers(part.name)
        for found in before:
            if found.serves and found.image == image and part.role is not Role.DAEMON:
                return found.id
        self._pull(image)
        if part == MIGRATING:
            self._migrate()
        if part.role is Role.DAEMON:
            self._end(before)
            before = []
        scale = f"{part.name}={len(before) + 1}"
        self._project.compose("up", "--detach", "--no-deps", "--no-recreate", "--scale", scale, part.name)
        known = {found.id for found in before}
        fresh = [found for found in self._project.containers(part.name) if found.id not in known]
        if len(fresh) != 1:
            raise DeployError(f"{part.name}: {len(fresh)} containers were started, not one; see docker compose ps")
        return fresh[0].id

    def wait(self, part: Part, deployment: str, deadline: float) -> None:
        """Return once the container is healthy and no other one of the part is left.

        Raises
        ------
        DeployError
            If it ends, its check gives up, or it is not healthy in time: it is removed then, and the others stay.
        """
        while True:
            found = engine.look_at(deployment)
            if found is None:
                raise DeployError(f"{part.name}: container {deployment[:12]} is gone; somebody removed it")
            if not found.failed and engine.is_healthy(found):
                break
            if found.failed or time.monotonic() > deadline:
                cause = f"{part.name}: {_state(found)}: {engine.last_words(found)}"
                self._end([found])
                raise DeployError(cause)
            time.sleep(POLL_SECONDS)
        self._end([other for other in self._project.containers(part.name) if other.id != deployment])

    def addresses(self) -> Addresses:
        """The containers' own addresses, looked up at each question, and Dagster's behind the edge."""
        dagster = self._given.get("dagster") or self._dagster()
        return Addresses(_Addresses(self._project, self._given), dagster)

    def _dagster(self) -> str:
        edges = self._project.containers(EDGE)
        if not edges:
            raise RefusedError(
                "dagster: its address is not known, as no edge runs; start it, or give --address dagster="
            )
        published = engine.docker("port", edges[0].id, EDGE_PORT).splitlines()[0]
        return f"http://{published.replace('0.0.0.0', '127.0.0.1')}/dagster"  # noqa: S104 - an address that is read

    def _migrate(self) -> None:
        """Bring the schema to the image's version. A newer one stays: former code runs on it (ADR 0018)."""
        try:
            self._project.compose("run", "--rm", "--no-deps", "--no-TTY", "migrate")
        except DeployError as error:
            if SCHEMA_IS_NEWER not in str(error):
                raise

    def _pull(self, image: str) -> None:
        try:
            engine.docker("pull", "--quiet", image)
        except RefusedError as error:
            raise DeployError(str(error)) from error

    def _end(self, containers: list[Container]) -> None:
        """End containers with the time that compose.yaml gives them, and remove them."""
        for found in containers:
            with suppress(RefusedError):  # it is gone already
                engine.docker("stop", found.id)
            with suppress(RefusedError):
                engine.docker("rm", "--force", found.id)

    def _keep(self, service: str, image: str) -> None:
        """Write the image to ``.env``, whose other lines stay."""
        variable = VARIABLES[service]
        lines = self._images.read_text().splitlines() if self._images.exists() else []
        others = [line for line in lines if not line.startswith(f"{variable}=")]
        fresh = self._images.with_suffix(".new")
        fresh.write_text("\n".join([*others, f"{variable}={image}", ""]))
        if self._images.exists():
            fresh.chmod(self._images.stat().st_mode)
        fresh.replace(self._images)


class _Addresses(Mapping[str, str]):
    """Where the HTTP services are now: each container has another address."""

    def __init__(self, project: Project, given: Mapping[str, str]) -> None:
        self._project = project
        self._given = given

    def __getitem__(self, service: str) -> str:
        if service in self._given:
            return self._given[service]
        network = f"{self._project.name}_{API_NETWORK}"
        serving = [found for found in self._project.containers(service) if found.serves]
        if not serving:
            return f"http://127.0.0.1:{PORTS[service]}"  # nothing runs, and nothing listens there: a gate says so
        return f"http://{serving[-1].networks[network]}:{PORTS[service]}"

    def __iter__(self) -> Iterator[str]:
        return iter(PORTS)

    def __len__(self) -> int:
        return len(PORTS)


def _state(found: Container) -> str:
    if found.restarts or found.status != "running":
        return f"the new container has ended ({found.status}, started again {found.restarts} times)"
    return f"the new container is {found.health or found.status}, not healthy"
