"""The HTTP services, each in its own image, as production runs them."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.containers.conftest import ENVIRONMENT, SERVICE_KEY, as_options
from tests.containers.engine import HARDENED, HEALTHY_SECONDS, Container, Engine
from tests.containers.images import BACKEND_API, DAGSTER_HOST, DOMAIN_IMAGES, SERVICE_IMAGES, Image

each_service = pytest.mark.parametrize("image", SERVICE_IMAGES, ids=lambda image: image.name)


@each_service
def test_answers_under_its_name(engine: Engine, network: str, image: Image) -> None:
    command = ("python", "-m", "serving", image.name)
    with engine.container(
        image.tag, *command, network=network, alias="service", environment=ENVIRONMENT, publish=image.port
    ) as container:
        container.wait_until_healthy()  # the image's own check, which also knows the code location on another port
        with httpx.Client(base_url=container.url(image.port), trust_env=False) as client:
            assert client.get("/health").json()["service"] == image.name
            ready = client.get("/health/ready").json()
            assert (ready["status"], ready["service"]) == ("ready", image.name)
            assert client.get("/api/v1/instruments").status_code in (401, 404)
            answer = client.get("/api/v1/no-such-address", headers={"X-Service-Token": SERVICE_KEY})
            assert answer.status_code == 404
        engine.docker("stop", "--time", "20", container.id)
        assert container.inspect()["State"]["ExitCode"] == 0, container.logs()


@each_service
@pytest.mark.parametrize("missing", ["DATABASE_URL", "JWT_SECRET", "SERVICE_API_KEY"])
def test_refuses_to_start_without_a_secret(engine: Engine, image: Image, missing: str) -> None:
    given = {name: text for name, text in ENVIRONMENT.items() if name not in (missing, "FINTECH_ENV")}
    # FINTECH_ENV is production by the image itself: leaving it out opens nothing.
    done = engine.once(image.tag, "python", "-m", "serving", image.name, options=(*HARDENED, *as_options(given)))
    assert done.exit_code == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: FINTECH_ENV=production needs {missing},")


@each_service
def test_refuses_a_secret_that_can_be_guessed(engine: Engine, image: Image) -> None:
    given = {**ENVIRONMENT, "JWT_SECRET": "x" * 31}
    done = engine.once(image.tag, "python", "-m", "serving", image.name, options=(*HARDENED, *as_options(given)))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: JWT_SECRET has 31 bytes, and 32 are needed. ")


def test_several_workers_that_would_count_apart_are_refused(engine: Engine) -> None:
    """Production limits requests by itself, so workers need a Redis or the word that there is no limit."""
    given = as_options({**ENVIRONMENT, "FINTECH_WORKERS": "2"})
    done = engine.once(BACKEND_API.tag, options=(*HARDENED, *given))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: FINTECH_WORKERS=2 processes cannot count requests together without REDIS_URL")


def test_several_workers_are_replaced_without_a_lost_request(engine: Engine, network: str) -> None:
    given = {**ENVIRONMENT, "FINTECH_WORKERS": "2", "FINTECH_RATE_LIMIT": "none"}
    with engine.container(
        BACKEND_API.tag, network=network, alias="workers", environment=given, publish=BACKEND_API.port
    ) as container:
        url = container.wait_until_healthy().url(BACKEND_API.port)
        before = workers_of(container)
        assert len(before) == 2
        engine.docker("kill", "--signal", "HUP", container.id)
        deadline = time.monotonic() + HEALTHY_SECONDS
        while before & workers_of(container):
            assert httpx.get(f"{url}/health", trust_env=False, timeout=30).status_code == 200
            assert time.monotonic() < deadline, container.logs()
        assert httpx.get(f"{url}/health/ready", trust_env=False, timeout=30).json()["status"] == "ready"
        metrics = httpx.get(
            f"{url}/metrics", headers={"Authorization": f"Bearer {SERVICE_KEY}"}, trust_env=False, timeout=30
        )
        assert metrics.status_code == 200, metrics.text
        engine.docker("stop", "--time", "60", container.id)
        assert container.inspect()["State"]["ExitCode"] == 0, container.logs()


def workers_of(container: Container) -> set[str]:
    """Ids of the processes that answer; their supervisor runs another module."""
    program = "grep -lz '^serving.workers$' /proc/[0-9]*/cmdline 2>/dev/null || true"
    return {path.split("/")[2] for path in container.execute("sh", "-c", program).stdout.split()}


def test_the_port_is_the_platforms_to_choose(engine: Engine, network: str) -> None:
    image = DOMAIN_IMAGES[1]
    with engine.container(
        image.tag, "python", "-m", "serving", image.name,
        network=network, alias="moved", environment={**ENVIRONMENT, "PORT": "10000"}, publish=10000,
    ) as container:  # fmt: skip
        container.wait_until_healthy()
        assert httpx.get(f"{container.url(10000)}/health", trust_env=False).json()["service"] == image.name


@pytest.mark.parametrize("image", [*SERVICE_IMAGES, DAGSTER_HOST], ids=lambda image: image.name)
def test_the_health_check_fails_where_nothing_runs(engine: Engine, image: Image) -> None:
    done = engine.once(image.tag, "sh", "-c", "exec python -m deploy.probe grpc:4000 http:$PORT/health")
    assert done.exit_code == 1
    assert done.stderr == f"nothing listens on grpc:4000, http:{image.port}/health\n"


def test_the_health_check_fails_on_an_answer_that_is_not_200(engine: Engine) -> None:
    program = (
        "python -m http.server 8000 --bind 127.0.0.1 >/dev/null 2>&1 & sleep 2; exec python -m deploy.probe http:8000/x"
    )
    done = engine.once(DOMAIN_IMAGES[1].tag, "sh", "-c", program)
    assert (done.exit_code, done.stderr) == (1, "http:8000/x: status 404\n")
