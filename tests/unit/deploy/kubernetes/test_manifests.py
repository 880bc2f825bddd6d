"""The manifests: objects that Kubernetes takes, and that fit the code, the images and each other."""

from __future__ import annotations

import re
from typing import Any

import kubernetes_validate
import pytest
from fastapi.routing import iter_route_contexts

from deploy.rollout.services import ORDER
from pipeline.base.settings import SECRET_VARIABLES, Settings, env_name
from serving.app import create_app
from serving.server import DRAIN_SECONDS, GRACE_SECONDS
from serving.services import SERVICES
from tests.unit.deploy.kubernetes.manifests import (
    Object,
    base_objects,
    containers,
    matches,
    named,
    pod_templates,
    restriction_failures,
)

OBJECTS = base_objects()
DEPLOYMENTS = named(OBJECTS, "Deployment")
TEMPLATES = pod_templates(OBJECTS)
SERVED = {service.name: service.port for service in SERVICES}
SETTINGS = {env_name(field) for field in Settings.model_fields}
NOT_SETTINGS = {"PGSSLMODE", "PATH"}  # libpq's, for Dagster's own connections, and the shell's
FOREIGN_IMAGES = {"postgres:18"}
VERSIONS = ("1.30", "1.33", "1.37")
PREPARES_SECONDS = 5.0
"""What a pod needs besides its waits to end."""

each_template = pytest.mark.parametrize(("name", "template"), TEMPLATES.items(), ids=TEMPLATES)


def container(name: str) -> Object:
    found: Object = DEPLOYMENTS[name]["spec"]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("found", OBJECTS, ids=lambda found: f"{found['kind']}-{found['metadata']['name']}")
def test_kubernetes_takes_it(found: Object, version: str) -> None:
    kubernetes_validate.validate(found, version, strict=True)


def test_kubernetes_refuses_a_field_that_it_does_not_know() -> None:
    broken = {**named(OBJECTS, "Service")["backend-api"], "spec": {"port": 3000}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[0], strict=True)


def test_no_two_objects_have_one_name() -> None:
    names = [(found["kind"], found["metadata"]["name"]) for found in OBJECTS]
    assert len(set(names)) == len(names)


def test_every_service_has_all_that_belongs_to_one() -> None:
    for kind in ("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"):
        assert set(named(OBJECTS, kind)) == set(SERVED), kind
    assert set(named(OBJECTS, "ServiceAccount")) == {*SERVED, "fintech-migrate", "fintech-backup"}


