"""Charts as images: who may see them, how they are kept, and that other pages may show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest

from pipeline.base.chart_links import chart_path, signed
from pipeline.store.engine import Database
from tests.integration.serving.accounts import SECURED, SERVICE_KEY, House, bearer, furnish, log_in
from tests.integration.serving.running import local_settings, running_service

CHART = chart_path("stress", "alices")
WIDEST = 900
"""Dagster cuts what is wider."""


@pytest.fixture(scope="module")
def house(new_database: Callable[[], Database]) -> House:
    return furnish(new_database())


@pytest.fixture(scope="module")
def client(house: House) -> Iterator[httpx.Client]:
    with running_service("backend-api", local_settings(house.database.url, **SECURED)) as service:
        yield service.client


def test_a_signed_address_opens_its_chart_without_a_login(client: httpx.Client) -> None:
    answer = client.get(signed(CHART, SERVICE_KEY))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    again = client.get(signed(CHART, SERVICE_KEY), headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert client.head(signed(CHART, SERVICE_KEY)).status_code == 200


def test_nothing_else_is_opened(client: httpx.Client) -> None:
    signature = signed(CHART, SERVICE_KEY).partition("?")[2]
    for path in (
        CHART,
        f"{CHART}?{signature[:-1]}",
        f"{chart_path('stress', 'bobs')}?{signature}",
        f"/portfolios/alices?{signature}",
        f"/api/v1/portfolios/alices?{signature}",
        f"/charts/../portfolios/alices?{signature}",
        signed(CHART, "another key"),
    ):
        assert client.get(path).status_code == 401, path
    assert client.post(signed(CHART, SERVICE_KEY)).status_code in (401, 405)


def test_a_login_opens_the_charts_of_ones_own(client: httpx.Client) -> None:
    alice, bob = (bearer(log_in(client, name)["access_token"]) for name in ("alice", "bob"))
    own = client.get(CHART, headers=alice)
    assert own.status_code == 200
    assert own.headers["cross-origin-resource-policy"] == "same-site"
    assert client.get(CHART, headers=bob).status_code == 404


def test_without_a_login_charts_are_small_kept_and_embeddable(explained_api: httpx.Client) -> None:
    for path in ("/charts/wealth/held.svg", "/charts/fan/held.svg?model=student_t", "/charts/factors/AAPL.svg"):
        answer = explained_api.get(path)
        assert answer.status_code == 200, answer.text
        size = ElementTree.fromstring(answer.text)
        assert 100 < int(size.get("width", "")) <= WIDEST
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "prefers-color-scheme: dark" in answer.text
        again = explained_api.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304


def test_the_fan_ends_in_the_stored_quantiles(explained_api: httpx.Client) -> None:
    for row in explained_api.get("/api/v1/portfolios/held/simulations").json()["data"][-2:]:
        fan = explained_api.get("/api/v1/portfolios/held/simulations/fan", params={"model": row["model"]}).json()
        assert fan["simulation"]["session"] == row["session"]
        assert fan["difference"] < 1e-9
        stored = [row[f"return_{level}"] for level in ("05", "25", "50", "75", "95")]
        assert np.array(fan["wealth"][-1]) - 1.0 == pytest.approx(stored, abs=1e-9)
        assert fan["steps"][-1] == row["horizon_sessions"]
        assert all(row == sorted(row) for row in fan["wealth"])


@pytest.mark.parametrize("query", ["model=none", "", "model=student_t&session=1999-01-04"])
def test_a_fan_of_nothing_is_refused(explained_api: httpx.Client, query: str) -> None:
    answer = explained_api.get(f"/api/v1/portfolios/held/simulations/fan?{query}")
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"
