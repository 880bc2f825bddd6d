"""From each number of a page one click leads to the page that explains it, whoever answers behind the gateway."""

from __future__ import annotations

import re
from html import unescape

import httpx
import pytest

pytestmark = pytest.mark.xdist_group("explained_figures")

LINK = re.compile(r'<a href="((?:/portfolios|/instruments)/[^"]*/explain\?[^"]*)">([^<]+)</a>')
PORTFOLIO = ("risk", "tail", "backtests", "contributions", "stress", "simulations", "forecasts/quantiles")
KINDS = {
    "/portfolios/held": (*PORTFOLIO, "limits"),
    "/portfolios/mixed": PORTFOLIO,
    "/instruments/AAPL": ("risk", "forecasts/volatility", "forecasts/quantiles", "factors"),
}


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
            data = unescape(re.search(r'<a href="([^"]+)">Every close', answer.text)[1])
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
