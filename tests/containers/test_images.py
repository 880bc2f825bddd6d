"""What is in the images, and what is not."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.containers.conftest import base_image
from tests.containers.engine import HARDENED, Engine, EngineError
from tests.containers.images import (
    BACKEND_API,
    BAR_MEGABYTES,
    DAGSTER_HOST,
    DOMAIN_IMAGES,
    GROWTH,
    IMAGES,
    PREFIX,
    SERVICE_IMAGES,
    WITH_KERNELS,
    Image,
)
from tests.containers.measured import measure

each_image = pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)

FIRST_SIMULATION_SECONDS = 6.0
"""Of a core; 14 when it is compiled first."""
LABEL = "org.opencontainers.image."
# What Python finds, and what lies about as files: run inside, so without anything but the standard library.
FOUND = """
import json, sys
from importlib.util import find_spec
print(json.dumps([name for name in sys.argv[1:] if find_spec(name)]))
"""
INSTALLED = """
from importlib.metadata import distributions
print(*(f"{found.name}=={found.version}" for found in distributions(path=["/opt/app/lib/python3.12/site-packages"])))
"""
LOADED = """
import ctypes, pathlib
loaded = 0
failures = []
for path in pathlib.Path("/opt/app/lib").rglob("*.so*"):
    try:
        ctypes.CDLL(str(path))
        loaded += 1
    except OSError as error:
        failures.append(f"{path}: {error}")
print(loaded, *failures, sep="\\n")
"""
LIBPQ = """
import psycopg2.extensions as old, psycopg.pq as new
print(old.libpq_version() == new.version())
"""
COMPUTED = """
import time
import numpy as np
from pipeline.simulation.run import SimulationSpec, simulate
from pipeline.simulation.strategies.catalogue import STRATEGIES
from pipeline.simulation.strategies.spec import StrategySpec
from pipeline.simulation.strategies.walking import walk_forward
from pipeline.simulation.strategies.weighing import weigh

returns = 0.01 * np.random.default_rng(1).standard_normal((600, 4))
for name in STRATEGIES:
    weighing = weigh(name, returns, StrategySpec())
    assert weighing.method == name, weighing
