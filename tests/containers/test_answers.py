"""Every operation of the API, answered by the images: by all of them as one platform, and by the gateway's alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from pipeline.base.settings import env_name
from pipeline.store.engine import Database
from serving.services import service_named
from serving.upstream import ADDRESSES
from tests.containers.conftest import ENVIRONMENT, POSTGRES_PORT, migrate_inside
from tests.containers.engine import Container, Engine
from tests.containers.images import BACKEND_API, DOMAIN_IMAGES, Image
from tests.docs.answer_rows import ADMIN, EXAMPLE, fill_for_answers
from tests.docs.answers import Recorder
from tests.integration.serving.accounts import bearer, log_in
from tests.integration.serving.documented_requests import Operation, documented_operations
from tests.openapi_documents import document_of

WEIGHT = {"measure": "weight", "symbol": "AAPL"}
COMPUTED = {"backtests", "calculate", "decomposition", "explain", "forecast", "risk", "stress", "tail", "what-if"}
"""Ends of the paths whose POST only computes."""
ANSWER_SECONDS = 120
"""A first answer of its kind is compiled before it is computed."""


class Patient(httpx.HTTPTransport):
    """Asks again when the answer says so.

    A gateway waits 30 s for a service, less than a busy machine takes to compile what was asked for the first time.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The first answer that is not to be asked for again, or the last one in time."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            answer = super().handle_request(request)
            if answer.status_code != 503 or "Retry-After" not in answer.headers or time.monotonic() > deadline:
                return answer
            answer.close()
            time.sleep(int(answer.headers["Retry-After"]))


@pytest.fixture(scope="module")
def together(engine: Engine, network: str, postgres: Container) -> Iterator[httpx.Client]:
    """An admin's client of a gateway that calls the four services, each in its own image."""
    environment = filled(engine, network, postgres, "together")
    with ExitStack() as stack:
        for image in DOMAIN_IMAGES:
            stack.enter_context(serving(engine, network, image, environment))
            field = ADDRESSES[str(service_named(image.name).slice)]
            environment = {**environment, env_name(field): f"http://{image.name}:{image.port}"}
        yield stack.enter_context(admins(stack.enter_context(serving(engine, network, BACKEND_API, environment))))


@pytest.fixture(scope="module")
def alone(engine: Engine, network: str, postgres: Container) -> Iterator[httpx.Client]:
    """An admin's client of a gateway that knows no other service, and answers with what its own image holds."""
    environment = filled(engine, network, postgres, "alone")
    with serving(engine, network, BACKEND_API, environment) as gateway, admins(gateway) as client:
        yield client


def test_the_images_together_answer_every_operation_as_documented(together: httpx.Client) -> None:
    recorder = Recorder(together)
    recorder.ask_all()
    assert not recorder.failures, "\n".join(recorder.failures)
    answered = {name for answers in recorder.by_tag.values() for name in answers}
    assert len(answered) > 100
    assert {"simulate", "compute_what_if", "post_login", "list_prices"} <= answered


def test_a_weight_is_explained_by_the_image_that_weighs(together: httpx.Client) -> None:
    answer = together.get("/api/v1/strategies/min_variance/explain", params=WEIGHT)
    assert answer.status_code == 200, answer.text
    assert answer.json()["recomputed"] is not None


@pytest.mark.parametrize("path", ["instruments", "measures", "instruments/AAPL/forecasts/volatility", "strategies"])
@pytest.mark.parametrize(("form", "magic"), [("parquet", b"PAR1"), ("arrow", b"\xff\xff\xff\xff"), ("csv", b"")])
def test_every_service_writes_tables(together: httpx.Client, path: str, form: str, magic: bytes) -> None:
    answer = together.get(f"/api/v1/{path}", params={"format": form})
    assert answer.status_code == 200, answer.text
    assert answer.content.startswith(magic)
    assert len(answer.content) > len(magic)


def test_the_gateway_sets_pages_and_prints_them(together: httpx.Client) -> None:
    page = together.get(f"/portfolios/{EXAMPLE}/tear-sheet")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8"), page.text[:500]
    printed = together.get(f"/portfolios/{EXAMPLE}/tear-sheet.pdf")
    assert printed.status_code == 200, printed.text[:500]
    assert printed.content.startswith(b"%PDF-")


def test_the_gateway_alone_has_no_defect(alone: httpx.Client) -> None:
    """What it cannot compute it says; all else it answers. Nothing is asked that changes anything."""
    defects = []
    for operation in reading():
        answer = operation.asked(alone)
        if answer.status_code >= 500 and not is_left_to_another(answer):
            defects.append(f"{operation.method} {operation.path}: {answer.status_code} {answer.text[:300]}")
    assert not defects, "\n".join(defects)


def test_the_gateway_alone_names_who_computes_what_it_cannot(alone: httpx.Client) -> None:
    document = document_of()
    asked = [o for o in documented_operations(document, "/api/v1/") if "501" in responses_of(document, o)]
    assert len(asked) >= 12
    for operation in asked:
        answer = operation.asked(alone, **(WEIGHT if "/strategies/" in operation.path else {}))
        assert is_left_to_another(answer), f"{operation.path}: {answer.status_code} {answer.text[:300]}"


def is_left_to_another(answer: httpx.Response) -> bool:
    """Whether it is refused with the name of the setting that would have it answered."""
    return answer.status_code == 501 and "PORTFOLIO_SERVICE_URL" in answer.json()["remedy"]


def reading() -> Iterator[Operation]:
    """Each operation of the gateway that reads or computes, and stores nothing."""
    for operation in documented_operations(document_of(), "/api/v1/"):
        if operation.method == "GET" or operation.path.rpartition("/")[2] in COMPUTED:
            yield operation


def responses_of(document: dict[str, Any], operation: Operation) -> dict[str, Any]:
    """The documented answers of an operation."""
    return dict(document["paths"][operation.path][operation.method.lower()]["responses"])


def filled(engine: Engine, network: str, postgres: Container, name: str) -> dict[str, str]:
    """The environment of services on a database of their own, in which there is something to answer with."""
    urls = {key: f"{ENVIRONMENT[key]}_{name}" for key in ("DATABASE_URL", "DAGSTER_DATABASE_URL")}
    environment = {**ENVIRONMENT, **urls, "FINTECH_RATE_LIMIT": "none"}
    migrate_inside(engine, network, environment)
    reached = postgres.url(POSTGRES_PORT).removeprefix("http://")
    fill_for_answers(Database(urls["DATABASE_URL"].replace("postgres:5432", reached)))
    return environment


@contextmanager
def serving(engine: Engine, network: str, image: Image, environment: dict[str, str]) -> Iterator[Container]:
    """The HTTP service of an image, under its name."""
    command = ("python", "-m", "serving", image.name)
    with engine.container(
        image.tag, *command, network=network, alias=image.name, environment=environment, publish=image.port
    ) as container:
        yield container.wait_until_healthy()


@contextmanager
def admins(gateway: Container) -> Iterator[httpx.Client]:
    """A client that has logged in."""
    url = gateway.url(BACKEND_API.port)
    with httpx.Client(base_url=url, transport=Patient(), trust_env=False, timeout=ANSWER_SECONDS) as client:
        client.headers.update(bearer(log_in(client, ADMIN)["access_token"]))
        yield client
