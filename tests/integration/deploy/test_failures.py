"""Rollouts that fail: all that was changed is restored in reverse, and what could not be is named."""

from __future__ import annotations

import json

import pytest

from deploy.rollout.services import ORDER, PARTS, parts_of
from tests.integration.deploy.conftest import Deployer, Done
from tests.integration.deploy.fake_platform import FIRST, Behaviour, Fault, digest, reference
from tests.integration.deploy.fake_render import FakeRender

GOOD, BAD = 2, 3
BROKEN_SIMULATION = {name: BAD if name == "portfolio-simulation" else GOOD for name in ORDER}


def undone(deployer: Deployer, done: Done, count: int) -> None:
    """The first `count` parts were tried, then restored the other way round, and no other was touched."""
    tried = [part.name for part in PARTS][:count]
    platform = deployer.render.platform
    assert done.code == 1, done.err
    assert [name for name, _ in platform.begun] == tried + tried[::-1]
    assert {found for _, found in platform.begun[count:]} == {digest(FIRST)}
    assert set(platform.serving().values()) == {digest(FIRST)}
    assert done.journal["outcome"] == "rolled back"
    assert {step["progress"] for step in done.journal["steps"][:count]} == {"restored"}
    assert {step["progress"] for step in done.journal["steps"][count:]} <= {"waiting"}
    assert "### Rolled back" in done.summary


@pytest.mark.parametrize(
    ("behaviour", "cause", "count"),
    [
        (Behaviour(outcome="update_failed"), "portfolio-simulation-location: Render says update_failed", 5),
        (Behaviour(outcome="build_failed"), "Render says build_failed", 5),
        (Behaviour(outcome="hang"), "Render still says update_in_progress", 5),
        (Behaviour(error="No module named 'nothing'"), "does not load simulation: ModuleNotFoundError: No module", 5),
        (Behaviour(ready=503), "portfolio-simulation: /health/ready answers 503", 6),
        (Behaviour(health=500), "portfolio-simulation: /health answers 500", 6),
        (Behaviour(version="0.9.0"), "/health says version 0.9.0, not 1.0.0", 6),
    ],
    ids=["update_failed", "build_failed", "hang", "python_error", "not_ready", "unhealthy", "version"],
)
def test_a_failure_in_the_middle_restores_all(
    deployer: Deployer, render: FakeRender, behaviour: Behaviour, cause: str, count: int
) -> None:
    render.platform.behaviours[digest(BAD)] = behaviour
    done = deployer.run(BROKEN_SIMULATION, "--version", "1.0.0", "--deploy-seconds", "1.5", "--gate-seconds", "1.5")
    undone(deployer, done, count)
    assert cause in done.err
    assert cause[:40] in done.summary


def test_a_deployment_that_hangs_is_cancelled(deployer: Deployer, render: FakeRender) -> None:
    """Else it could go live after what was restored."""
    render.platform.behaviours[digest(BAD)] = Behaviour(outcome="hang")
    assert deployer.run({"backend-api": BAD}, "--deploy-seconds", "0.3").code == 1
    statuses = [deploy.status for deploy in render.platform.services["backend-api"].deploys]
    assert statuses == ["deactivated", "canceled", "live"]


def test_an_old_version_that_goes_on_answering_fails(deployer: Deployer, render: FakeRender) -> None:
    render.platform.behaviours[digest(BAD)] = Behaviour(stale_seconds=600)
    done = deployer.run({"backend-api": BAD}, "--gate-seconds", "0.5")
    assert done.code == 1, done.err
    assert f"/health/ready says image {digest(FIRST)}, not {digest(BAD)}" in done.err


def test_a_failed_smoke_run_restores_all(deployer: Deployer, render: FakeRender) -> None:
    render.platform.behaviours[digest(BAD)] = Behaviour(run="FAILURE")
    done = deployer.run({"market-data-ingestion": BAD, "backend-api": GOOD}, "--smoke", "market_data:instruments")
    assert done.code == 1, done.err
    assert "the smoke run market_data:instruments ended as FAILURE" in done.err
    assert set(render.platform.serving().values()) == {digest(FIRST)}


def test_a_run_that_cannot_be_launched_restores_all(deployer: Deployer, render: FakeRender) -> None:
    done = deployer.run({"backend-api": GOOD}, "--smoke", "market_data:unknown")
    assert done.code == 1, done.err
    assert "Could not find Pipeline" in done.err


def test_a_silent_daemon_is_noticed(deployer: Deployer, render: FakeRender) -> None:
    """A daemon that is gone counts as healthy for minutes."""
    render.platform.behaviours[digest(BAD)] = Behaviour(silent=True)
    done = deployer.run({"dagster-host": BAD}, "--gate-seconds", "0.5")
    assert done.code == 1, done.err
    assert "no new heartbeat of SCHEDULER, SENSOR," in done.err


def test_a_part_that_cannot_be_restored_does_not_stop_the_others(deployer: Deployer, render: FakeRender) -> None:
    render.platform.behaviours[digest(BAD)] = Behaviour(outcome="update_failed")
    render.platform.refused_from_second.add(render.platform.services["python-risk-engine"].id)
    done = deployer.run({"market-data-ingestion": GOOD, "python-risk-engine": GOOD, "backend-api": BAD})
    assert done.code == 2, done.err
    serving = render.platform.serving()
    assert serving.pop("python-risk-engine") == digest(GOOD)
    assert set(serving.values()) == {digest(FIRST)}
    assert done.journal["outcome"] == "rollback failed"
    assert f"serves part=python-risk-engine image={reference('python-risk-engine', GOOD)} state=stuck" in done.err
    assert f"serves part=market-data-ingestion image={reference('market-data-ingestion', FIRST)}" in done.err
    assert "### ROLLBACK FAILED" in done.summary
    assert "| python-risk-engine | unknown | `000000000000` | stuck: Render answers 400" in done.summary
    render.platform.refused_from_second.clear()
    again = deployer.call("rollback")
    assert again.code == 0, again.err
    assert set(render.platform.serving().values()) == {digest(FIRST)}


def test_what_never_served_cannot_be_restored_and_is_said(deployer: Deployer, render: FakeRender) -> None:
    service = render.platform.services["backend-api"]
    service.deploys[0].status = "build_failed"
    render.platform.behaviours[digest(BAD)] = Behaviour(outcome="update_failed")
    done = deployer.run({"backend-api": BAD})
    assert done.code == 2, done.err
    assert "nothing served before" in done.err


def test_five_hundreds_without_end_restore_all(deployer: Deployer, render: FakeRender) -> None:
    service = render.platform.services["backend-api"].id
    render.platform.faults.append(
        Fault(f"/{service}/deploys", 500, method="POST", times=6, headers={"Retry-After": "0"})
    )
    done = deployer.run({"python-risk-engine": GOOD, "backend-api": GOOD})
    assert done.code == 1, done.err
    assert "Render answers 500 to POST" in done.err
    assert set(render.platform.serving().values()) == {digest(FIRST)}


def test_an_unreadable_summary_changes_nothing(deployer: Deployer, render: FakeRender) -> None:
    done = deployer.run({"backend-api": GOOD}, "--summary", str(deployer.folder / "none" / "summary.md"))
    assert done.code == 0, done.err
    assert "summary-not-written" in done.err


def test_the_journal_holds_every_part_of_the_services(deployer: Deployer) -> None:
    done = deployer.run({"dagster-host": GOOD})
    assert [step["part"] for step in done.journal["steps"]] == [part.name for part in parts_of("dagster-host")]
    assert json.loads(deployer.journal.read_text())["target"] == "render:staging"
