"""The parts and their order, images, the environment, pauses, what is written."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import yaml

from deploy.render.api import FIRST_PAUSE, LONGEST_PAUSE, pause_after
from deploy.rollout.command import main
from deploy.rollout.environment import RENDER_API_URL, hook_variable, read_environment
from deploy.rollout.journal import Journal, Progress, Step
from deploy.rollout.report import Report
from deploy.rollout.services import LOCATIONS, ORDER, PARTS, Part, Role
from pipeline.base.settings import PROJECT_ROOT
from serving.services import SERVICES

IMAGE = f"docker.io/acme/backend-api@sha256:{'a' * 64}"


def test_the_order_is_that_of_the_dependencies() -> None:
    assert ORDER == (
        "market-data-ingestion",
        "python-risk-engine",
        "portfolio-simulation",
        "ai-microservice-engine",
        "backend-api",
        "dagster-host",
    )
    assert [part.name for part in PARTS[:2]] == ["market-data-ingestion-location", "market-data-ingestion"]
    assert [part.name for part in PARTS[-3:]] == ["backend-api", "dagster-webserver", "dagster-daemon"]
    assert len({part.name for part in PARTS}) == len(PARTS) == 11


def test_services_and_locations_are_those_of_the_project() -> None:
    assert {part.service for part in PARTS if part.role is Role.HTTP} == {service.name for service in SERVICES}
    assert {service.name: service.slice for service in SERVICES if service.slice} == LOCATIONS
    workspace = yaml.safe_load((PROJECT_ROOT / "deploy/workspace.yaml").read_text())["load_from"]
    assert {entry["grpc_server"]["location_name"] for entry in workspace} == set(LOCATIONS.values())


def test_the_environment() -> None:
    hook = hook_variable("python-risk-engine-location")
    assert hook == "RENDER_DEPLOY_HOOK_PYTHON_RISK_ENGINE_LOCATION"
    found = read_environment({"RENDER_API_KEY": " key ", hook: "https://hook", "ROLLOUT_TOKEN": "", "OTHER": "x"})
    assert (found.render_api_key, found.render_api_url, found.token) == ("key", RENDER_API_URL, None)
    assert found.deploy_hooks == {"python-risk-engine-location": "https://hook"}
    assert found.secrets == ("key", "https://hook")
    assert "key" not in repr(found).replace("render_api_key", "")
    assert "https://hook" not in repr(found)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "7"}, 7.0, 7.2),
        ({"retry-after": "0"}, 0.0, 0.2),
        ({"retry-after": "100000"}, LONGEST_PAUSE, LONGEST_PAUSE),
        ({"ratelimit-reset": "45"}, 45.0, 45.2),
        ({"retry-after": "soon"}, FIRST_PAUSE * 4, FIRST_PAUSE * 8),
        ({}, FIRST_PAUSE * 4, FIRST_PAUSE * 8),
    ],
)
def test_pauses(headers: dict[str, str], least: float, most: float) -> None:
    assert least <= pause_after(3, headers) <= most


def test_pauses_until_a_moment() -> None:
    """As a date, or in Unix seconds."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=40))
    assert 20.0 <= pause_after(3, {"retry-after": date}) <= 41.0
    assert 20.0 <= pause_after(3, {"ratelimit-reset": f"{time.time() + 40:.0f}"}) <= 41.0
    assert pause_after(3, {"ratelimit-reset": f"{time.time() - 40:.0f}"}) <= 0.2


def test_pauses_grow_but_not_for_ever() -> None:
    assert FIRST_PAUSE <= pause_after(1, {}) <= FIRST_PAUSE * 2 < LONGEST_PAUSE
    assert pause_after(50, {}) == LONGEST_PAUSE


def test_events_are_lines_without_secrets() -> None:
    stream = io.StringIO()
    report = Report(["key", "key-and-more"], stream=stream)
    report.say("failed", cause="it said\nkey-and-more key", part=None, image="a=b")
    line = stream.getvalue()
    assert line.endswith('Z failed cause="it said\\n*** ***" image="a=b"\n')
    assert line.count("\n") == 1


def test_a_journal_survives_half_a_write(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.json"
    part = Part("backend-api", Role.HTTP)
    journal = Journal.begin(path, "render:staging", [Step(part, IMAGE, None)])
    journal.mark(part, Progress.DEPLOYING)
    (tmp_path / "deep" / "journal.json.new").write_text('{"format":')  # killed while it wrote the next one
    assert list(Journal.read(path, "render:staging")) == [Step(part, IMAGE, None, Progress.DEPLOYING)]


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["--paths", "deploy/workspace.yaml"], '{"services": ["dagster-host"], "slices": []}\n'),
        (
            ["--paths", "deploy/workspace.yaml", "requirements/gateway.lock", "--format", "text"],
            "backend-api dagster-host\n",
        ),
        (["--paths", "docs/api.md", "--format", "github"], "services=[]\nslices=[]\n"),
        (["--all", "--format", "text"], " ".join(ORDER) + "\n"),
    ],
)
def test_changed_is_printed(arguments: list[str], printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["changed", *arguments]) == 0
    assert capsys.readouterr().out == printed
