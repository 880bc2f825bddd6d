"""The values for Dagster's chart: keys that it knows, our images and locations, and an instance that Dagster takes.

The chart itself is not here; chart-keys.yaml notes the keys that it knows.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.rollout.images import check_image
from deploy.rollout.services import LOCATIONS, Part, Role
from pipeline.base.settings import PROJECT_ROOT
from tests.unit.deploy.kubernetes.manifests import FOLDER, base_objects, named, restriction_failures

TEXT = (FOLDER / "dagster/values.yaml").read_text()
VALUES: dict[str, Any] = yaml.safe_load(TEXT)
OWN_PREFIX = "x-"
KNOWN: dict[str, list[str]] = yaml.safe_load((Path(__file__).parent / "chart-keys.yaml").read_text())
HOST = ("dagsterWebserver", "dagsterDaemon")
LAUNCHER: dict[str, Any] = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
DEPLOYMENTS: dict[str, dict[str, Any]] = {one["name"]: one for one in VALUES["dagster-user-deployments"]["deployments"]}
PARTS = {"webserver": VALUES["dagsterWebserver"], "daemon": VALUES["dagsterDaemon"], **DEPLOYMENTS}
each_part = pytest.mark.parametrize("name", PARTS)


def test_the_chart_knows_every_key() -> None:
    used = {part: VALUES[part] for part in HOST}
    used |= {"k8sRunLauncher": LAUNCHER, "runK8sConfig": LAUNCHER["runK8sConfig"]}
    used["root"] = [key for key in VALUES if not key.startswith(OWN_PREFIX)]
    used["deployments"] = {key for found in DEPLOYMENTS.values() for key in found}
    assert {part: set(keys) - set(KNOWN[part]) for part, keys in used.items()} == {part: set() for part in used}


def test_the_chart_is_of_the_images_version() -> None:
    assert f"--version {version('dagster')} " in TEXT


@pytest.mark.parametrize(("service", "location"), LOCATIONS.items())
def test_every_location_is_served_by_its_image(service: str, location: str) -> None:
    name = Part(service, Role.LOCATION).name
    found = DEPLOYMENTS[name]
    assert found["dagsterApiGrpcArgs"] == ["-m", f"pipeline.{location}.definitions"]
    check_image(service, f"{found['image']['repository']}:{found['image']['tag']}")
    servers = VALUES["dagsterWebserver"]["workspace"]["servers"]
    assert {"host": name, "port": found["port"], "name": location} in servers
    assert len(servers) == len(DEPLOYMENTS) == len(LOCATIONS)


def test_the_host_is_one_image() -> None:
    images = [VALUES[part]["image"] for part in HOST]
    assert images[0] == images[1]
    check_image("dagster-host", f"{images[0]['repository']}:{images[0]['tag']}")


def test_no_name_is_that_of_another_service() -> None:
    assert not set(DEPLOYMENTS) & set(named(base_objects(), "Service"))


@each_part
def test_a_part_makes_a_pod_that_kubernetes_takes(name: str) -> None:
    part = PARTS[name]
    probes = {key: dict(part[key]) for key in ("readinessProbe", "livenessProbe", "startupProbe") if key in part}
    for probe in probes.values():
        probe.pop("enabled", None)
    container = {"name": "dagster", "image": "x", "securityContext": part["securityContext"], **probes}
    container |= {"resources": part["resources"], "volumeMounts": part["volumeMounts"]}
    spec = {"securityContext": part["podSecurityContext"], "volumes": part["volumes"], "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "labels": part["labels"]}, "spec": spec}
    kubernetes_validate.validate(pod, "1.37", strict=True)
    assert restriction_failures(spec["securityContext"], spec["containers"]) == []
    assert {one["name"] for one in part["volumeMounts"]} == {one["name"] for one in part["volumes"]}
    assert "/opt/dagster/home/storage" in {one["mountPath"] for one in part["volumeMounts"]}


def test_a_run_has_no_rights_either() -> None:
    config = LAUNCHER["runK8sConfig"]
    spec = {**config["podSpecConfig"], "restartPolicy": "Never"}
    spec["containers"] = [{"name": "run", "image": "x", **config["containerConfig"]}]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}}
    job["spec"] = {**config["jobSpecConfig"], "template": {"spec": spec}}
    kubernetes_validate.validate(job, "1.37", strict=True)
    assert restriction_failures(spec["securityContext"], spec["containers"]) == []
    assert all(found["includeConfigInLaunchedRuns"] == {"enabled": True} for found in DEPLOYMENTS.values())


def test_locations_read_what_the_services_read() -> None:
    for found in DEPLOYMENTS.values():
        assert [one["name"] for one in found["envConfigMaps"]] == ["fintech-settings"]
        assert [one["name"] for one in found["envSecrets"]] == ["fintech-secrets"]


def test_the_database_is_not_the_charts_and_its_password_is_not_here() -> None:
    assert VALUES["postgresql"]["enabled"] is False
    assert VALUES["postgresql"]["postgresqlScheme"] == "postgresql+psycopg2"
    assert "postgresqlPassword" not in VALUES["postgresql"]
    assert VALUES["generatePostgresqlPasswordSecret"] is False
    assert VALUES["global"]["postgresqlSecretName"]


def test_what_both_instances_say_is_the_same() -> None:
    """But how many runs there are at once: a cluster has room for more than one machine."""
    plain = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())
    added = VALUES["additionalInstanceConfig"]
    assert added["concurrency"]["pools"] == plain["concurrency"]["pools"]
    retries = VALUES["dagsterDaemon"]["runRetries"]
    assert {
        "enabled": retries["enabled"],
        "max_retries": retries["maxRetries"],
        "retry_on_asset_or_op_failure": retries["retryOnAssetOrOpFailure"],
    } == plain["run_retries"]
    for kind in ("schedule", "sensor"):
        assert VALUES["retention"][kind]["purgeAfterDays"] == plain["retention"][kind]["purge_after_days"]


INSTANCE = """
import sys
import dagster as dg

@dg.asset
def one() -> int:
    return 1

with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    assert dg.materialize([one], instance=instance).success
    print(instance.get_concurrency_config().pool_config.default_pool_limit, "dagster_k8s" in sys.modules)
"""


def test_a_run_works_with_the_charts_instance_without_the_launcher(tmp_path: Path) -> None:
    """Its image has no dagster-k8s: only who launches loads the launcher."""
    monitoring = VALUES["dagsterDaemon"]["runMonitoring"]
    instance = {
        "run_launcher": {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": {}},
        "run_coordinator": {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator"},
        "run_monitoring": {
            re.sub(r"([A-Z])", lambda found: f"_{found[1].lower()}", key): value for key, value in monitoring.items()
        },
        "telemetry": VALUES["telemetry"],
        **VALUES["additionalInstanceConfig"],
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(instance))
    done = subprocess.run([sys.executable, "-c", INSTANCE, tmp_path], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["1 False"], done.stderr[-2000:]
