"""What a service answers whose image goes without a package: who has it, and that asking again is no use."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import date

import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from pipeline.base.errors import NotInstalledError
from pipeline.base.settings import Settings
from serving.errors import answer_platform_error
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
