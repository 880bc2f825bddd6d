"""A fake Render a test, and the command line as the workflows call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from deploy.rollout.command import main
from pipeline.base.settings import PROJECT_ROOT
from tests.integration.deploy.fake_platform import reference
from tests.integration.deploy.fake_render import KEY, FakeRender, running

QUICK = ("--poll", "0.02", "--gate-seconds", "3", "--deploy-seconds", "3", "--smoke-seconds", "3")


@pytest.fixture
def render() -> Iterator[FakeRender]:
    with running() as server:
        yield server


@dataclass(frozen=True)
class Done:
    """What one call of the command line came to."""

    code: int
    out: str
    err: str
    summary: str
    journal: Any


@dataclass(frozen=True)
class Deployer:
    """Calls the command line against one fake Render."""

    render: FakeRender
    folder: Path

    @property
    def journal(self) -> Path:
        return self.folder / "journal.json"

    @property
    def variables(self) -> dict[str, str]:
        return {"RENDER_API_URL": f"{self.render.url}/v1", "RENDER_API_KEY": KEY}

    def arguments(self, command: str, *more: str) -> list[str]:
        target = ["--target", "render", "--environment", "staging", "--summary", str(self.folder / "summary.md")]
        journal = [] if command == "status" else ["--journal", str(self.journal)]
        return [command, *target, *journal, *QUICK, *more]

    def call(self, command: str, *more: str, **variables: str) -> Done:
        """In this process, which is quicker."""
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.variables, **variables}.items():
                patch.setenv(name, value)
            code = main(self.arguments(command, *more))
        summary = self.folder / "summary.md"
        return Done(
            code,
            out.getvalue(),
            err.getvalue(),
            summary.read_text() if summary.exists() else "",
            json.loads(self.journal.read_text()) if self.journal.exists() else None,
        )

    def run(self, images: dict[str, int], *more: str, **variables: str) -> Done:
        """Roll out images, given by the number of their digest."""
        return self.call("run", *images_of(images), *more, **variables)

    def start(self, images: dict[str, int], *more: str) -> subprocess.Popen[str]:
        """As `run`, as a process of its own, without waiting for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.rollout", *self.arguments("run", *images_of(images), *more)],
            cwd=PROJECT_ROOT,
            env={"PATH": os.defpath, **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def images_of(images: dict[str, int]) -> list[str]:
    return [word for name, number in images.items() for word in ("--image", f"{name}={reference(name, number)}")]


@pytest.fixture
def deployer(render: FakeRender, tmp_path: Path) -> Deployer:
    return Deployer(render, tmp_path)
