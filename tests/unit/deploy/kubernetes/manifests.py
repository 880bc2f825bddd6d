"""The manifests as objects: those of the base as they are written, those of an environment as kustomize makes them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.base.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "deploy/kubernetes"
BASE = FOLDER / "base"
ENVIRONMENTS = ("staging", "production")
Object = dict[str, Any]


def read(path: Path) -> list[Object]:
    """Every object of a file, those of a List one by one."""
    documents = [found for found in yaml.safe_load_all(path.read_text()) if found]
    return [one for found in documents for one in (found["items"] if found["kind"] == "List" else [found])]


def base_objects() -> list[Object]:
    """Every object of the base."""
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return [found for name in listed for found in read(BASE / name)]


def rendered(environment: str) -> list[Object]:
    """Every object of an environment; the test is skipped where there is no kubectl."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: its `kustomize` puts the overlays together")
    done = subprocess.run(
        [kubectl, "kustomize", FOLDER / "overlays" / environment], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def named(objects: Iterable[Object], kind: str) -> dict[str, Object]:
    """The objects of a kind, by name."""
    return {found["metadata"]["name"]: found for found in objects if found["kind"] == kind}


def pod_templates(objects: Iterable[Object]) -> dict[str, Object]:
    """Templates of everything that makes pods, by name."""
    found = {}
    for one in objects:
        spec = one.get("spec", {})
        makes = spec["jobTemplate"]["spec"] if one["kind"] == "CronJob" else spec
        if "template" in makes:
            found[one["metadata"]["name"]] = makes["template"]
    return found


def containers(template: Object) -> list[Object]:
    """All containers of a pod, those that prepare it included."""
    spec = template["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"]]


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector of Kubernetes takes labels; an empty one takes all."""
    equal = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return equal and all(_meets(one, labels) for one in selector.get("matchExpressions", ()))


def _meets(expression: Object, labels: dict[str, str]) -> bool:
    assert expression["operator"] == "In", expression
    return labels.get(expression["key"]) in expression["values"]


def restriction_failures(pod: Object, containers: Iterable[Object]) -> list[str]:
    """What the pod security standard ``restricted`` would refuse (Kubernetes: Pod Security Standards)."""
    failures = [
        reason
        for wrong, reason in (
            (pod.get("runAsNonRoot") is not True, "runAsNonRoot is not true"),
            (pod.get("runAsUser") != 10001, "runAsUser is not the images' 10001"),
            (pod.get("seccompProfile", {}).get("type") != "RuntimeDefault", "seccompProfile is not RuntimeDefault"),
        )
        if wrong
    ]
    for found in containers:
        context = found.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False or context.get("capabilities") != {"drop": ["ALL"]}:
            failures.append(f"{found.get('name')} may gain rights")
        if context.get("readOnlyRootFilesystem") is not True:
            failures.append(f"{found.get('name')} may write to its root file system")
    return failures
