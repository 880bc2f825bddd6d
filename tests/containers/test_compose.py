"""The project of deploy/compose.yaml: whole, closed, and Dagster behind the gateway's login."""

from __future__ import annotations

import base64
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from deploy.rollout.services import LOCATIONS, PARTS
from tests.containers.measured import measure
from tests.containers.stack import OPERATOR, Stack

IDLE_MEBIBYTES = 250
"""What a code location may take while nothing runs."""
ONE_SHOT = {"migrate"}
TRUSTED_WITH_THE_ENGINE = {"dagster-webserver", "dagster-daemon"}
VIEWER = "vera@example.com"
MONITORS = {"prometheus", "alertmanager", "grafana", "otel-collector", "jaeger"}


Services = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def services(stack: Stack) -> Services:
    """The containers, by service."""
    return {found["Config"]["Labels"]["com.docker.compose.service"]: found for found in stack.containers()}


def test_every_service_is_up_and_healthy(services: Services) -> None:
    assert {part.name for part in PARTS} | ONE_SHOT | {"postgres", "valkey", "edge"} == set(services)
    for name, found in services.items():
        state = found["State"]
        if name in ONE_SHOT:
            assert (state["Status"], state["ExitCode"]) == ("exited", 0), name
        else:
            assert state["Health"]["Status"] == "healthy", name


def test_the_profile_of_monitoring_fits_beside(stack: Stack) -> None:
    """Its images are out of reach here, so that it is put together, but not started."""
    beside = ("--file", str(stack.file.parent / "monitoring/compose.yaml"), "--profile", "monitoring")
    services = set(stack.compose(*beside, "config", "--services").split())
    assert services - set(stack.compose("config", "--services").split()) == MONITORS


def test_every_container_can_do_as_little_as_it_needs(services: Services) -> None:
    for name, found in services.items():
        host = found["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["Memory"] > 0, name
        assert host["PidsLimit"] > 0, name
        assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "5"}, name
        assert not host["Privileged"], name
        sockets = [mount for mount in found["Mounts"] if mount["Source"].endswith("docker.sock")]
        assert bool(sockets) is (name in TRUSTED_WITH_THE_ENGINE), name


def test_nothing_but_the_edge_is_published_and_that_on_loopback(services: Services) -> None:
    for name, found in services.items():
        published = [one for ports in found["NetworkSettings"]["Ports"].values() for one in ports or ()]
        assert bool(published) is (name == "edge"), name
        assert {one["HostIp"] for one in published} <= {"127.0.0.1"}, name


def test_no_secret_is_among_what_the_engine_tells_of_a_container(stack: Stack, services: Services) -> None:
    secrets = [stack.secret(name) for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "JWT_SECRET", "SERVICE_API_KEY")]
    assert all(len(secret) == 64 for secret in secrets)
    for name, found in services.items():
        assert not [secret for secret in secrets if secret in str(found)], name


def test_the_apis_containers_cannot_reach_the_webserver(stack: Stack) -> None:
    program = "import socket; socket.create_connection(('{}', {}), 3)"
    stack.execute("backend-api", "python", "-c", program.format("python-risk-engine", 8000))
    [webserver] = stack.containers("dagster-webserver")
    [network] = webserver["NetworkSettings"]["Networks"].values()
    for host in ("dagster-webserver", network["IPAddress"]):
        reached = stack.engine.run(
            "compose", "--project-name", stack.name, "--file", str(stack.file), "exec", "--no-TTY",
            "backend-api", "python", "-c", program.format(host, 3030),
        )  # fmt: skip
        assert reached.exit_code != 0, host


def test_the_gateway_reaches_every_service(stack: Stack) -> None:
    ready = httpx.get(f"{stack.url}/health/ready", trust_env=False, timeout=30).json()
    assert ready["status"] == "ready"
    assert set(ready["upstreams"]) == set(LOCATIONS)
    assert all(state["answers"] for state in ready["upstreams"].values())
    assert ready["image_digest"] == stack.images["backend-api"].partition("@")[2]


