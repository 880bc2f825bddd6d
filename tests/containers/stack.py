"""The platform as deploy/compose.yaml runs it: a project of its own, from images in a registry on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg

from deploy.rollout.compose import VARIABLES
from pipeline.base.settings import PROJECT_ROOT, inherited_environment
from tests.containers.dagster_api import DagsterApi
from tests.containers.engine import Engine, Finished
from tests.containers.images import IMAGES, PREFIX
from tests.containers.registry import Registry

STANDINS = {name: f"{PREFIX}compose-{name}" for name in ("postgres", "valkey", "edge")}
"""In place of the official images of compose.yaml (standins.Dockerfile)."""
UP_SECONDS = 600
OPERATOR = "otto@example.com"


@dataclass(frozen=True)
class Stack:
    """A project that is up.

    Parameters
    ----------
    folder
        With a copy of ``deploy/``, its ``.env`` and its secrets.
    images
        What each service was started from, by digest.
    """

    engine: Engine
    registry: Registry
    name: str
    folder: Path
    images: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The compose file."""
        return self.folder / "deploy" / "compose.yaml"

    def compose(self, *arguments: str, seconds: float = UP_SECONDS) -> str:
        """Run Compose on the project; its output."""
        return self.engine.docker(
            "compose", "--project-name", self.name, "--file", str(self.file), *arguments, seconds=seconds
        )

    def secret(self, name: str) -> str:
        """A secret of the project."""
        return (self.file.parent / "compose" / "secrets" / name).read_text()

    def containers(self, service: str | None = None) -> list[dict[str, Any]]:
        """What the engine knows of the project's containers, or of a service's."""
        filters = [f"--filter=label=com.docker.compose.project={self.name}"]
        filters += [f"--filter=label=com.docker.compose.service={service}"] if service else []
        return self._inspected(filters)

    def run_containers(self, run_id: str) -> list[dict[str, Any]]:
        """The containers that a run has, which are none of Compose's."""
        return self._inspected([f"--filter=label=dagster/run_id={run_id}"])

    def _inspected(self, filters: list[str]) -> list[dict[str, Any]]:
        ids = self.engine.docker("ps", "--all", "--quiet", *filters).split()
        done = self.engine.run("inspect", *ids) if ids else Finished(0, "[]", "")
        return list(json.loads(done.stdout))  # those that have gone meanwhile are left out

    def execute(self, service: str, *command: str) -> str:
        """Run a command in a service's container, with its secrets; its output."""
        return self.compose("exec", "--no-TTY", service, "sh", "/with-secrets.sh", *command)

    @cached_property
    def url(self) -> str:
        """Address of the edge."""
        return f"http://{self.compose('port', 'edge', '3000').strip()}"

    @cached_property
    def key(self) -> str:
        """An API key of an operator."""
        self.execute("backend-api", "fintech", "users", "add", OPERATOR, "--role", "operator", "--generate")
        scopes = [f"--scope={scope}" for scope in ("read", "compute", "instruments")]
        said = self.execute("backend-api", "fintech", "keys", "add", OPERATOR, "--name", "tests", *scopes)
        return said.split()[-1]

    @cached_property
    def dagster(self) -> DagsterApi:
        """Dagster behind the edge, as an operator."""
        return DagsterApi(f"{self.url}/dagster", {"Authorization": f"Bearer {self.key}"})

    @property
    def database_url(self) -> str:
        """The application's database, from here."""
        [postgres] = self.containers("postgres")
        address = next(iter(postgres["NetworkSettings"]["Networks"].values()))["IPAddress"]
        return self.secret("DATABASE_URL").replace("@postgres:", f"@{address}:")

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the application's database."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(sql, values).fetchall()

    def rollout(self, *arguments: str) -> tuple[Finished, float]:
        """Run the deployer as the workflow does; what it said, and how long it took in seconds."""
        command = [str(PROJECT_ROOT / ".venv/bin/python"), "-m", "deploy.rollout", *arguments]
        options = ["--target", "compose", "--environment", self.name, "--compose-file", str(self.file)]
        began = time.monotonic()
        done = subprocess.run(
            [*command, *options],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=UP_SECONDS,
            env={**inherited_environment(), "ROLLOUT_TOKEN": self.key},
        )
        return Finished(done.returncode, done.stdout, done.stderr), time.monotonic() - began

    def images_of(self, service: str) -> set[str]:
        """What the containers of a service run."""
        return {found["Config"]["Image"] for found in self.containers(service)}


@contextmanager
def running_stack(engine: Engine, registry: Registry, folder: Path) -> Iterator[Stack]:
    """Bring the whole project up, every health check green, and take it down with all that it has."""
    images = {image.name: registry.push(image.tag, image.name) for image in IMAGES}
    stack = Stack(engine, registry, f"fintech-tests-{os.getpid()}", folder, images)
    shutil.copytree(PROJECT_ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("__pycache__", "secrets"))
    subprocess.run([folder / "deploy/compose/make-secrets.sh"], check=True)
    variables = {
        **{VARIABLES[name]: reference for name, reference in images.items()},
        **{f"{name.upper()}_IMAGE": tag for name, tag in STANDINS.items()},
        "EDGE_PORT": "0",
        "FINTECH_RATE_LIMIT": "none",
        "PROBE_INTERVAL": "10s",
        "DOCKER_GID": str(Path("/var/run/docker.sock").stat().st_gid),
    }
    (folder / "deploy/.env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    try:
        stack.compose("up", "--detach", "--wait", "--wait-timeout", str(UP_SECONDS))
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout", "20")
