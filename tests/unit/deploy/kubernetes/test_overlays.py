"""The environments: what kustomize makes of each, and that images are named by digest and by nothing else."""

from __future__ import annotations

import re

import kubernetes_validate
import pytest
import yaml

from deploy.rollout.images import check_image
from deploy.rollout.services import ORDER
from tests.unit.deploy.kubernetes.manifests import (
    ENVIRONMENTS,
    FOLDER,
    Object,
    base_objects,
    containers,
    named,
    pod_templates,
    rendered,
    restriction_failures,
)
from tests.unit.deploy.kubernetes.test_manifests import VERSIONS

IMAGES = [name for name in ORDER if name != "dagster-host"]
"""Those of the manifests; Dagster's own come by its chart."""

each_environment = pytest.mark.parametrize("environment", ENVIRONMENTS)


def overlay(environment: str) -> Object:
    found: Object = yaml.safe_load((FOLDER / "overlays" / environment / "kustomization.yaml").read_text())
    return found


@each_environment
def test_every_image_is_named_by_digest(environment: str) -> None:
    written = yaml.safe_load((FOLDER / "overlays" / environment / "images/kustomization.yaml").read_text())["images"]
    assert [image["name"] for image in written] == IMAGES
    for image in written:
        assert set(image) == {"name", "newName", "digest"}
        check_image(image["name"], f"{image['newName']}@{image['digest']}")


@each_environment
def test_images_are_set_before_services_are_told_theirs(environment: str) -> None:
    assert overlay(environment)["components"] == ["images", "../../current-image"]
    assert overlay(environment)["resources"] == ["namespace.yaml", "../../base"]


@each_environment
def test_what_is_patched_is_there(environment: str) -> None:
    objects = base_objects()
    for patch in overlay(environment)["patches"]:
        target = patch["target"]
        names = named(objects, target["kind"])
        assert names, target
        assert target.get("name") is None or target["name"] in names, target


@each_environment
def test_the_namespace_refuses_pods_with_rights(environment: str) -> None:
    (namespace,) = yaml.safe_load_all((FOLDER / "overlays" / environment / "namespace.yaml").read_text())
    assert namespace["metadata"]["name"] == overlay(environment)["namespace"] == f"fintech-{environment}"
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@each_environment
def test_every_file_of_the_base_is_listed(environment: str) -> None:
    listed = yaml.safe_load((FOLDER / "base/kustomization.yaml").read_text())["resources"]
    assert {*listed, "kustomization.yaml"} == {path.name for path in (FOLDER / "base").iterdir()}


@each_environment
def test_kustomize_makes_what_kubernetes_takes(environment: str) -> None:
    objects = rendered(environment)
    assert len(objects) == len(base_objects()) + 1
    for found in objects:
        kubernetes_validate.validate(found, VERSIONS[-1], strict=True)
        if found["kind"] != "Namespace":
            assert found["metadata"]["namespace"] == f"fintech-{environment}"
        assert found["kind"] == "Namespace" or found["metadata"]["labels"]["app.kubernetes.io/part-of"] == "fintech"


@each_environment
def test_kustomize_tells_every_service_its_own_image(environment: str) -> None:
    for name, found in named(rendered(environment), "Deployment").items():
        (container,) = found["spec"]["template"]["spec"]["containers"]
        assert re.fullmatch(rf"docker\.io/fintech/{name}@sha256:[0-9a-f]{{64}}", container["image"])
        told = {one["name"]: one["value"] for one in container["env"]}
        assert told["DAGSTER_CURRENT_IMAGE"] == container["image"]


@each_environment
def test_kustomize_keeps_what_pods_may_not(environment: str) -> None:
    for name, template in pod_templates(rendered(environment)).items():
        assert restriction_failures(template["spec"]["securityContext"], containers(template)) == [], name


@each_environment
def test_an_environment_has_its_own_host_and_name(environment: str) -> None:
    objects = rendered(environment)
    settings = named(objects, "ConfigMap")["fintech-settings"]["data"]
    (rule,) = named(objects, "Ingress")["fintech"]["spec"]["rules"]
    assert settings["FINTECH_ENV"] == environment
    assert settings["FINTECH_PUBLIC_URL"] == f"https://{rule['host']}"