def test_a_location_takes_little_while_nothing_runs(stack: Stack) -> None:
    for service in LOCATIONS:
        [found] = stack.containers(f"{service}-location")
        # What `docker stats` counts: without pages of files that could be dropped.
        program = "cat /sys/fs/cgroup/memory/memory.stat 2>/dev/null || cat /sys/fs/cgroup/memory.stat"
        said = stack.engine.docker("exec", found["Id"], "sh", "-c", program).splitlines()
        stat = {name: int(value) for name, value in (line.split() for line in said)}
        resident = stat.get("total_rss", stat.get("anon", 0)) / 2**20
        measure(f"{service}: code location, resident when idle", resident, IDLE_MEBIBYTES, "MiB")
        assert 20 < resident < IDLE_MEBIBYTES


def test_dagster_is_closed_to_whoever_has_not_logged_in(stack: Stack) -> None:
    with httpx.Client(base_url=stack.url, trust_env=False, timeout=30) as client:
        page = client.get("/dagster/", headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["location"]) == (303, "/login?next=/dagster-access")
        assert client.post("/dagster/graphql", json={"query": "{version}"}).status_code == 401
        assert client.get("/dagster/server_info", headers={"X-Forwarded-Uri": "/health"}).status_code == 401
        assert client.get("/dagster/%2e%2e/dagster/server_info").status_code == 401
    assert websocket(stack, {}) == 401


def test_dagster_is_closed_to_viewers(stack: Stack) -> None:
    password = stack.execute("backend-api", "fintech", "users", "add", VIEWER, "--generate").split()[-1]
    with httpx.Client(base_url=stack.url, trust_env=False, timeout=30) as client:
        answer = client.post("/api/v1/auth/login", json={"email": VIEWER, "password": password})
        token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        refused = client.post("/dagster/graphql", json={"query": "{version}"}, headers=token)
    assert refused.status_code == 403


def test_an_operator_gets_to_dagster_by_the_login_page(stack: Stack) -> None:
    assert stack.key
    password = stack.execute("backend-api", "fintech", "users", "password", OPERATOR, "--generate").split()[-1]
    own = {"Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=stack.url, trust_env=False, timeout=30) as client:
        form = {"email": OPERATOR, "password": password, "next": "/dagster-access"}
        logged_in = client.post("/login", data=form, headers=own)
        assert logged_in.headers["location"] == "/dagster-access"
        cookie = {"Cookie": logged_in.headers["set-cookie"].partition(";")[0]}  # httpx keeps it to TLS, as browsers do
        assert client.get("/dagster-access", headers=cookie).headers["location"] == "/dagster/"
        page = client.get("/dagster/", headers=cookie)
        assert page.status_code == 200
        assert "/dagster/" in page.text
        query = {"query": "{version}"}
        assert client.post("/dagster/graphql", headers={**cookie, **own}, json=query).json()["data"]["version"]
        foreign = {**cookie, "Sec-Fetch-Site": "cross-site"}
        assert client.post("/dagster/graphql", headers=foreign, json=query).status_code == 403
    assert websocket(stack, cookie) == 101
    assert websocket(stack, {**cookie, "Origin": "https://example.com"}) == 403


def test_the_webserver_behind_the_edge_has_loaded_all_four(stack: Stack) -> None:
    assert stack.dagster.locations() == dict.fromkeys(LOCATIONS.values())


def websocket(stack: Stack, headers: dict[str, str]) -> int:
    """The status that opening Dagster's web socket is answered with."""
    host, port = urlsplit(stack.url).netloc.split(":")
    lines = [
        "GET /dagster/graphql HTTP/1.1",
        f"Host: {host}:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: graphql-ws",
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    with socket.create_connection((host, int(port)), 30) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return int(connection.recv(4096).split()[1])
