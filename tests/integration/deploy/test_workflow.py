"""The workflow that deploys, run by act against a Render on loopback.

``cosign`` is a stand-in that knows which images are signed, and ``python`` that of the tests, with nothing to install.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.rollout.services import ORDER, PARTS
from tests.integration.deploy.fake_platform import FIRST, Behaviour, digest
from tests.integration.deploy.fake_render import KEY, FakeRender
from tests.unit.deploy.workflows.acting import Checkout, failed, succeeded

GOOD, BAD = 2, 3
ALL_GOOD = dict.fromkeys(ORDER, GOOD)
BROKEN_SIMULATION = {**ALL_GOOD, "portfolio-simulation": BAD}
SECRETS = {"DOCKER_USERNAME": "acme", "DOCKER_ACCESS_TOKEN": "dckr_pat_0123456789", "RENDER_API_KEY": KEY}
PYTHON = """#!/bin/sh
[ "$2" != pip ] || exit 0
[ "$3" != run ] || echo $$ >"{folder}/rollout.pid"
exec "{python}" "$@"
"""
COSIGN = """#!/bin/sh
for last; do :; done
! grep --quiet --fixed-strings "$last" "{folder}/unsigned"
"""


@dataclass(frozen=True)
class Workflow:
    """deploy.yml, and the Render that it deploys to."""

    checkout: Checkout
    render: FakeRender

    def start(self, images: dict[str, int]) -> subprocess.Popen[str]:
        """Begin to deploy images, given by the number of their digest."""
        digests = {name: digest(number) for name, number in images.items()}
        return self.checkout.start(
            "workflow_dispatch",
            "deploy.yml",
            secrets=SECRETS,
            variables={
                "RENDER_API_URL": f"{self.render.url}/v1",
                "DAGSTER_URL": f"{self.render.url}/svc/dagster-webserver",
                "ROLLOUT_OPTIONS": "--poll 0.02 --gate-seconds 5 --deploy-seconds 5 --smoke-seconds 5",
            },
            inputs={"environment": "staging", "digests": json.dumps(digests)},
        )

    def run(self, images: dict[str, int]) -> tuple[int, str]:
        """Exit code, and all that was said."""
        process = self.start(images)
        said, _ = process.communicate(timeout=300)
        return process.returncode, said

    def tried(self) -> list[str]:
        """The parts of which deployments were begun, in order."""
        return [name for name, _ in self.render.platform.begun]


@pytest.fixture
def workflow(tmp_path: Path, render: FakeRender) -> Workflow:
    programs = {"python": PYTHON, "cosign": COSIGN}
    words = {"folder": tmp_path, "python": sys.executable}
    checkout = Checkout.make(tmp_path, {name: script.format(**words) for name, script in programs.items()})
    checkout.commit()
    (tmp_path / "unsigned").touch()
    return Workflow(checkout, render)


def test_six_images_are_rolled_out_in_order(workflow: Workflow) -> None:
    code, said = workflow.run(ALL_GOOD)
    assert code == 0, said
    assert workflow.tried() == [part.name for part in PARTS]
    assert set(workflow.render.platform.serving().values()) == {digest(GOOD)}
    assert list(workflow.render.platform.runs.values()) == ["SUCCESS"]  # the smoke run
    assert "Restore what" not in said
    assert succeeded(said, "Keep the journal")
    assert not any(secret in said for secret in SECRETS.values())


def test_an_image_that_was_not_built_here_is_not_deployed(workflow: Workflow) -> None:
    (workflow.checkout.folder / "unsigned").write_text(f"docker.io/acme/python-risk-engine@{digest(BAD)}\n")
    code, said = workflow.run({**ALL_GOOD, "python-risk-engine": BAD})
    assert code != 0
    assert "is not signed by build.yml" in said
    assert workflow.render.requests == []


def test_a_tag_is_not_deployed(workflow: Workflow) -> None:
    process = workflow.checkout.start(
        "workflow_dispatch",
        "deploy.yml",
        secrets=SECRETS,
        variables={"DAGSTER_URL": workflow.render.url, "RENDER_API_URL": f"{workflow.render.url}/v1"},
        inputs={"environment": "staging", "digests": '{"backend-api": "latest"}'},
    )
    said, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "is no image by digest" in said
    assert workflow.tried() == []


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        (Behaviour(outcome="update_failed"), "Render says update_failed"),
        (Behaviour(outcome="hang"), "Render still says update_in_progress"),
    ],
    ids=["failure", "timeout"],
)
def test_a_failure_in_the_middle_restores_what_served(workflow: Workflow, behaviour: Behaviour, cause: str) -> None:
    workflow.render.platform.behaviours[digest(BAD)] = behaviour
    code, said = workflow.run(BROKEN_SIMULATION)
    assert code != 0
    assert cause in said
    tried = [part.name for part in PARTS][:5]
    assert workflow.tried() == tried + tried[::-1]
    assert set(workflow.render.platform.serving().values()) == {digest(FIRST)}
    assert failed(said, "Roll out")
    assert succeeded(said, "Restore what")  # and finds nothing left to do


def test_a_rollback_that_fails_is_tried_again_and_told(workflow: Workflow) -> None:
    workflow.render.platform.behaviours[digest(BAD)] = Behaviour(outcome="update_failed")
    stubborn = workflow.render.platform.services["python-risk-engine"]
    workflow.render.platform.refused_from_second.add(stubborn.id)
    code, said = workflow.run(BROKEN_SIMULATION)
    assert code != 0
    assert failed(said, "Roll out")
    assert failed(said, "Restore what")
    assert "no more deployments" in said
    serving = workflow.render.platform.serving()
    assert {name for name, found in serving.items() if found != digest(FIRST)} == {"python-risk-engine"}
    assert succeeded(said, "Keep the journal")  # for whoever goes on by hand


def test_a_rollout_that_is_killed_is_restored_by_the_next_step(workflow: Workflow) -> None:
    workflow.render.platform.behaviours[digest(BAD)] = Behaviour(outcome="hang")
    process = workflow.start(BROKEN_SIMULATION)
    deadline = time.monotonic() + 120
    while "portfolio-simulation-location" not in workflow.tried():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(int((workflow.checkout.folder / "rollout.pid").read_text()), signal.SIGKILL)
    said, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert failed(said, "Roll out")
    assert succeeded(said, "Restore what")
    assert set(workflow.render.platform.serving().values()) == {digest(FIRST)}
