"""The blueprint: what the deployer expects on Render, wired so that every part finds what it needs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.on_render import HOSTPORT
from deploy.rollout.services import LOCATIONS, ORDER, PARTS, Part, Role
from pipeline.base.settings import PROJECT_ROOT, Settings, env_name
from serving.services import SERVICES

ENVIRONMENTS = {"staging": "develop", "production": "latest"}
"""And the tag that a new one starts with."""
KINDS = {Role.LOCATION: "pserv", Role.HTTP: "web", Role.WEBSERVER: "pserv", Role.DAEMON: "worker"}
PORTS = {service.name: service.port for service in SERVICES}
SETTINGS = {env_name(field) for field in Settings.model_fields}
NOT_SETTINGS = {"PGSSLMODE"}  # libpq's own

blueprint: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "render.yaml").read_text())
FOUND = {one["name"]: one for one in blueprint["projects"][0]["environments"]}


def service(environment: str, name: str) -> dict[str, Any]:
    return next(one for one in FOUND[environment]["services"] if one["name"] == f"{name}-{environment}")


def variables(found: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: one for one in found["envVars"] if "key" in one}


def test_there_is_staging_and_production() -> None:
    assert list(FOUND) == list(ENVIRONMENTS)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
class TestEnvironment:
    def test_its_parts_are_the_deployers(self, environment: str) -> None:
        names = [one["name"] for one in FOUND[environment]["services"]]
        assert names == [f"{name}-{environment}" for name in [*(part.name for part in PARTS), "edge", "keyvalue"]]

    def test_nothing_of_another_is_within_reach(self, environment: str) -> None:
        assert FOUND[environment]["networking"] == {"isolation": "enabled"}
        others = set(ENVIRONMENTS) - {environment}
        assert not any(f"-{other}" in str(FOUND[environment]) for other in others)

    @pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
    def test_a_part_runs_its_image(self, environment: str, part: Part) -> None:
        found = service(environment, part.name)
        assert found["type"] == KINDS[part.role]
        assert found["image"]["url"].endswith(f"/{part.service}:{ENVIRONMENTS[environment]}")
        words = found["dockerCommand"].split()
        assert words[:3] == ["python", "-m", "deploy.on_render"]
        assert words[3:] in (self.command(part), [*self.command(part), "-w", "/opt/dagster/home/render-workspace.yaml"])

    def command(self, part: Part) -> list[str]:
        match part.role:
            case Role.LOCATION:
                module = f"pipeline.{LOCATIONS[part.service]}.definitions"
                return ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", "4000", "-m", module]
            case Role.HTTP:
                return ["python", "-m", "serving", part.service]
            case Role.WEBSERVER:
                return ["dagster-webserver", "-h", "0.0.0.0", "-p", "3030", "--path-prefix", "/dagster"]
            case Role.DAEMON:
                return ["dagster-daemon", "run"]

    def test_dagsters_host_is_given_the_locations(self, environment: str) -> None:
        for role in ("dagster-webserver", "dagster-daemon"):
            assert "render-workspace.yaml" in service(environment, role)["dockerCommand"]

    def test_http_services_are_asked_for_their_health_on_their_port(self, environment: str) -> None:
        for name in ORDER[:-1]:
            found = service(environment, name)
            assert found["healthCheckPath"] == "/health"
            assert variables(found)["PORT"]["value"] == str(PORTS[name])

    def test_every_reference_is_to_something_that_is_there(self, environment: str) -> None:
        here = FOUND[environment]
        kinds = {one["name"]: one["type"] for one in here["services"]}
        groups = {one["name"] for one in here["envVarGroups"]}
        databases = {one["name"] for one in here["databases"]}
        for found in here["services"]:
            for variable in found.get("envVars", []):
                assert variable.get("fromGroup", next(iter(groups))) in groups
                assert variable.get("fromDatabase", {"name": next(iter(databases))})["name"] in databases
                other = variable.get("fromService")
                assert other is None or kinds[other["name"]] == other["type"]

    def test_every_variable_is_one_that_something_reads(self, environment: str) -> None:
        workspace = (PROJECT_ROOT / "deploy/render/workspace.yaml").read_text()
        edge = (PROJECT_ROOT / "deploy/render/Caddyfile").read_text()
        group = {one["key"] for one in FOUND[environment]["envVarGroups"][0]["envVars"]}
        assert group - NOT_SETTINGS <= SETTINGS
        for found in FOUND[environment]["services"]:
            for name in variables(found) if "envVars" in found else ():
                through_on_render = name.endswith(HOSTPORT) and f"{name.removesuffix(HOSTPORT)}_URL" in SETTINGS
                assert name in SETTINGS or through_on_render or f"env: {name} " in workspace or f"{{${name}}}" in edge

    def test_what_production_needs_is_set(self, environment: str) -> None:
        """`Settings.require` refuses to start without them."""
        group = {one["key"]: one for one in FOUND[environment]["envVarGroups"][0]["envVars"]}
        assert group["FINTECH_ENV"]["value"] == environment
        assert group["JWT_SECRET"]["generateValue"]
        assert group["SERVICE_API_KEY"]["generateValue"]
        for part in PARTS:
            found = service(environment, part.name)
            assert {"fromGroup": f"fintech-{environment}"} in found["envVars"]
            assert variables(found)["DATABASE_URL"]["fromDatabase"]["property"] == "connectionString"

    def test_the_group_is_good_settings(self, environment: str, tmp_path: Path) -> None:
        group = FOUND[environment]["envVarGroups"][0]["envVars"]
        lines = [f"{one['key']}={one.get('value', 'generated')}" for one in group]
        (tmp_path / ".env").write_text("\n".join(lines))
        settings = Settings(_env_file=tmp_path / ".env")
        assert settings.environment == environment
        assert "10.0.0.0/8" in settings.trusted_proxies
        edge = re.search(
            r"trusted_proxies static ([\d./ \\\s]+)", (PROJECT_ROOT / "deploy/render/Caddyfile").read_text()
        )
        assert edge is not None
        assert tuple(edge[1].replace("\\", " ").split()) == settings.trusted_proxies

    def test_the_workspaces_hosts_are_the_locations(self, environment: str) -> None:
        workspace = yaml.safe_load((PROJECT_ROOT / "deploy/render/workspace.yaml").read_text())["load_from"]
        servers = {one["grpc_server"]["location_name"]: one["grpc_server"] for one in workspace}
        assert list(servers) == list(LOCATIONS.values())
        for role in ("dagster-webserver", "dagster-daemon"):
            given = variables(service(environment, role))
            for name, location in LOCATIONS.items():
                host = given[servers[location]["host"]["env"]]["fromService"]
                assert host == {"type": "pserv", "name": f"{name}-location-{environment}", "property": "host"}

    def test_migrations_run_once_before_the_first_part_is_replaced(self, environment: str) -> None:
        migrating = [one["name"] for one in FOUND[environment]["services"] if "preDeployCommand" in one]
        assert migrating == [f"{PARTS[0].name}-{environment}"]

    def test_only_the_edge_leads_to_dagster(self, environment: str) -> None:
        webserver = f"dagster-webserver-{environment}"
        asking = [
            one["name"] for one in FOUND[environment]["services"] if f"'name': '{webserver}'" in str(one.get("envVars"))
        ]
        assert asking == [f"edge-{environment}"]

    def test_stores_are_closed_to_the_outside(self, environment: str) -> None:
        stores = [*FOUND[environment]["databases"], service(environment, "keyvalue")]
        assert [store["ipAllowList"] for store in stores] == [[], []]
        assert FOUND[environment]["databases"][0]["postgresMajorVersion"] == "18"


def test_the_environments_differ_in_size_alone() -> None:
    def shape(environment: str) -> Any:
        text = str(FOUND[environment]["services"]).replace(environment, "ENVIRONMENT")
        text = text.replace(f":{ENVIRONMENTS[environment]}'", ":TAG'")
        return re.sub(r"'(plan|branch)': '[\w -]+'", "", text)

    assert shape("staging") == shape("production")


SCHEMA = PROJECT_ROOT / "deploy/scripts/render.schema.json"


def validate(text: str, folder: Path) -> str:
    """What the schema says of a blueprint; nothing if it is good."""
    (folder / "render.yaml").write_text(text)
    words = [str(Path(sys.executable).with_name("check-jsonschema")), "--schemafile", str(SCHEMA), "render.yaml"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("", ""),
        ("plan: standard", "plan: huge"),
        ("region: oregon", "region: moon"),
        ("type: worker", "type: job"),
        ("maxShutdownDelaySeconds: 300", "maxShutdownDelaySeconds: 301"),
        ("healthCheckPath: /health", "healthCheckPath: health"),
        ("property: connectionString", "property: url"),
        ('value: "4000"', "value: 4000"),
        ("dockerCommand:", "startCommand:"),
        ("diskSizeGB: 15", "diskSizeGB: 12"),
        ("generateValue: true", "sync: false"),
        ("isolation: enabled", "isolation: true"),
        ("fromGroup: fintech-staging", "fromGroup: { name: fintech-staging }"),
        ("            ipAllowList: []\n            maxmemoryPolicy", "            maxmemoryPolicy"),
        ("              - fromGroup: fintech-staging", "              - { key: A, value: b, sync: false }"),
    ],
)
def test_the_schema_refuses_what_render_would(good: str, bad: str, tmp_path: Path) -> None:
    text = (PROJECT_ROOT / "render.yaml").read_text()
    assert good in text
    assert bool(validate(text.replace(good, bad, 1), tmp_path)) == bool(bad)


def test_the_schema_knows_that_private_services_have_no_health_check(tmp_path: Path) -> None:
    text = (PROJECT_ROOT / "render.yaml").read_text()
    assert validate(text.replace("maxShutdownDelaySeconds: 300", "healthCheckPath: /health", 1), tmp_path)
