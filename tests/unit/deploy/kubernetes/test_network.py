"""Who may talk to whom, worked out from the policies as Kubernetes does."""

from __future__ import annotations

import pytest
import yaml

from tests.unit.deploy.kubernetes.manifests import FOLDER, Object, base_objects, matches, named, pod_templates

OBJECTS = base_objects()
POLICIES = [found["spec"] for found in named(OBJECTS, "NetworkPolicy").values()]
VALUES = yaml.safe_load((FOLDER / "dagster/values.yaml").read_text())
SLICES = {
    "market-data-ingestion": 8002,
    "python-risk-engine": 8000,
    "portfolio-simulation": 8001,
    "ai-microservice-engine": 8003,
}
Labels = dict[str, str]


def pods() -> dict[str, Labels]:
    """Labels of every pod; those of Dagster's as the chart makes them."""
    found = {name: template["metadata"]["labels"] for name, template in pod_templates(OBJECTS).items()}
    webserver, daemon = VALUES["dagsterWebserver"]["labels"], VALUES["dagsterDaemon"]["labels"]
    found["webserver"] = {"app.kubernetes.io/name": "dagster", "component": "dagster-webserver", **webserver}
    found["daemon"] = {"app.kubernetes.io/name": "dagster", "component": "dagster-daemon", **daemon}
    for one in VALUES["dagster-user-deployments"]["deployments"]:
        location = {"app.kubernetes.io/name": "dagster-user-deployments", "component": "user-deployments"}
        found[one["name"]] = {**location, **one["labels"]}
        run = {"app.kubernetes.io/name": "dagster", "app.kubernetes.io/component": "run_worker"}
        found[one["name"].replace("location", "run")] = {**run, **one["labels"]}
    return found


PODS = pods()
LOCATIONS = [name for name in PODS if name.endswith("-location")]
RUNS = [name for name in PODS if name.endswith("-run")]


def allows(direction: str, labels: Labels, peer: Labels | None, port: int, namespace: Labels | None = None) -> bool:
    """Whether one side lets a connection pass. A peer is a pod, a namespace with labels, or an address elsewhere."""
    kind = direction.capitalize()
    governing = [one for one in POLICIES if kind in one["policyTypes"] and matches(one["podSelector"], labels)]
    assert governing, "without a policy all would be allowed"
    side = "to" if direction == "egress" else "from"
    return any(
        _is_port(rule, port) and (side not in rule or any(_is_peer(one, peer, namespace) for one in rule[side]))
        for policy in governing
        for rule in policy.get(direction, ())
    )


def _is_port(rule: Object, port: int) -> bool:
    named_http = set(SLICES.values()) | {3000}
    return any(
        port in named_http if one["port"] == "http" else one["port"] <= port <= one.get("endPort", one["port"])
        for one in rule["ports"]
    )


def _is_peer(found: Object, peer: Labels | None, namespace: Labels | None) -> bool:
    if "namespaceSelector" in found:
        return namespace is not None and matches(found["namespaceSelector"], namespace)
    return namespace is None and peer is not None and matches(found["podSelector"], peer)


def reaches(source: str, target: str, port: int) -> bool:
    return allows("egress", PODS[source], PODS[target], port) and allows("ingress", PODS[target], PODS[source], port)


@pytest.mark.parametrize(("name", "port"), SLICES.items())
def test_the_gateway_alone_calls_the_slices(name: str, port: int) -> None:
    assert [source for source in PODS if reaches(source, name, port)] == ["backend-api"]


def test_nobody_inside_calls_the_gateway() -> None:
    assert [source for source in PODS if reaches(source, "backend-api", 3000)] == []


@pytest.mark.parametrize("location", LOCATIONS)
def test_dagsters_host_alone_asks_the_locations(location: str) -> None:
    assert [source for source in PODS if reaches(source, location, 4000)] == ["webserver", "daemon"]


def test_the_webserver_answers_nobody_but_the_gateway() -> None:
    assert [source for source in PODS if reaches(source, "webserver", 3030)] == ["backend-api"]


@pytest.mark.parametrize("name", PODS)
def test_pods_reach_what_lies_outside_only_where_they_need_it(name: str) -> None:
    def reached(port: int) -> bool:
        return allows("egress", PODS[name], None, port)

    serves = name in {*SLICES, "backend-api"}
    assert reached(5432), "all of them read or write Postgres"
    assert reached(6379) is serves
    asks_outside = name in ("webserver", "daemon") or name.startswith(("market-data-ingestion-", "python-risk-engine-"))
    assert reached(443) is asks_outside
    assert reached(6443) is (name in ("webserver", "daemon"))
    assert not reached(80)


@pytest.mark.parametrize("name", PODS)
def test_other_namespaces_come_in_by_their_role(name: str) -> None:
    serves = name in {*SLICES, "backend-api"}
    port = {**SLICES, "backend-api": 3000, "webserver": 3030}.get(name, 4000)

    def lets_in(role: str) -> bool:
        return allows("ingress", PODS[name], None, port, {"fintech-role": role})

    assert lets_in("ingress") is (name == "backend-api")
    assert lets_in("monitoring") is serves
    assert not lets_in("other")
    assert allows("egress", PODS[name], None, 53, {"kubernetes.io/metadata.name": "kube-system"})
