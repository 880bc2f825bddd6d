"""From each number of a page one click leads to the page that explains it, whoever answers behind the gateway."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import unescape

import httpx
import pytest

from pipeline.store.engine import Database
from tests.integration.serving.numbers_of_pages import Shown, numbers_of
from tests.integration.serving.page_results import add_page_results
from tests.integration.serving.running import local_settings, running_service
from tests.integration.serving.seeding import seed

pytestmark = pytest.mark.xdist_group("explained_figures")

LINK = re.compile(r'<a href="((?:/portfolios|/instruments)/[^"]*/explain\?[^"]*)">([^<]+)</a>')
OF_EACH = ("risk", "tail", "backtests", "contributions", "stress", "simulations", "simulations/fan", "history")
PORTFOLIO = (*OF_EACH, "forecasts/quantiles")
KINDS = {
    "/": ("risk", "value", "limits"),
    "/portfolios/held": (*PORTFOLIO, "limits", "value"),
    "/portfolios/mixed": PORTFOLIO,
    "/portfolios/held/tear-sheet": ("risk", "value", "history"),
    "/instruments/AAPL": ("risk", "forecasts/volatility", "forecasts/quantiles", "factors", "prices"),
}

_COUNTED = (
    r"\b[\d,]+(?: of [\d,]+)?(?: simulated| daily| deepest)? (?:portfolios?|instruments|weights|falls|exceptions|"
    r"sessions|paths|returns|rows|losses|loads?|months)\b"
)
NO_FIGURES: tuple[tuple[str, str], ...] = (
    (r"\d{4}-\d\d(?:-\d\d)?(?: \d\d:\d\d:\d\dZ)?", "a day, a month or a moment"),
    (r"\b\d+(?:\.\d)?(?: to \d+)? %(?= value at risk|, box|, mark|\.$| quantile)", "the level of a quantile"),
    (r"\bVaR \d+(?:\.\d)? %", "the name of a measure"),
    (r"\bmark 50\b", "the level of a quantile"),
    (_COUNTED, "a count of what is shown, or a window that each explanation names"),
    (r"\babout [\d.]+ are expected\b", "a hundredth of the count before it"),
    (r"\b(?:What|Wealth of) 1\b", "what is invested"),
)
"""Parts of a text that are no figure of a model or of the market, and why."""

PLACES: tuple[tuple[str, str, str, str], ...] = (
    ("td", "Measures of the", r".* \[.*\]", "the meaning of a measure, in words"),
    ("td", "Backtests of", r"(?:var|es)_\w+", "the name of a measure"),
    ("td", "deepest falls", r"\d+", "sessions between the days beside it"),
    ("td", "exceptions", r"[\d.]+ %", "the last column: the sum of the two numbers beside it"),
    ("td", "Holdings of", r"[A-Z].*\.", "the rule that a scenario's size is taken from"),
    ("td", "a rule refused", r".*", "the refused row, as it came"),
    ("td", "instruments,", r"S&P 500", "a name"),
    ("td", "Last write|What was told", r"code-\d|\d|var_99_1d|.*Z", "a version of code, or the name of a measure"),
    ("strong", "Data quality", r"0", "nothing of the kind: there is nowhere to lead"),
    ("td", "Volatility expected|Return of the session", r".*", "the sheet's own forecasts, which nothing stores"),
    ("td", "Writes of what is stored", r"code-\d|run.*|.*Z", "the write that is named"),
)
"""Element, caption or heading, text, and why it leads nowhere by itself."""

SHOWN_ON = (
    "/",
    "/portfolios/held",
    "/portfolios/quarterly",
    "/portfolios/young",
    "/portfolios/mixed",
    "/portfolios/held/tear-sheet",
    "/instruments",
    "/instruments/AAPL",
    "/instruments/SAP",
    "/quality",
)


def links(client: httpx.Client, page: str) -> list[tuple[str, str]]:
    answer = client.get(page)
    assert answer.status_code == 200, answer.text
    return [(unescape(address), unescape(text)) for address, text in LINK.findall(answer.text)]


def kind_of(address: str) -> str:
    path = address.partition("?")[0].removesuffix("/explain")
    return path.split("/", 3)[3] if path.count("/") > 2 else "risk"


@pytest.mark.parametrize("page", KINDS)
def test_every_kind_of_number_leads_to_its_explanation(explained_api: httpx.Client, page: str) -> None:
    found = links(explained_api, page)
    assert {kind_of(address) for address, _ in found} == set(KINDS[page])
    for kind in KINDS[page]:
        of_kind = [link for link in found if kind_of(link[0]) == kind]
        for address, shown in (of_kind[0], of_kind[-1]):
            answer = explained_api.get(address)
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            for told in ("Formula", "Source", "Computed now from its inputs", "Partitions"):
                assert told in answer.text
            for refused in ("<script", "style=", ">None<", ">nan<"):
                assert refused not in answer.text, (address, refused)
            if kind == "risk":
                assert f'<p class="headline">{shown}</p>' in answer.text
            data = unescape(re.search(r'<a href="([^"]+)">Every (?:close|input)', answer.text)[1])
            assert explained_api.get(data).json()["definition"]["formula"]


def test_the_fan_of_a_simulation_is_explained(explained_api: httpx.Client) -> None:
    rows = explained_api.get("/api/v1/portfolios/held/simulations").json()["data"]
    found = dict(links(explained_api, "/portfolios/held"))
    for percent in ("05", "25", "50", "75", "95"):
        query = httpx.QueryParams(model=rows[-1]["model"], session=rows[-1]["session"], measure=f"return_{percent}")
        page = explained_api.get(next(a for a in found if httpx.URL(a).params == query)).text
        assert f"<dd>{rows[-1][f'return_{percent}']!r}".replace("-", "−") in page


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/portfolios/held/tail/explain?method=guess&measure=var_99_1d", 404, "filtered_historical"),
        ("/portfolios/held/stress/explain?scenario=y2k", 404, "equity_down_20"),
        ("/portfolios/none-such/tail/explain?method=ewma&measure=var_99_1d", 404, "none-such"),
        ("/portfolios/held/nothing/explain", 404, "Nothing is explained at"),
        ("/portfolios/held/tail/explain", 422, "method"),
        ("/covariance/explain?symbol=AAPL&other=MSFT", 200, "AAPL, MSFT"),
        ("/portfolios/mixed/currency/explain?measure=fx", 200, "exchange rates of EUR"),
    ],
)
def test_what_the_application_says_is_told_as_a_page(
    explained_api: httpx.Client, path: str, status: int, told: str
) -> None:
    answer = explained_api.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert told in answer.text


@pytest.fixture(scope="module")
def pages(new_database: Callable[[], Database]) -> Iterator[httpx.Client]:
    """A gateway over a database with limit events, loads and refused rows besides."""
    seeded = seed(new_database())
    add_page_results(seeded)
    with running_service("backend-api", local_settings(seeded.database.url)) as service:
        yield service.client


def unexplained(client: httpx.Client, path: str) -> list[Shown]:
    """Numbers of a page that lead nowhere and are on no list."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text[:300]
    parts = anchored(answer.text)
    return [one for one in numbers_of(answer.text) if not (one.href or is_no_figure(one) or one.near in parts)]


