"""The analysts' pages over HTTP: what they show, what they refuse, and how they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from xml.etree import ElementTree

import httpx
import pytest
from pydantic import SecretStr

from pipeline.store.engine import Database
from tests.integration.serving.page_results import JUDGED, add_page_results
from tests.integration.serving.running import Serve, local_settings, running_service
from tests.integration.serving.seeding import NOTICE, seed
from tests.integration.serving.test_service import NOBODY

PAGES = (
    "/",
    "/portfolios/held",
    "/portfolios/held?model=student_t",
    "/portfolios/held/explain?measure=var_99_1d",
    "/portfolios/quarterly",
    "/portfolios/young",
    "/portfolios/evil",
    "/instruments",
    "/instruments/AAPL",
    "/instruments/NEW",
    "/instruments/AAPL/explain?measure=volatility",
    "/quality",
    "/tables/portfolio_tail?write=1",
)
CHARTS = (
    *(f"/charts/{kind}/held.svg" for kind in ("wealth", "drawdown", "exceptions", "contributions", "stress")),
    *(f"/charts/{kind}/held.svg" for kind in ("simulation", "forecasts")),
    *(f"/charts/{kind}/AAPL.svg" for kind in ("price", "volatility", "quantiles", "factors")),
    "/charts/trend/portfolio_tail.var_99_1d.svg?method=filtered_historical",
)
MOST_BYTES = 200 * 1024


@pytest.fixture(scope="module")
def pages(new_database: Callable[[], Database]) -> Iterator[httpx.Client]:
    """A gateway over a database with every kind of result."""
    seeded = seed(new_database())
    add_page_results(seeded)
    with running_service("backend-api", local_settings(seeded.database.url)) as service:
        yield service.client


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_whole(pages: httpx.Client, path: str) -> None:
    answer = pages.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert len(answer.content) < MOST_BYTES
    assert NOTICE in answer.text
    assert answer.text.count("<h1>") == 1
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    for refused in ("<script", "style=", "onclick", "None", "nan", "javascript:"):
        assert refused not in answer.text, refused


@pytest.mark.parametrize("path", CHARTS)
def test_a_chart_is_an_image_of_its_own(pages: httpx.Client, path: str) -> None:
    answer = pages.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    assert ElementTree.fromstring(answer.text).tag.endswith("svg")
    assert "No data yet" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_page_shows_the_numbers_of_the_api(pages: httpx.Client) -> None:
    row = pages.get("/api/v1/portfolios/held/risk").json()["data"][-1]
    link = f'<a href="/portfolios/held/explain?measure=volatility&amp;session={row["session"]}">'
    assert f"{link}{100 * row['volatility']:.1f}\u202f%</a>" in pages.get("/").text
    stress = pages.get("/api/v1/portfolios/held/stress").json()["data"][0]
    page = pages.get("/portfolios/held").text
    assert f">−{-100 * stress['total']:.1f}\u202f%</a></td>" in page
    (shock,) = pages.get("/api/v1/portfolios/held/stress", params={"kind": "hypothetical"}).json()["data"]
    assert "Volatility doubled" in page[page.index('id="shocks"') :]
    assert f">{100 * shock['var_99_1d_after']:.1f}\u202f%</a></td>" in page


def test_exceptions_are_the_losses_above_the_value_at_risk_before_them(pages: httpx.Client) -> None:
    request = {"method": "historical", "confidence": 0.99, "observations": 2, "window_sessions": 500}
    assert pages.post("/api/v1/portfolios/held/backtests", json=request).status_code == 200
    page = pages.get("/portfolios/held").text
    told = f" of {JUDGED - 1} daily losses were larger"
    assert told in page
    count = int(page[: page.index(told)].rsplit(">", 1)[1])
    marks = pages.get("/charts/exceptions/held.svg").text.count('class="mark"')
    assert marks - 1 == count > 0  # one is the legend's


def test_limits_show_the_worst_state(pages: httpx.Client) -> None:
    link = '<a href="/portfolios/held/limits/explain?measure=var_99_1d&amp;direction=above">breached</a>'
    for path in ("/", "/portfolios/held"):
        assert f'<span class="state bad">{link}</span>' in pages.get(path).text


def test_what_others_wrote_is_escaped(pages: httpx.Client) -> None:
    for path in ("/", "/portfolios/evil"):
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;Co&#34;" in pages.get(path).text
    assert "&lt;b&gt;1e9&lt;/b&gt;" in pages.get("/quality").text


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/portfolios/none-such", 404, "none-such"),
        ("/portfolios/NO%20SLUG", 404, "reference"),
        ("/portfolios/held?method=guess", 404, "method"),
        ("/portfolios/held?years=7", 404, "years"),
        ("/charts/none/held.svg", 404, "Choose one of contributions"),
        ("/charts/fan/held.svg", 404, "There is no fan"),
        ("/charts/trend/users.id.svg", 404, "no column"),
        ("/charts/trend/price.session.svg", 404, "no column"),
        ("/portfolios/held/explain?measure=none", 404, "Choose one of"),
        ("/instruments/NONE", 404, "NONE"),
        ("/tables/none", 404, "none"),
        ("/tables/price?write=999999", 404, "999999"),
    ],
)
def test_what_is_not_there_is_told_as_a_page(pages: httpx.Client, path: str, status: int, told: str) -> None:
    answer = pages.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert told in answer.text
    assert 'href="/"' in answer.text


def test_without_a_database_the_page_says_so(serve: Serve) -> None:
    answer = serve(NOBODY).client.get("/portfolios/held")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.headers["content-type"].startswith("text/html")
    assert "The database cannot be reached" in answer.text


def test_strangers_see_no_page_without_the_key(serve: Serve) -> None:
    secrets = {"jwt_secret": SecretStr("j" * 40), "service_api_key": SecretStr("k" * 40)}
    client = serve(NOBODY, environment="staging", **secrets).client
    for path in ("/", "/portfolios/held", "/instruments", "/quality", "/tables/price"):
        assert client.get(path).status_code == 401
    told = client.get("/quality", headers={"X-Service-Token": "k" * 40})
    assert told.status_code == 503
    assert "127.0.0.1" not in told.text


def test_only_the_gateway_has_pages(serve: Serve) -> None:
    assert serve(NOBODY, service="python-risk-engine").client.get("/").status_code == 404


def test_an_empty_database_has_readable_pages(new_database: Callable[[], Database]) -> None:
    with running_service("backend-api", local_settings(new_database().url)) as service:
        for path in ("/", "/instruments", "/quality"):
            assert service.client.get(path).status_code == 200
        assert "no portfolios yet" in service.client.get("/").text


def test_files_are_served_and_no_others(pages: httpx.Client) -> None:
    for name in ("pages.css", "charts.css", "icon.svg"):
        assert pages.get(f"/static/{name}").status_code == 200
    assert pages.get("/favicon.ico").headers["content-type"] == "image/svg+xml"
    assert pages.get("/static/..%2frendering.py").status_code == 404
