"""Rollouts that go well: order, journal, gates, what is left alone."""

from __future__ import annotations

import json

from deploy.rollout.services import ORDER, PARTS
from tests.integration.deploy.conftest import Deployer
from tests.integration.deploy.fake_platform import FIRST, Behaviour, Fault, digest, reference
from tests.integration.deploy.fake_render import FakeRender

GOOD = 2


def test_all_services_in_their_order(deployer: Deployer, render: FakeRender) -> None:
    done = deployer.run(
        dict.fromkeys(reversed(ORDER), GOOD), "--smoke", "market_data:instruments", "--version", "1.0.0"
    )
    assert done.code == 0, done.err
    assert render.platform.begun == [(part.name, digest(GOOD)) for part in PARTS]
    assert set(render.platform.serving().values()) == {digest(GOOD)}
    assert done.journal["outcome"] == "done"
    assert [step["previous"] for step in done.journal["steps"]] == [reference(part.service, FIRST) for part in PARTS]
    assert "### Rolled out (render:staging)" in done.summary
    assert "| python-risk-engine-location | `000000000000`" in done.summary
    assert list(render.platform.runs.values()) == ["SUCCESS"]


def test_only_the_chosen_services_are_touched(deployer: Deployer, render: FakeRender) -> None:
    done = deployer.run(dict.fromkeys(ORDER, GOOD), "--services", "backend-api,python-risk-engine")
    assert done.code == 0, done.err
    touched = ["python-risk-engine-location", "python-risk-engine", "backend-api"]
    assert [name for name, _ in render.platform.begun] == touched
    assert {name for name, found in render.platform.serving().items() if found == digest(GOOD)} == set(touched)


def test_a_part_that_runs_the_image_already_is_left_alone(deployer: Deployer, render: FakeRender) -> None:
    done = deployer.run({"python-risk-engine": FIRST, "backend-api": GOOD})
    assert done.code == 0, done.err
    assert [name for name, _ in render.platform.begun] == ["backend-api"]


def test_no_chosen_service_is_no_error(deployer: Deployer, render: FakeRender) -> None:
    done = deployer.run({"backend-api": GOOD}, "--services", "")
    assert (done.code, render.platform.begun) == (0, [])
    assert "nothing-to-deploy" in done.err


def test_the_gate_waits_for_the_new_image(deployer: Deployer, render: FakeRender) -> None:
    """Render calls it live, while the old container still answers."""
    render.platform.behaviours[digest(GOOD)] = Behaviour(stale_seconds=0.5)
    done = deployer.run({"python-risk-engine": GOOD})
    assert done.code == 0, done.err
    asked = render.requests
    assert sum("/svc/python-risk-engine/health/ready" in line for line in asked) > 5
    assert sum("/graphql" in line for line in asked) > 5


def test_render_is_asked_again_when_it_asks_for_patience(deployer: Deployer, render: FakeRender) -> None:
    render.platform.faults += [
        Fault("/deploys", 429, method="POST", times=2, headers={"Retry-After": "0.2"}),
        Fault("/env-vars", 429, times=1, headers={"Ratelimit-Reset": "0.1"}),
        Fault("/v1/services", 503, times=1, headers={"Retry-After": "0"}),
    ]
    done = deployer.run({"backend-api": GOOD})
    assert done.code == 0, done.err
    assert all(fault.times == 0 for fault in render.platform.faults)
    assert render.platform.begun == [("backend-api", digest(GOOD))]


def test_a_queued_deployment_is_found(deployer: Deployer, render: FakeRender) -> None:
    render.platform.behaviours[digest(GOOD)] = Behaviour(queued=True)
    done = deployer.run({"backend-api": GOOD})
    assert done.code == 0, done.err


def test_hooks_begin_deployments_by_the_query(deployer: Deployer, render: FakeRender) -> None:
    done = deployer.run({"backend-api": GOOD}, RENDER_DEPLOY_HOOK_BACKEND_API=render.hook("backend-api"))
    assert done.code == 0, done.err
    calls = [index for index, line in enumerate(render.requests) if "/deploy/" in line]
    assert len(calls) == 1
    assert render.requests[calls[0]].endswith(
        f"imgURL=docker.io%2Facme%2Fbackend-api%40sha256%3A{digest(GOOD).removeprefix('sha256:')}"
    )
    assert render.bodies[calls[0]] == ""
    assert not any(line.startswith("POST /v1") and line.endswith("/deploys") for line in render.requests)


def test_status_prints_what_serves(deployer: Deployer) -> None:
    done = deployer.call("status")
    assert json.loads(done.out) == {part.name: reference(part.service, FIRST) for part in PARTS}


def test_it_is_called_as_a_module(deployer: Deployer) -> None:
    process = deployer.start({"backend-api": GOOD})
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "serving part=backend-api" in err
