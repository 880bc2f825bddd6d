"""The Docker engine of this machine, as a rollout uses it: a thin layer over its command-line client."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.rollout.errors import DeployError, RefusedError

LAST_LINES = "20"
"""Of a container's log, among which the cause of a failure is."""
LAST_ERRORS = 3
"""Of the client, which says what it was doing before it says what failed."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container of the project, as it is now.

    Parameters
    ----------
    id
        Its whole id.
    created
        When it was made (ISO 8601, UTC).
    image
        The reference that it was made from.
    image_id
        Of the image itself.
    status
        ``created``, ``running``, ``restarting``, ``exited`` or another word of the engine.
    health
        ``starting``, ``healthy`` or ``unhealthy``; None without a check.
    restarts
        How often it has ended and was started again.
    networks
        Addresses by the network's name.
    check
        The command of its health check; empty without one.
    """

    id: str
    created: str
    image: str
    image_id: str
    status: str
    health: str | None
    restarts: int
    networks: Mapping[str, str]
    check: tuple[str, ...]

    @property
    def serves(self) -> bool:
        """Whether it runs, and its check has not given up."""
        return self.status == "running" and self.health != "unhealthy"

    @property
    def failed(self) -> bool:
        """Whether it has ended, was started again because it had, or its check has given up."""
        return self.status in ("exited", "dead", "restarting") or self.restarts > 0 or self.health == "unhealthy"


@dataclass(frozen=True, slots=True)
class Project:
    """One project of Docker Compose.

    Parameters
    ----------
    name
        Of the project.
    file
        Its compose file; ``.env`` beside it is read too.
    """

    name: str
    file: Path

    def compose(self, *arguments: str) -> str:
        """Run Compose; its output.

        Raises
        ------
        DeployError
            With what it said last, if it fails.
        """
        done = _run("compose", "--project-name", self.name, "--file", str(self.file), *arguments)
        if done.returncode != 0:
            raise DeployError(f"docker compose {arguments[0]}: {_last_words(done)}")
        return done.stdout

    def containers(self, service: str) -> list[Container]:
        """The containers of a service, whatever their state, the oldest first.

        Raises
        ------
        RefusedError
            If the engine does not answer.
        """
        labels = {"project": self.name, "service": service, "oneoff": "False"}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        ids = docker("ps", "--all", "--quiet", "--no-trunc", *filters).split()
        return sorted((found for id_ in ids if (found := look_at(id_))), key=lambda one: one.created)


def docker(*arguments: str) -> str:
    """Run the client; its output.

    Raises
    ------
    RefusedError
        If the engine does not answer, or does not do it.
    """
    done = _run(*arguments)
    if done.returncode != 0:
        raise RefusedError(f"docker {arguments[0]}: {_last_words(done)}; start the engine, or correct what it names")
    return done.stdout


def look_at(id_: str) -> Container | None:
    """A container; None if it is gone."""
    done = _run("inspect", "--type", "container", id_)
    if done.returncode != 0:
        return None
    [found] = json.loads(done.stdout)
    return _container(found)


def digest_of_image(image_id: str, repository: str) -> str | None:
    """A reference by digest that a registry knows the image by, of the repository if there are several."""
    references: list[str] = json.loads(docker("image", "inspect", "--format", "{{json .RepoDigests}}", image_id)) or []
    own = [reference for reference in references if reference.partition("@")[0] == repository]
    return next(iter(own or references), None)


def is_healthy(container: Container) -> bool:
    """Whether it runs and its check is content now: the engine asks seldom, and for the first time after a while."""
    if container.status != "running":
        return False
    return not container.check or _run("exec", container.id, *container.check).returncode == 0


def last_words(container: Container) -> str:
    """What a container said last, on one line."""
    done = _run("logs", "--tail", LAST_LINES, container.id)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _container(found: Mapping[str, Any]) -> Container:
    state = found["State"]
    return Container(
        id=found["Id"],
        created=found["Created"],
        image=found["Config"]["Image"],
        image_id=found["Image"],
        status=state["Status"],
        health=state.get("Health", {}).get("Status"),
        restarts=found["RestartCount"],
        networks={name: one["IPAddress"] for name, one in found["NetworkSettings"]["Networks"].items()},
        check=_command((found["Config"].get("Healthcheck") or {}).get("Test") or []),
    )


def _command(test: Sequence[str]) -> tuple[str, ...]:
    match test:
        case ["CMD", *command]:
            return tuple(command)
        case ["CMD-SHELL", program]:
            return ("sh", "-c", program)
        case _:
            return ()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError as error:
        raise RefusedError(
            f"docker cannot be run ({error.strerror}); install Docker and its plug-in compose"
        ) from error


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines: Sequence[str] = done.stderr.strip().splitlines()
    return " / ".join(lines[-LAST_ERRORS:]) if lines else f"exit code {done.returncode}"
