"""The index of routes finds what the application would find by asking each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import SecretStr
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from pipeline.base.settings import Settings
from serving.app import create_app
from serving.route_index import ANSWER, RouteIndex
from serving.routing import ROUTE
from serving.upstream import ForwardedRoutes

PARAMETER = "AAPL"


def scope_of(method: str, path: str) -> Scope:
    return {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}


def walked(routes: list[BaseRoute], method: str, path: str) -> object:
    """What answers, by asking each route in turn, and each of a router's own."""
    scope = scope_of(method, path)
    route = next((route for route in routes if route.matches(scope)[0] is Match.FULL), None)
    if route is None or isinstance(route, ForwardedRoutes):
        return route and route.handle
    inner = (each for each in iter_route_contexts([route]) if isinstance(each.original_route, APIRoute))
    return next((each.app for each in inner if method in each.methods and each.path_regex.match(path)), route.handle)


def found(index: BaseRoute, method: str, path: str) -> object:
    match, child = index.matches(scope_of(method, path))
    return child[ANSWER] if match is Match.FULL else None


def addresses(routes: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    for route in iter_route_contexts(routes):
        if route.path is None:  # one that forwards
            continue
        segments = [PARAMETER if "{" in segment else segment for segment in route.path.split("/")]
        for method in route.methods or ():
            yield method, "/".join(segments)


@pytest.mark.parametrize("service", ["backend-api", "python-risk-engine"])
@pytest.mark.parametrize("risk_engine_url", [None, "http://127.0.0.1:1"])
def test_every_route_is_found_as_by_walking(service: str, risk_engine_url: str | None) -> None:
    settings = Settings.model_construct(
        **{
            **Settings.model_construct().model_dump(),
            "database_url": SecretStr("postgresql://nobody@127.0.0.1:1/none"),
            "risk_engine_url": risk_engine_url,
        }
    )
    index, *routes = create_app(service, settings).router.routes
    assert isinstance(index, RouteIndex)
    asked = list(addresses(routes))
    assert len(asked) > 40
    missed = [address for address in asked if found(index, *address) != walked(routes, *address)]
    # What has no third segment of its own is left to the application.
    assert [path for _, path in missed if path.startswith("/api/v1/")] == []


def test_the_first_of_two_answers() -> None:
    app, first, second = FastAPI(), APIRouter(), APIRouter()
    first.add_api_route("/api/v1/things/{name}", lambda: None)
    second.add_api_route("/api/v1/things/all", lambda: None)
    app.include_router(first)
    app.include_router(second)
    index = RouteIndex(app.router.routes)
    _, child = index.matches(scope_of("GET", "/api/v1/things/all"))
    assert (child["path_params"], child[ROUTE]) == ({"name": "all"}, "/api/v1/things/{name}")
    assert child["route"] is first.routes[0]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/v1/things/a"), ("GET", "/api/v1/things/a/b"), ("GET", "/api/v1/other/a"), ("GET", "/")],
)
def test_what_is_not_answered_in_full_is_left_to_the_application(method: str, path: str) -> None:
    app, router = FastAPI(), APIRouter()
    router.add_api_route("/api/v1/things/{name}", lambda: None)
    app.include_router(router)
    assert found(RouteIndex(app.router.routes), method, path) is None


def test_a_template_whose_third_segment_is_open_is_left_to_the_application() -> None:
    app, router = FastAPI(), APIRouter()
    router.add_api_route("/files/of/{name}", lambda: None)
    router.add_api_route("/files/all/x/{rest:path}", lambda: None)
    app.include_router(router)
    index = RouteIndex(app.router.routes)
    assert found(index, "GET", "/files/of/a") is None
    assert found(index, "GET", "/files/all/x/y/z") is None