def is_no_figure(one: Shown) -> bool:
    text = one.text
    for pattern, _ in NO_FIGURES:
        text = re.sub(pattern, "", text)
    if not re.search(r"\d", text):
        return True
    return any(
        one.holder == holder and re.search(near, one.near) and re.fullmatch(pattern, one.text)
        for holder, near, pattern, _ in PLACES
    )


def anchored(page: str) -> set[str]:
    """Captions of a tear sheet in parts whose heading leads to the section of the portfolio's page."""
    sections = re.findall(r'<h2 id="part-\d+"><a href="[^"]+#\w+">.*?</section>', page, re.DOTALL)
    return {unescape(caption) for section in sections for caption in re.findall("<caption>(.*?)</caption>", section)}


@pytest.mark.parametrize("path", SHOWN_ON)
def test_every_number_leads_to_its_explanation(explained_api: httpx.Client, path: str) -> None:
    assert unexplained(explained_api, path) == []


@pytest.mark.parametrize("path", ["/", "/portfolios/held", "/portfolios/quarterly", "/instruments/AAPL", "/quality"])
def test_every_number_of_limits_and_loads_leads_to_its_explanation(pages: httpx.Client, path: str) -> None:
    assert unexplained(pages, path) == []


def test_a_number_without_a_link_is_found() -> None:
    page = "<main><h2>Worth</h2><table><caption>R² 12.3 %</caption><tr><td>4.5</td><td>2022-12-28</td></tr></table>"
    assert [one.text for one in numbers_of(page) if not is_no_figure(one)] == ["R² 12.3 %", "4.5"]


@pytest.mark.parametrize("path", SHOWN_ON)
def test_a_link_leads_to_an_explanation_within_two_clicks(explained_api: httpx.Client, path: str) -> None:
    page = explained_api.get(path).text
    seen = {}
    for one in numbers_of(page):
        if one.href:
            seen[re.sub(r"\d+", "", one.href.partition("?")[0]), one.holder] = one.href
    for href in seen.values():
        require_explained(explained_api, path, page, href)


def require_explained(client: httpx.Client, path: str, page: str, href: str) -> None:
    """Whether an address is an explanation, a write, the meaning of a column, or a part of a page that links to one."""
    if href.startswith("#"):
        assert f'id="{href[1:]}"' in page
        return
    answer = client.get(unescape(href))
    assert answer.status_code == 200, (path, href, answer.text[:300])
    if "/explain?" in href:
        assert "Computed now from its inputs" in answer.text
    elif href.startswith("/writes/"):
        assert "<dt>Code version</dt>" in answer.text
    else:
        assert f'id="{href.rpartition("#")[2]}"' in answer.text


def test_the_sections_of_a_tear_sheet_are_those_of_the_page(explained_api: httpx.Client) -> None:
    sheet, page = (explained_api.get(f"/portfolios/held{end}").text for end in ("/tear-sheet", ""))
    anchors = re.findall(r'<h2 id="part-\d+"><a href="/portfolios/held#(\w+)">', sheet)
    assert {"tail", "stress", "contributions", "simulation", "limits"} == set(anchors)
    for anchor in anchors:
        _, _, rest = page.partition(f'<h2 id="{anchor}">')
        assert "/explain?" in rest.partition("<h2")[0], anchor


def test_what_a_limit_event_told_is_the_measure_of_its_session(pages: httpx.Client) -> None:
    told = pages.get("/portfolios/held").text.partition("What was told")[2]
    address = unescape(re.search(r'href="([^"]*largest_weight[^"]*session[^"]*)"', told)[1])
    found = pages.get(f"/api/v1{address}").json()
    assert found["session"] == httpx.URL(address).params["session"]
    assert found["value"] == pytest.approx(found["recomputed"])
