"""Which operations compute behind the bulkhead, and that a new one has to say which it is."""

from __future__ import annotations

import asyncio
import time

from fastapi.routing import iter_route_contexts

from pipeline.base.settings import Settings
from serving.app import API, create_app
from serving.routing import COMPUTES, COMPUTING, compute, computes
from tests.integration.serving.running import local_settings

COMPUTED = {
    ("POST", "/calculate"),
    ("GET", "/covariance"),
    ("POST", "/forecast"),
    ("GET", "/principal-factors"),
    ("POST", "/portfolios/{reference}/backtests"),
    ("GET", "/portfolios/{reference}/currency"),
    ("POST", "/portfolios/{reference}/decomposition"),
    ("GET", "/portfolios/{reference}/forecast"),
    ("POST", "/portfolios/{reference}/forecast"),
    ("GET", "/portfolios/{reference}/report"),
    ("POST", "/portfolios/{reference}/risk"),
    ("GET", "/portfolios/{reference}/simulations/fan"),
    ("POST", "/portfolios/{reference}/stress"),
    ("POST", "/portfolios/{reference}/tail"),
    ("GET", "/portfolios/{reference}/value"),
    ("GET", "/portfolios/{reference}/value/history"),
    ("POST", "/portfolios/{reference}/what-if"),
}
"""Beside every explanation, which is computed again. Simulations have threads of their own."""


def test_what_is_computed_is_marked() -> None:
    settings: Settings = local_settings("postgresql://nobody@127.0.0.1/none")
    found = {
        (method, route.path.removeprefix(API)): computes(route.endpoint)
        for route in iter_route_contexts(create_app("backend-api", settings).routes)
        if route.path is not None and route.path.startswith(API) and route.endpoint is not None
        for method in route.methods or ()
    }
    explanations = {operation for operation in found if operation[1].endswith("/explain")}
    assert len(explanations) >= 16
    assert {operation for operation, marked in found.items() if marked} == COMPUTED | explanations


def test_few_compute_at_once_and_a_request_computes_only_while_it_does() -> None:
    under_way: list[int] = []
    seen: list[tuple[int, bool]] = []

    def work(number: int) -> None:
        under_way.append(number)
        seen.append((len(under_way), COMPUTES.get()))
        time.sleep(0.02)
        under_way.remove(number)

    async def several() -> bool:
        await asyncio.gather(*(compute(work, number=number) for number in range(3 * COMPUTING)))
        return COMPUTES.get()

    assert asyncio.run(several()) is False
    assert len(seen) == 3 * COMPUTING
    assert max(count for count, _ in seen) == COMPUTING
    assert all(mark for _, mark in seen)
