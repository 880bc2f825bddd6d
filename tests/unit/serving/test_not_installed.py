"""What a service answers whose image goes without a package: who has it, and that asking again is no use."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import date

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request

from pipeline.base.errors import NotInstalledError
from pipeline.base.settings import Settings
from serving.errors import add_error_handlers, answer_platform_error, not_installed
from serving.pages.tear_sheet_parts import Sheet
from serving.pages.typesetting import set_sheet
from serving.routes.explaining.envelope import InputsOut
from serving.routes.explaining.simulations import require_numba
from serving.routes.explaining.strategies import weight_again

INPUTS = InputsOut(sessions=[date(2022, 12, 28)], close={"AAPL": [1.0]}, exchange_rates={})


@pytest.mark.parametrize(
    ("package", "ask", "who"),
    [
        ("numba", require_numba, "portfolio-simulation"),
        ("skfolio", lambda: weight_again(INPUTS, "hrp", "AAPL"), "portfolio-simulation"),
        ("typst", lambda: set_sheet(Sheet.__new__(Sheet)), "backend-api"),
    ],
)
def test_a_package_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, package: str, ask: Callable[[], object], who: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(NotInstalledError, match=f"{package} is not installed") as caught:
        ask()
    assert who in caught.value.remedy


def test_what_the_gateways_image_lacks_is_named_with_who_has_it() -> None:
    known = not_installed(ModuleNotFoundError("No module named 'numba.extending'", name="numba.extending"))
    assert known.cause == "This service cannot compute that: numba is not installed"
    assert "AI_ENGINE_URL" in known.remedy


def test_any_other_module_that_is_missing_is_a_defect() -> None:
    missing = ModuleNotFoundError("No module named 'pipeline.risc'", name="pipeline.risc")
    with pytest.raises(ModuleNotFoundError) as caught:
        not_installed(missing)
    assert caught.value is missing


def test_a_route_that_needs_what_is_missing_answers_with_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)  # as if it were not installed
    app = FastAPI()
    app.state.settings = Settings()
    add_error_handlers(app)

    @app.get("/")
    def compute() -> None:
        import numba  # noqa: F401, PLC0415

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get("/")

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()["title"]) == (501, "Not Implemented")
    assert "numba is not installed" in answer.json()["detail"]


@pytest.mark.parametrize("environment", ["local", "production"])
def test_the_remedy_is_told_to_strangers_too(environment: str) -> None:
    """Unlike those of other failures of a service, it says nothing of addresses or users."""
    app = Starlette()
    app.state.settings = Settings.model_validate({"FINTECH_ENV": environment})
    request = Request({"type": "http", "method": "GET", "path": "/", "headers": [], "app": app})
    answer = asyncio.run(answer_platform_error(request, NotInstalledError("No numba", "Ask another.")))
    problem = json.loads(bytes(answer.body))
    assert (answer.status_code, problem["detail"], problem["remedy"]) == (501, "No numba", "Ask another.")
    assert "retry-after" not in answer.headers
