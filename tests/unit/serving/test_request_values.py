"""Parameters made from the request alone, and signatures that are resolved once."""

from __future__ import annotations

import asyncio
import inspect
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request

from serving.request_values import FromRequest, with_request_values
from serving.signatures import signature_of, types_of

Agent = Annotated[str, FromRequest(lambda request: request.headers["user-agent"])]


def answer(number: int, agent: Agent) -> str:
    return f"{agent} {number}"


def answer_with_request(agent: Agent, request: Request, number: int = 3) -> str:
    return f"{agent} {number} {request.method}"


def ask(app: FastAPI, address: str) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://api", headers={"User-Agent": "me"}
        ) as client:
            return await client.get(address)

    return asyncio.run(asked())


async def answer_at_once(agent: Agent) -> str:
    return agent


def answer_nobody() -> None:
    return None


@pytest.mark.parametrize(
    ("endpoint", "query", "expected"),
    [(answer, "?number=2", "me 2"), (answer_with_request, "", "me 3 GET"), (answer_at_once, "", "me")],
)
def test_a_value_of_the_request_is_handed_over(endpoint, query, expected) -> None:
    router = APIRouter()
    router.get("/")(with_request_values(endpoint))
    app = FastAPI()
    app.include_router(router)
    response = ask(app, f"/{query}")
    assert (response.status_code, response.json()) == (200, expected)


def test_what_is_made_is_no_parameter_of_the_documentation() -> None:
    app = FastAPI()
    app.get("/")(with_request_values(answer))
    assert [p["name"] for p in app.openapi()["paths"]["/"]["get"]["parameters"]] == ["number"]


def test_a_value_that_is_not_there_fails_the_request_and_not_the_next_one() -> None:
    app = FastAPI()
    app.get("/")(with_request_values(answer))
    assert ask(app, "/?number=x").status_code == 422
    assert ask(app, "/?number=1").json() == "me 1"


def test_a_function_that_takes_nothing_of_the_request_is_left_alone() -> None:
    assert with_request_values(answer_nobody) is answer_nobody


def test_a_signature_is_resolved_once() -> None:
    found = signature_of(answer_with_request)
    assert signature_of(answer_with_request) is found
    assert types_of(found) == {"agent": str, "request": Request, "number": int}
    assert found.return_annotation is str
    assert signature_of(answer_nobody).return_annotation is None
    assert inspect.signature(answer_with_request) == found
