"""A registry on loopback, from Debian's package; Docker speaks to it without TLS, as to any on loopback."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.containers.engine import Engine, EngineMissingError
from tests.ports import free_port

START_SECONDS = 20
CONFIG = """\
version: 0.1
storage: {{ filesystem: {{ rootdirectory: {folder} }} }}
http: {{ addr: "127.0.0.1:{port}" }}
"""


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry that runs."""

    engine: Engine
    address: str

    def push(self, tag: str, name: str) -> str:
        """Push a local image under a name; its reference by digest."""
        there = f"{self.address}/fintech/{name}"
        self.engine.docker("tag", tag, there)
        self.engine.docker("push", "--quiet", there)
        digests = self.engine.docker("image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', there)
        [reference] = [line for line in digests.splitlines() if line.startswith(f"{there}@")][-1:]
        self.engine.docker("rmi", there)
        return reference


@contextmanager
def running_registry(engine: Engine, folder: Path) -> Iterator[Registry]:
    """A registry until the end of the context.

    Raises
    ------
    EngineMissingError
        If there is no such program.
    """
    program = shutil.which("docker-registry")
    if program is None:
        raise EngineMissingError("docker-registry is missing: run deploy/scripts/ensure-docker.sh, or install it")
    port = free_port()
    config = folder / "registry.yaml"
    config.write_text(CONFIG.format(folder=folder / "images", port=port))
    with (folder / "registry.log").open("w") as log:
        process = subprocess.Popen([program, "serve", config], stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}/v2/", process)
        yield Registry(engine, f"127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(url, trust_env=False).raise_for_status()
            return
        except httpx.HTTPError:
            assert process.poll() is None, "docker-registry has ended; see registry.log"
            assert time.monotonic() < deadline, "docker-registry does not answer"
            time.sleep(0.1)
