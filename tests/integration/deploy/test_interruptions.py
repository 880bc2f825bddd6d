"""A deployer that is cancelled rolls back; one that is killed leaves a journal that another one rolls back by."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from deploy.rollout.services import ORDER
from tests.integration.deploy.conftest import Deployer
from tests.integration.deploy.fake_platform import FIRST, Behaviour, digest
from tests.integration.deploy.fake_render import FakeRender

GOOD, HANGING = 2, 3
IMAGES = {name: HANGING if name == "python-risk-engine" else GOOD for name in ORDER}
PATIENT = ("--deploy-seconds", "120")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def hanging(deployer: Deployer, render: FakeRender) -> subprocess.Popen[str]:
    """A rollout that has replaced market data, and waits for the risk engine without end."""
    render.platform.behaviours[digest(HANGING)] = Behaviour(outcome="hang")
    process = deployer.start(IMAGES, *PATIENT)
    until(lambda: ("python-risk-engine-location", digest(HANGING)) in render.platform.begun)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_rolls_back(
    deployer: Deployer, render: FakeRender, hanging: subprocess.Popen[str], number: signal.Signals
) -> None:
    hanging.send_signal(number)
    _, err = hanging.communicate(timeout=60)
    assert hanging.returncode == 1, err
    assert f"cancelled by {number.name}" in err
    assert set(render.platform.serving().values()) == {digest(FIRST)}
    restored = ["python-risk-engine-location", "market-data-ingestion", "market-data-ingestion-location"]
    assert [name for name, _ in render.platform.begun[3:]] == restored


def test_a_second_signal_does_not_stop_the_rollback(
    deployer: Deployer, render: FakeRender, hanging: subprocess.Popen[str]
) -> None:
    hanging.send_signal(signal.SIGINT)
    until(lambda: ("python-risk-engine-location", digest(FIRST)) in render.platform.begun)
    hanging.send_signal(signal.SIGTERM)
    _, err = hanging.communicate(timeout=60)
    assert hanging.returncode == 1, err
    assert "signal-noted signal=SIGTERM" in err
    assert set(render.platform.serving().values()) == {digest(FIRST)}


def test_a_killed_deployer_is_rolled_back_by_its_journal(
    deployer: Deployer, render: FakeRender, hanging: subprocess.Popen[str]
) -> None:
    hanging.kill()
    hanging.communicate(timeout=60)
    assert render.platform.serving()["market-data-ingestion"] == digest(GOOD)
    refused = deployer.run({"backend-api": GOOD})
    assert refused.code == 3
    assert "holds a rollout that is unfinished" in refused.err
    done = deployer.call("rollback")
    assert done.code == 0, done.err
    assert set(render.platform.serving().values()) == {digest(FIRST)}
    assert done.journal["outcome"] == "rolled back"
    assert len(render.platform.begun) == 6
    again = deployer.call("rollback")
    assert (again.code, len(render.platform.begun)) == (0, 6)


def test_a_finished_rollout_can_be_undone_too(deployer: Deployer, render: FakeRender) -> None:
    assert deployer.run({"backend-api": GOOD, "dagster-host": GOOD}).code == 0
    done = deployer.call("rollback")
    assert done.code == 0, done.err
    assert set(render.platform.serving().values()) == {digest(FIRST)}


def test_without_a_journal_there_is_nothing_to_restore(deployer: Deployer, render: FakeRender) -> None:
    """A workflow's last step runs after a rollout that was refused, too."""
    done = deployer.call("rollback")
    assert (done.code, render.platform.begun) == (0, [])
