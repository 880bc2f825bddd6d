"""Images built once, a Postgres 18 beside them, and the whole platform as containers.

The official Postgres image may be out of reach, so the server is the one that `make run` embeds: the same locked
wheel in an image of the tests' own (postgres.Dockerfile). Without an engine, or a base image, the tests are skipped
with the reason.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.settings import PROJECT_ROOT
from tests.containers.engine import (
    DAGSTER_STORAGE,
    HARDENED,
    Container,
    Engine,
    EngineError,
    EngineMissingError,
    find_engine,
)
from tests.containers.images import BACKEND_API, DAGSTER_HOST, DOMAIN_IMAGES, IMAGES, POSTGRES
from tests.containers.measured import FOUND
from tests.containers.registry import Registry, running_registry
from tests.containers.stack import STANDINS, Stack, running_stack

ADDRESS = "postgresql://fintech:container-tests@postgres:5432/fintech"
SERVICE_KEY = "key-of-the-container-tests"
POSTGRES_PORT = 5432
UNPROBED = (*HARDENED, *DAGSTER_STORAGE, "--health-interval=1h")
"""Of the daemon, which answers nobody: the webserver knows of its heartbeats."""
ENVIRONMENT = {
    "FINTECH_ENV": "production",
    "DATABASE_URL": ADDRESS,
    "DAGSTER_DATABASE_URL": f"{ADDRESS}_dagster".replace("postgresql:", "postgresql+psycopg2:"),
    "JWT_SECRET": "secret-of-the-container-tests-of-32-bytes",
    "SERVICE_API_KEY": SERVICE_KEY,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put last what needs the whole project, whose twenty containers stay up and want the machine to themselves."""
    items.sort(key=lambda item: "stack" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What .dockerignore lets in, as it is now: an edit meanwhile must not come into some of the images only."""
    copy = tmp_path_factory.mktemp("sources")
    lines = (PROJECT_ROOT / ".dockerignore").read_text().splitlines()
    for name in {"Dockerfile", ".dockerignore"} | {line[1:].split("/")[0] for line in lines if line.startswith("!")}:
        found = PROJECT_ROOT / name
        if found.is_dir():
            shutil.copytree(found, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(found, copy / name)
    return copy


@pytest.fixture(scope="session")
def engine(sources: Path) -> Engine:
    """An engine with every image built from the sources."""
    try:
        found = find_engine()
    except EngineMissingError as error:
        pytest.skip(str(error))
    base = base_image(sources)
    base_is_here = found.has_image(base)
    postgres = str(PROJECT_ROOT / "tests/containers/postgres.Dockerfile")
    try:
        found.build(sources / "requirements", POSTGRES, "--file", postgres, "--build-arg", f"PYTHON_IMAGE={base}")
    except EngineError as error:
        if base_is_here or base not in str(error):
            raise
        reason = str(error).splitlines()[-1]
        pytest.skip(f"{base} is not here and cannot be pulled: load or import an image of that name ({reason})")
    for image in IMAGES:
        found.build(sources, image.tag, "--target", image.name)
    return found


def base_image(sources: Path) -> str:
    """The image that the Dockerfile begins with."""
    found = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", (sources / "Dockerfile").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.fixture(scope="session")
def bare_network(engine: Engine) -> Iterator[str]:
    """A network, and nothing in it."""
    with engine.network() as name:
        yield name


@pytest.fixture(scope="session")
def postgres(engine: Engine, bare_network: str) -> Iterator[Container]:
    """A Postgres, ``postgres`` in the network, and within reach of the tests themselves."""
    with engine.container(
        POSTGRES, network=bare_network, alias="postgres", options=(), publish=POSTGRES_PORT
    ) as container:
        yield container.wait_until_healthy()


@pytest.fixture(scope="session")
def network(engine: Engine, bare_network: str, postgres: Container) -> str:
    """The network with the Postgres, whose databases were made by an image's own ``fintech migrate``."""
    migrate_inside(engine, bare_network, ENVIRONMENT)
    return bare_network


def migrate_inside(engine: Engine, network: str, environment: dict[str, str]) -> None:
    """Make the databases of an environment, or bring them up to date."""
    options = (*HARDENED, "--network", network, *as_options(environment))
    migrated = engine.once(DOMAIN_IMAGES[1].tag, "fintech", "migrate", options=options)
    assert migrated.exit_code == 0, migrated.stderr


@dataclass(frozen=True, slots=True)
class Platform:
    """All containers of the platform."""

    locations: dict[str, Container]
    webserver: Container
    api: Container


@pytest.fixture(scope="module")
def platform(engine: Engine, network: str) -> Iterator[Platform]:
    """The four code locations, Dagster's webserver and daemon, and the API; each healthy by its own check."""
    with ExitStack() as stack:

        def start(tag: str, alias: str, *command: str, **others: Any) -> Container:
            return stack.enter_context(
                engine.container(tag, *command, network=network, alias=alias, environment=ENVIRONMENT, **others)
            )

        locations = {image.name: start(image.tag, image.name) for image in DOMAIN_IMAGES}
        for location in locations.values():
            location.wait_until_healthy()
        webserver = start(DAGSTER_HOST.tag, DAGSTER_HOST.name, publish=DAGSTER_HOST.port)
        start(DAGSTER_HOST.tag, "dagster-daemon", "dagster-daemon", "run", options=UNPROBED)
        api = start(BACKEND_API.tag, BACKEND_API.name, publish=BACKEND_API.port)
        yield Platform(locations, webserver.wait_until_healthy(), api.wait_until_healthy())


@pytest.fixture(scope="session")
def registry(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry on loopback."""
    try:
        with running_registry(engine, tmp_path_factory.mktemp("registry")) as found:
            yield found
    except EngineMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def stack(
    engine: Engine, sources: Path, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The project of deploy/compose.yaml, up and healthy, from images that were pushed and pulled."""
    if engine.run("compose", "version").exit_code != 0:
        pytest.skip("docker compose is missing: run deploy/scripts/ensure-docker.sh, or install the plug-in")
    context = tmp_path_factory.mktemp("standins")
    here = PROJECT_ROOT / "tests/containers"
    shutil.copy2(sources / "requirements/run.lock", context)
    shutil.copy2(here / "postgres-entrypoint.sh", context)
    base = f"PYTHON_IMAGE={base_image(sources)}"
    for name, tag in STANDINS.items():
        file = str(here / "standins.Dockerfile")
        engine.build(context, tag, "--file", file, "--target", name, "--build-arg", base)
    with running_stack(engine, registry, tmp_path_factory.mktemp("stack")) as found:
        yield found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    for measured in FOUND:
        terminalreporter.write_line(measured.line)


def as_options(variables: dict[str, str]) -> list[str]:
    """Variables as flags of ``docker run``."""
    return [f"--env={name}={value}" for name, value in variables.items()]
