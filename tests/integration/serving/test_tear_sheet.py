"""The tear sheet: the API's numbers, whole by itself, and the same bytes for the same data."""

from __future__ import annotations

import re
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import httpx
import pytest

from serving.pages.formats import percent, ratio
from tests.integration.serving.pdf_text import text_of
from tests.integration.serving.running import Serve
from tests.integration.serving.test_service import NOBODY

SHEET = "/portfolios/held/tear-sheet"


@pytest.fixture(scope="module")
def report(explained_api: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = explained_api.get("/api/v1/portfolios/held/report").json()
    return found


def expected_of(report: dict[str, Any]) -> list[str]:
    """Texts of figures of every kind."""
    measures = {row["name"]: row["value"] for row in report["measures"]["measures"]}
    test = next(row for row in report["backtests"]["backtests"] if row["measure"] == "var_99_1d")
    crisis = next((row for row in report["stress"]["scenarios"] if row["kind"] == "historical"), None)
    simulated = report["simulations"]["simulations"][0]
    part = max(report["contributions"]["positions"], key=lambda row: row["volatility_component"])
    tail = {row["confidence"]: row for row in report["tails"]["tails"] if row["method"] == "historical"}
    forecast = report["forecasts"]["forecasts"]["quantiles"][0]["quantiles"][0]
    return [
        report["notice"],
        report["as_of"],
        percent(measures["volatility"]),
        ratio(measures["sharpe_ratio"]),
        percent(report["performance"]["trailing"][-1]["total_return"]),
        percent(report["performance"]["months"][-1]["total_return"]),
        percent(tail[0.99]["var"], 2),
        percent(tail[0.975]["es"], 2),
        f"{test['exceptions']} of {test['observations']}",
        *([percent(crisis["total"])] if crisis else []),
        percent(part["var_99_1d_component"], 2),
        percent(simulated["return_05"]),
        percent(simulated["es_975"]),
        percent(forecast["value"], 2),
    ]


def test_the_page_has_the_numbers_of_the_report(explained_api: httpx.Client, report: dict[str, Any]) -> None:
    answer = explained_api.get(SHEET)
    assert answer.status_code == 200
    shown = re.sub(r"<svg.*?</svg>", "", answer.text, flags=re.DOTALL)
    missing = [text for text in expected_of(report) if text not in shown]
    assert missing == []
    assert "code-3" in answer.text
    assert "run-of-" in answer.text


def test_the_page_needs_no_other_file(explained_api: httpx.Client) -> None:
    answer = explained_api.get(SHEET)
    assert not re.search(r"<link|<script|<img|url\(|@import|style=", answer.text)
    style = answer.text.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_the_pdf_has_the_numbers_of_the_report(explained_api: httpx.Client, report: dict[str, Any]) -> None:
    answer = explained_api.get(f"{SHEET}.pdf")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/pdf"
    text = text_of(answer.content)
    lines = text.splitlines()
    missing = [one for one in expected_of(report) if one not in text]
    assert missing == []
    assert "Held" in lines
    assert answer.content.count(b"/Type/Page/") == 2


def test_the_pdf_carries_its_fonts_and_is_always_the_same(explained_api: httpx.Client) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: explained_api.get(f"{SHEET}.pdf").content, range(4)))
    assert len(found) == 1
    pdf = found.pop()
    assert pdf.count(b"/FontDescriptor ") == len(re.findall(rb"/FontFile[23]? ", pdf)) > 0
    assert b"/Encrypt" not in pdf


@pytest.mark.parametrize("name", ["tear-sheet", "tear-sheet.pdf"])
def test_what_has_no_sheet_is_told_as_a_page(explained_api: httpx.Client, name: str) -> None:
    answer = explained_api.get(f"/portfolios/none-such/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("name", ["tear-sheet", "tear-sheet.pdf"])
def test_without_a_database_there_is_none(serve: Serve, name: str) -> None:
    answer = serve(NOBODY).client.get(f"/portfolios/held/{name}")
    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("text/html")
