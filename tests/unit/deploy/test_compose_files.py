"""The files of the Compose project say the same wherever they say it twice."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from deploy.rollout.compose import PORTS, SCHEMA_IS_NEWER, VARIABLES
from deploy.rollout.services import LOCATIONS, ORDER, PARTS
from pipeline.base.settings import PROJECT_ROOT, Settings, env_name, load_settings
from pipeline.store import migrating
from serving.services import SERVICES

DEPLOY = PROJECT_ROOT / "deploy"
NOT_OF_THE_PLATFORM = {"postgres", "valkey", "edge", "migrate"}

SAFER_THAN_ALONE = {"FINTECH_ENV", "FINTECH_RATE_LIMIT"}
"""What is not as on a developer's own machine."""


def loaded(path: str) -> dict[str, Any]:
    """A YAML file of the repository."""
    return dict(yaml.safe_load((PROJECT_ROOT / path).read_text()))


def services() -> dict[str, Any]:
    """The services that are always there."""
    found = loaded("deploy/compose.yaml")["services"]
    return {name: one for name, one in found.items() if "profiles" not in one}


def test_every_part_of_a_rollout_is_a_service() -> None:
    assert set(services()) == {part.name for part in PARTS} | NOT_OF_THE_PLATFORM


def test_each_service_names_its_image_by_the_variable_that_a_rollout_writes() -> None:
    found = services()
    for part in PARTS:
        assert found[part.name]["image"].startswith(f"${{{VARIABLES[part.service]}:-"), part.name
        assert f"/{part.service}:${{IMAGE_TAG" in found[part.name]["image"], part.name
    assert set(VARIABLES) == set(ORDER)


def test_whatever_tells_its_image_tells_the_one_that_it_runs() -> None:
    for name, found in services().items():
        if name in LOCATIONS or name.endswith("-location") or name == "backend-api":
            assert found["environment"]["DAGSTER_CURRENT_IMAGE"] == found["image"], name


def test_ports_are_those_of_the_services() -> None:
    assert {service.name: service.port for service in SERVICES} == PORTS


def test_the_webserver_finds_each_location_by_the_name_of_its_image() -> None:
    hosts = {entry["grpc_server"]["host"] for entry in loaded("deploy/workspace.yaml")["load_from"]}
    found = services()
    named = {name for part in found.values() for name in aliases(part)}
    assert named == hosts == set(LOCATIONS)


def test_dagster_is_set_up_as_without_compose_but_for_how_runs_start() -> None:
    compose, alone = loaded("deploy/dagster-docker.yaml"), loaded("dagster.yaml")
    assert compose.pop("run_launcher")["class"] == "DockerRunLauncher"
    assert alone["run_monitoring"].items() <= compose.pop("run_monitoring").items()
    alone.pop("run_monitoring")
    assert compose == alone


def test_runs_are_given_only_what_the_daemon_has() -> None:
    """A name that is not set there keeps every run from starting."""
    file = loaded("deploy/compose.yaml")
    given = set(file["x-dagster"]["environment"]) | set(file["x-dagster"]["secrets"])
    config = loaded("deploy/dagster-docker.yaml")["run_launcher"]["config"]
    assert set(config["env_vars"]) <= given
    assert config["network"]["env"] in given


def test_a_run_is_given_what_its_assets_read() -> None:
    """Else its container computes with defaults, whatever the daemon was told."""
    read = {
        field
        for path in (PROJECT_ROOT / "pipeline").glob("*/assets/*.py")
        for field in re.findall(r"settings(?:\(\))?\.([a-z_]+)", path.read_text())
        if field in Settings.model_fields
    }
    assert {"costly_strategies_since", "stored_models"} <= read
    config = loaded("deploy/dagster-docker.yaml")["run_launcher"]["config"]
    assert {env_name(field) for field in read} <= set(config["env_vars"])


def test_a_default_of_the_files_is_the_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    used = dict(re.findall(r"\$\{([A-Z_]+):-([^}$]+)\}", (DEPLOY / "compose.yaml").read_text()))
    fields = {env_name(name): name for name in Settings.model_fields}
    for variable in used.keys() & fields.keys() - SAFER_THAN_ALONE:
        monkeypatch.setenv(variable, used[variable])
        default = Settings.model_fields[fields[variable]].default
        assert getattr(load_settings(), fields[variable]) == default, variable


def test_the_containers_are_given_no_variable_that_nobody_reads() -> None:
    known = {field.validation_alias for field in Settings.model_fields.values()}
    for name, found in services().items():
        if name in NOT_OF_THE_PLATFORM:
            continue
        for variable in found["environment"]:
            assert variable in known or variable.startswith("DAGSTER_"), f"{name}: {variable}"


def test_every_variable_of_the_files_is_in_the_example() -> None:
    """With the same value where it has a default."""
    used = dict(re.findall(r"\$\{([A-Z_]+):-([^}$]*)\}", (DEPLOY / "compose.yaml").read_text()))
    example = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", (DEPLOY / "compose.env.example").read_text(), re.MULTILINE))
    for name, default in used.items():
        if name != "COMPOSE_PROJECT_NAME":
            assert example.get(name) == default, name
    assert set(VARIABLES.values()) <= set(example)


def test_what_a_rollout_takes_for_a_newer_schema_is_what_migrating_says() -> None:
    assert SCHEMA_IS_NEWER in (PROJECT_ROOT / f"{migrating.__name__.replace('.', '/')}.py").read_text()


def aliases(service: dict[str, Any]) -> list[str]:
    """The names that a service has in its networks besides its own."""
    networks = service["networks"]
    return [name for one in networks.values() for name in one["aliases"]] if isinstance(networks, dict) else []
