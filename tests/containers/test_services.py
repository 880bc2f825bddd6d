"""The HTTP services, each in its own image, as production runs them."""

from __future__ import annotations

import httpx
import pytest

from tests.containers.conftest import ENVIRONMENT, SERVICE_KEY, as_options
from tests.containers.engine import HARDENED, Engine
from tests.containers.images import DAGSTER_HOST, DOMAIN_IMAGES, SERVICE_IMAGES, Image

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
