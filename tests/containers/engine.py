"""The engine as the tests use it: a thin layer over its command-line client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base.settings import inherited_environment

BUILD_SECONDS = 1800
COMMAND_SECONDS = 300
HEALTHY_SECONDS = 300
LAST_CLIENT_WITH_BUILDKIT_INSIDE = 22
"""Later ones build through the plug-in buildx alone."""

HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
"""How a cluster runs the images: nothing can be written but /tmp, and no right can be gained."""
DAGSTER_STORAGE = ("--tmpfs", "/opt/dagster/home/storage")


class EngineError(Exception):
    """The engine, or the command in a container, failed."""


class EngineMissingError(Exception):
    """There is no engine that could build; says why and what helps."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A container that has ended."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Container:
    """A container that runs."""

    engine: Engine
    id: str

    def inspect(self) -> dict[str, Any]:
        """What the engine knows of it."""
        return dict(json.loads(self.engine.docker("inspect", self.id))[0])

    def logs(self) -> str:
        """All that it has said."""
        return self.engine.run("logs", self.id, both=True).stdout

    def url(self, port: int) -> str:
        """Address of a port that was published on loopback."""
        return f"http://{self.engine.docker('port', self.id, str(port)).splitlines()[0]}"

    def execute(self, *command: str) -> Finished:
        """Run a command inside."""
        return self.engine.run("exec", self.id, *command)

    def wait_until_healthy(self) -> Container:
        """Wait for the image's own health check."""
        deadline = time.monotonic() + HEALTHY_SECONDS
        while (state := self.inspect()["State"])["Health"]["Status"] != "healthy":
            if not state["Running"] or time.monotonic() > deadline:
                probes = [probe["Output"] for probe in state["Health"]["Log"][-2:]]
                raise EngineError(f"{state['Status']}, not healthy: {probes}\n{self.logs()[-4000:]}")
            time.sleep(0.2)
        return self

    def wait_until_ended(self) -> int:
        """Its exit code."""
        return int(self.engine.docker("wait", self.id))


@dataclass(frozen=True, slots=True)
class Engine:
    """A client that reaches an engine and can build with BuildKit."""

    client: str

    def run(self, *arguments: str, seconds: float = COMMAND_SECONDS, both: bool = False) -> Finished:
        """Run the client; ``both`` puts stderr into stdout."""
        done = subprocess.run(
            [self.client, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if both else subprocess.PIPE,
            text=True,
            check=False,
            timeout=seconds,
            env={**inherited_environment(), "DOCKER_BUILDKIT": "1"},
        )
        return Finished(done.returncode, done.stdout, done.stderr or "")

    def docker(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> str:
        """Run the client; its output. `EngineError` if it fails."""
        done = self.run(*arguments, seconds=seconds)
        if done.exit_code != 0:
            raise EngineError(f"docker {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
        return done.stdout.strip()

    def has_image(self, tag: str) -> bool:
        """Whether the image is here without asking a registry."""
        return self.run("image", "inspect", tag).exit_code == 0

    def command_of(self, tag: str) -> list[str]:
        """What an image runs if nothing else is asked for."""
        return list(json.loads(self.docker("image", "inspect", "--format", "{{json .Config.Cmd}}", tag)))

    def build(self, context: Path, tag: str, *options: str) -> None:
        """Build an image; layers that have not changed are taken as they are."""
        self.docker("build", "--tag", tag, *options, str(context), seconds=BUILD_SECONDS)

    def once(self, image: str, *command: str, options: Sequence[str] = HARDENED) -> Finished:
        """Run a command in a container of its own."""
        return self.run("run", "--rm", *options, image, *command)

    @contextmanager
    def container(
        self,
        image: str,
        *command: str,
        network: str,
        alias: str,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (*HARDENED, *DAGSTER_STORAGE),
        publish: int | None = None,
    ) -> Iterator[Container]:
        """A container that runs until the end of the context."""
        variables = [f"--env={name}={value}" for name, value in (environment or {}).items()]
        # The images' own interval is longer; each probe starts a Python, which a dozen containers would feel.
        flags = ["--detach", "--health-interval=4s", "--network", network, "--network-alias", alias, *options]
        flags += [f"--publish=127.0.0.1::{publish}"] if publish else []
        found = Container(self, self.docker("run", *flags, *variables, image, *command))
        try:
            yield found
        finally:
            self.docker("rm", "--force", "--volumes", found.id)

    @contextmanager
    def network(self) -> Iterator[str]:
        """A network of its own."""
        name = f"fintech-tests-{uuid.uuid4().hex[:8]}"
        self.docker("network", "create", name)
        try:
            yield name
        finally:
            self.docker("network", "rm", name)


def find_engine() -> Engine:
    """The first client on the PATH that reaches an engine and can build.

    Raises
    ------
    EngineMissingError
        With the reason and the remedy.
    """
    paths = [shutil.which("docker", path=folder) for folder in os.get_exec_path()]
    engines = [Engine(path) for path in dict.fromkeys(paths) if path]
    if not engines:
        raise EngineMissingError("no docker client is on the PATH: run deploy/scripts/ensure-docker.sh, or install one")
    reached = [engine for engine in engines if engine.run("version").exit_code == 0]
    if not reached:
        reason = engines[0].run("version").stderr.strip().splitlines()[-1]
        raise EngineMissingError(f"no engine answers ({reason}): run deploy/scripts/ensure-docker.sh, or start one")
    for engine in reached:
        if engine.run("buildx", "version").exit_code == 0 or _major(engine) <= LAST_CLIENT_WITH_BUILDKIT_INSIDE:
            return engine
    raise EngineMissingError("the docker client has no BuildKit: install its plug-in buildx (Debian: docker.io does)")


def _major(engine: Engine) -> int:
    return int(engine.docker("version", "--format", "{{.Client.Version}}").split(".")[0])