close = np.cumprod(1.0 + returns, axis=0)
sessions = np.datetime64("2020-01-01") + np.arange(len(close))
set_on = np.array(["2021-01-31"], dtype="datetime64[D]")
assert walk_forward(close, sessions, set_on, weighing.weights[None], 0.001).nav[-1] > 0.0
begun = time.process_time()
simulate(returns[:, 0], SimulationSpec(paths=100, fit_window_sessions=500), 1)
print(time.process_time() - begun)
"""
LEFT_OVER = r"""
find /opt /home /mnt /srv \( -name tests -o -name '*.whl' -o -path '/mnt/*' -o -name .env -o -name .git \) -print
for tool in pip uv gcc make git hatchling; do command -v "$tool"; done
true
"""


@each_image
def test_runs_without_root_on_a_read_only_file_system(engine: Engine, image: Image) -> None:
    program = "id -u; touch /tmp/a && echo tmp; touch /opt/a /opt/app/a /opt/fintech/a /home/app/a /opt/dagster/home/a"
    done = engine.once(image.tag, "sh", "-c", program)
    assert done.stdout.split() == ["10001", "tmp"]
    assert done.stderr.count("Read-only file system") == 5


@each_image
def test_its_user_cannot_change_the_code(engine: Engine, image: Image) -> None:
    program = "find / -xdev -writable -not -type l -not -path '/proc/*' -not -path '/dev/*' 2>/dev/null"
    writable = engine.once(image.tag, "sh", "-c", program, options=()).stdout.split()
    assert [path for path in writable if not path.startswith(("/home/app", "/tmp", "/var/tmp", "/run/lock"))] == [
        "/opt/dagster/home/storage"
    ]


@each_image
def test_holds_no_dependency_of_another_slice(engine: Engine, image: Image) -> None:
    done = engine.once(image.tag, "python", "-c", FOUND, *image.absent, "numpy", "sqlalchemy")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == [name for name in ("numpy", "sqlalchemy") if name not in image.absent]


@each_image
def test_installs_nothing_but_its_locks(engine: Engine, sources: Path, image: Image) -> None:
    locked = {pin for lock in image.locks for pin in pins_of(sources / "requirements" / f"{lock}.lock")}
    installed = engine.once(image.tag, "python", "-c", INSTALLED).stdout.lower().replace("_", "-").split()
    assert len(installed) > 40
    assert set(installed) <= locked


def test_a_file_that_is_not_the_locked_one_is_refused(engine: Engine, sources: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(sources, tmp_path / "changed"))
    lock = changed / "requirements" / "serving.lock"
    lock.write_text(re.sub(r"(?<=sha256:)[0-9a-f]{64}", "0" * 64, lock.read_text()))
    with pytest.raises(EngineError, match=r"(?i)hash mismatch"):
        engine.build(changed, f"{PREFIX}refused", "--target", "services")


def test_another_revision_is_another_label_and_nothing_else(engine: Engine, sources: Path) -> None:
    tag = f"{PREFIX}revised"
    engine.build(sources, tag, "--target", BACKEND_API.name, "--label", f"{LABEL}revision=abc123")
    try:
        assert config_of(engine, tag)["Labels"][f"{LABEL}revision"] == "abc123"
        assert layers_of(engine, tag) == layers_of(engine, BACKEND_API.tag)
    finally:
        engine.docker("image", "rm", tag)


@each_image
def test_holds_no_tools_caches_or_tests(engine: Engine, image: Image) -> None:
    assert engine.once(image.tag, "sh", "-c", LEFT_OVER).stdout.split() == []


@each_image
def test_every_module_is_compiled(engine: Engine, image: Image) -> None:
    """The packages' in the place of their sources, the code's own beside them."""
    program = (
        "import importlib.util as u, pathlib\n"
        "lib, own = pathlib.Path('/opt/app/lib'), pathlib.Path('/opt/fintech')\n"
        "bare = [str(p) for p in own.rglob('*.py') if not pathlib.Path(u.cache_from_source(str(p))).exists()]\n"
        "scripts = {'env.py', 'versions'}\n"  # which Alembic reads by their paths
        "sources = [str(p) for p in lib.rglob('*.py') if not {p.name, p.parent.name} & scripts]\n"
        "print(len([*lib.rglob('*.pyc')]), len(sources), len(bare), *sources[:5], *bare[:5])"
    )
    compiled, sources, bare, *examples = engine.once(image.tag, "python", "-c", program).stdout.split()
    assert int(compiled) > 1000
    # Some packages ship templates that are no valid Python.
    assert int(sources) < 20, examples
    assert int(bare) == 0, examples


@each_image
def test_every_compiled_module_is_whole(engine: Engine, image: Image) -> None:
    """Their tables of symbols are cut off, which nothing that is loaded may need."""
    done = engine.once(image.tag, "python", "-c", LOADED)
    assert done.exit_code == 0, done.stderr
    loaded, *failures = done.stdout.splitlines()
    assert int(loaded) > 30
    assert not failures


@pytest.mark.parametrize("image", DOMAIN_IMAGES, ids=lambda image: image.name)
def test_both_drivers_of_postgres_load_one_library(engine: Engine, image: Image) -> None:
    done = engine.once(image.tag, "python", "-c", LIBPQ)
    assert done.stdout == "True\n", done.stderr


def test_a_container_weighs_and_simulates_at_once(engine: Engine) -> None:
    """Every strategy by its own method, and a simulation by the kernels of the image."""
    [image] = [image for image in DOMAIN_IMAGES if image.location == "simulation"]
    done = engine.once(image.tag, "python", "-c", COMPUTED, options=(*HARDENED, "--network=none"))
    assert done.exit_code == 0, done.stderr
    measure("a container's first simulation", float(done.stdout), FIRST_SIMULATION_SECONDS, "CPU s")
    assert float(done.stdout) < FIRST_SIMULATION_SECONDS


@pytest.mark.parametrize("name", WITH_KERNELS)
def test_its_kernels_are_found_by_numba(engine: Engine, name: str) -> None:
    """Rehearsed again, a container adds no kernel to those of the image, whose links it does not replace."""
    [image] = [image for image in DOMAIN_IMAGES if image.name == name]
    program = "python -m fintech.rehearsal /tmp >&2; find /tmp/numba -type f; find /tmp/numba -type l | wc -l"
    done = engine.once(image.tag, "sh", "-c", program, options=(*HARDENED, "--env=FINTECH_ENV=local"))
    *compiled, linked = done.stdout.split()
    assert not compiled, compiled
    assert int(linked) > 50, done.stderr


def test_the_host_starts_runs_by_either_launcher(engine: Engine) -> None:
    """As deploy/dagster-docker.yaml and deploy/kubernetes/dagster name them."""
    program = "from dagster_docker import DockerRunLauncher; from dagster_k8s import K8sRunLauncher"
    done = engine.once(DAGSTER_HOST.tag, "python", "-c", program)
    assert done.exit_code == 0, done.stderr


@each_image
def test_is_not_larger_than_measured(engine: Engine, sources: Path, image: Image) -> None:
    over_base = (size_of(engine, image.tag) - size_of(engine, base_image(sources))) / 1e6
    measure(f"{image.name}: image over its base", over_base, BAR_MEGABYTES, "MB")
    assert over_base < GROWTH * image.megabytes
    assert over_base < BAR_MEGABYTES


@each_image
def test_says_what_it_is(engine: Engine, image: Image) -> None:
    config = config_of(engine, image.tag)
    labels = {name.removeprefix(LABEL): text for name, text in config["Labels"].items()}
    assert labels["title"] == image.name
    assert labels["licenses"] == "Apache-2.0"
    assert labels["description"]
    assert labels["vendor"]
    assert f"{image.port}/tcp" in config["ExposedPorts"]
    assert config["Healthcheck"]["Test"]
    assert config["User"] == "10001"


@pytest.mark.parametrize("image", SERVICE_IMAGES, ids=lambda image: image.name)
def test_every_image_holds_the_same_code(engine: Engine, image: Image) -> None:
    program = "cd /opt/fintech && find . -name '*.py' | sort | xargs sha256sum | sha256sum"
    assert (
        engine.once(image.tag, "sh", "-c", program).stdout == engine.once(BACKEND_API.tag, "sh", "-c", program).stdout
    )


def test_services_share_all_layers_but_the_code_and_their_own(engine: Engine) -> None:
    """Who pulls the five pulls numpy, pandas and FastAPI once."""
    shared = layers_of(engine, BACKEND_API.tag)[:-2]
    assert len(shared) > 3
    for image in DOMAIN_IMAGES:
        assert layers_of(engine, image.tag)[:-2] == shared


def size_of(engine: Engine, tag: str) -> int:
    """Bytes of an image, unpacked."""
    return int(engine.docker("image", "inspect", "--format", "{{.Size}}", tag))


def config_of(engine: Engine, tag: str) -> dict[str, Any]:
    """What the image tells the engine."""
    return dict(json.loads(engine.docker("image", "inspect", "--format", "{{json .Config}}", tag)))


def layers_of(engine: Engine, tag: str) -> list[str]:
    """Digests of its layers, the lowest first."""
    return list(json.loads(engine.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", tag)))


def pins_of(lock: Path) -> list[str]:
    """Name and version of each package of a lock."""
    return re.findall(r"^[a-z0-9.-]+==[^ ]+", lock.read_text(), re.MULTILINE)