@pytest.mark.parametrize("name", SERVED)
def test_a_service_runs_its_own_image_where_it_listens(name: str) -> None:
    found = container(name)
    assert found["image"] == name
    assert found["command"] == ["python", "-m", "serving", name]
    assert [port["containerPort"] for port in found["ports"]] == [SERVED[name]]
    (port,) = named(OBJECTS, "Service")[name]["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (SERVED[name], found["ports"][0]["name"])


@pytest.mark.parametrize("name", SERVED)
def test_every_selector_takes_the_pods_of_its_service_and_no_others(name: str) -> None:
    templates = {other: found["spec"]["template"]["metadata"]["labels"] for other, found in DEPLOYMENTS.items()}
    spec = DEPLOYMENTS[name]["spec"]
    selectors = [
        spec["selector"],
        {"matchLabels": named(OBJECTS, "Service")[name]["spec"]["selector"]},
        named(OBJECTS, "PodDisruptionBudget")[name]["spec"]["selector"],
        *(one["labelSelector"] for one in spec["template"]["spec"]["topologySpreadConstraints"]),
    ]
    for selector in selectors:
        assert [other for other, labels in templates.items() if matches(selector, labels)] == [name]
    scaled = named(OBJECTS, "HorizontalPodAutoscaler")[name]["spec"]
    assert scaled["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    assert 2 <= scaled["minReplicas"] < scaled["maxReplicas"]
    assert "replicas" not in spec, "the autoscaler's number would be undone by each rollout"


@pytest.mark.parametrize("name", SERVED)
def test_probes_ask_for_routes_that_the_service_has(name: str) -> None:
    app = create_app(name, Settings(_env_file=None, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none"))
    paths = {context.path for context in iter_route_contexts(app.routes)}
    found = container(name)
    asked = {probe: found[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert asked["readinessProbe"]["path"] == "/health/ready"
    assert asked["livenessProbe"]["path"] == asked["startupProbe"]["path"] == "/health", "Postgres down is no reason"
    assert all(one["path"] in paths and one["port"] == "http" for one in asked.values()), asked


@pytest.mark.parametrize("name", SERVED)
def test_a_pod_is_given_the_time_that_it_takes_to_end(name: str) -> None:
    spec = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    *_, waited = container(name)["lifecycle"]["preStop"]["exec"]["command"]
    needed = float(waited) + DRAIN_SECONDS + GRACE_SECONDS + PREPARES_SECONDS
    assert spec["terminationGracePeriodSeconds"] >= needed
    strategy = DEPLOYMENTS[name]["spec"]["strategy"]["rollingUpdate"]
    assert (strategy["maxUnavailable"], strategy["maxSurge"]) == (0, 1)


@each_template
def test_a_pod_has_no_rights(name: str, template: Object) -> None:
    spec = template["spec"]
    assert restriction_failures(spec["securityContext"], containers(template)) == []
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["serviceAccountName"] == name
    for found in containers(template):
        assert found["resources"]["requests"].keys() == {"cpu", "memory"}
        assert found["resources"]["limits"].keys() == {"memory"}
        mounted = {one["name"] for one in found["volumeMounts"]}
        assert mounted <= {one["name"] for one in spec["volumes"]}


def test_no_account_has_a_token() -> None:
    assert all(found["automountServiceAccountToken"] is False for found in named(OBJECTS, "ServiceAccount").values())


@each_template
def test_images_are_ours(name: str, template: Object) -> None:
    assert {found["image"] for found in containers(template)} <= {*ORDER, *FOREIGN_IMAGES}


def test_every_variable_is_a_setting() -> None:
    set_here: set[str] = set()
    for found in named(OBJECTS, "ConfigMap").values():
        set_here |= set(found["data"])
    for template in TEMPLATES.values():
        for one in containers(template):
            set_here |= {variable["name"] for variable in one.get("env", ())}
    assert set_here - SETTINGS == NOT_SETTINGS
    assert not set_here & SECRET_VARIABLES, "a secret belongs into the Secret"


def test_the_settings_can_be_used() -> None:
    data: dict[str, Any] = {}
    for found in named(OBJECTS, "ConfigMap").values():
        assert all(isinstance(value, str) for value in found["data"].values())
        data |= found["data"]
    settings = Settings(_env_file=None, **{name: value for name, value in data.items() if name in SETTINGS})
    assert settings.environment == "production"
    assert not settings.is_local


def test_the_gateway_finds_the_others_where_they_listen() -> None:
    upstreams = named(OBJECTS, "ConfigMap")["fintech-upstreams"]["data"]
    found = dict(re.fullmatch(r"http://([a-z-]+):(\d+)", url).groups() for url in upstreams.values())  # type: ignore[union-attr, misc]
    assert {name: int(port) for name, port in found.items() if name in SERVED} == {
        name: port for name, port in SERVED.items() if name != "backend-api"
    }
    readers = {
        name
        for name, template in TEMPLATES.items()
        for one in containers(template)
        for source in one.get("envFrom", ())
        if source.get("configMapRef", {}).get("name") == "fintech-upstreams"
    }
    assert readers == {"backend-api"}


def test_everything_that_is_named_is_there_or_is_a_secret_of_the_environment() -> None:
    sources = [
        source for template in TEMPLATES.values() for one in containers(template) for source in one.get("envFrom", ())
    ]
    maps = {source["configMapRef"]["name"] for source in sources if "configMapRef" in source}
    assert maps == set(named(OBJECTS, "ConfigMap"))
    assert {source["secretRef"]["name"] for source in sources if "secretRef" in source} == {"fintech-secrets"}
    assert not named(OBJECTS, "Secret"), "no secret's value is kept here"


def test_only_the_gateway_is_published_and_by_tls() -> None:
    (ingress,) = named(OBJECTS, "Ingress").values()
    backends = [path["backend"]["service"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
    assert backends == [{"name": "backend-api", "port": {"name": "http"}}]
    assert [host for one in ingress["spec"]["tls"] for host in one["hosts"]] == [
        rule["host"] for rule in ingress["spec"]["rules"]
    ]


def test_the_migration_needs_nothing_that_comes_after_it() -> None:
    before = [found for found in OBJECTS if found["metadata"].get("labels", {}).get("rollout") == "before"]
    kinds = {found["kind"] for found in before}
    assert kinds == {"ConfigMap", "ServiceAccount", "NetworkPolicy", "Job"}
    assert all(found in before for found in OBJECTS if found["kind"] in kinds)
    assert named(OBJECTS, "Job")["fintech-migrate"]["spec"]["template"]["spec"]["containers"][0]["command"] == [
        "fintech",
        "migrate",
    ]
