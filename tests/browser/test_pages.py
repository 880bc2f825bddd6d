"""The analysts' pages as they are seen and used: wide and narrow, light and dark, by mouse and by keyboard."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from pipeline.store.engine import Database
from tests.integration.serving.page_results import add_page_results
from tests.integration.serving.running import local_settings, running_service
from tests.integration.serving.seeding import seed

PAGES: dict[str, tuple[str, int]] = {
    "/": ("Portfolios", 0),
    "/portfolios/held": ("Held", 7),
    "/portfolios/held/explain?measure=var_99_1d": ("var_99_1d of held", 1),
    "/instruments": ("Instruments", 0),
    "/instruments/AAPL": ("AAPL: Apple", 4),
    "/portfolios/held/tear-sheet": ("Held", 6),
    "/quality": ("Data quality", 0),
    "/tables/portfolio_tail?write=1": ("portfolio_tail", 0),
    "/instruments/AAPL/prices/explain": ("close_adjusted of AAPL", 0),
    "/portfolios/held/value/explain": ("value of held", 0),
    "/portfolios/held/history/explain?measure=drawdown&start=2022-01-03": ("drawdown of held", 1),
    "/writes/1": ("Write 1 of instruments", 0),
}
"""Path → its heading and its charts."""

NARROW = 390
CONTRAST = 4.5
"""WCAG 2.2, success criterion 1.4.3, for text of ordinary size."""

_TEXTS = "body, h1, a, caption, figcaption, th, td, .soft, .notice, .state, .chart text, footer p"
_COLOURS = """nodes => nodes.map(node => {
  const style = getComputedStyle(node);
  let back = node;
  while (back && getComputedStyle(back).backgroundColor === 'rgba(0, 0, 0, 0)') back = back.parentElement;
  const ink = node instanceof SVGElement ? style.fill : style.color;
  return [node.outerHTML.slice(0, 80), ink, back ? getComputedStyle(back).backgroundColor : 'rgb(255, 255, 255)'];
})"""


@pytest.fixture(scope="module")
def gateway(new_database: Callable[[], Database]) -> Iterator[str]:
    """Address of a gateway over a database with every kind of result."""
    seeded = seed(new_database())
    add_page_results(seeded)
    with running_service("backend-api", local_settings(seeded.database.url)) as service:
        yield f"http://127.0.0.1:{service.port}"


@pytest.fixture
def quiet(page: Page) -> Iterator[Page]:
    """A page that fails the test on a message in the console: broken policies, missing files, script errors."""
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    yield page
    assert messages == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_its_heading_notice_and_charts(quiet: Page, gateway: str, path: str) -> None:
    heading, charts = PAGES[path]
    quiet.goto(f"{gateway}{path}")
    expect(quiet.get_by_role("heading", level=1)).to_have_text(heading)
    expect(quiet.get_by_role("note")).to_contain_text("Demonstration data")
    drawn = quiet.get_by_role("img")
    expect(drawn).to_have_count(charts)
    for chart in drawn.all():
        box = chart.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) > 40
        assert chart.locator("path, rect").count() >= 2
    for table in quiet.get_by_role("table").all():
        expect(table.locator("caption")).not_to_be_empty()
        assert table.locator("th:not([scope])").count() == 0


@pytest.mark.parametrize("path", PAGES)
def test_a_narrow_page_does_not_scroll_sideways(quiet: Page, gateway: str, path: str) -> None:
    quiet.set_viewport_size({"width": NARROW, "height": 800})
    quiet.goto(f"{gateway}{path}")
    assert quiet.evaluate("document.documentElement.scrollWidth") <= NARROW
    assert quiet.evaluate("document.documentElement.scrollHeight") > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/portfolios/held",
        "/portfolios/held/tear-sheet",
        "/portfolios/held/value/explain",
        "/instruments/AAPL",
        "/quality",
    ],
)
def test_text_stands_out(quiet: Page, gateway: str, path: str, scheme: Literal["light", "dark"]) -> None:
    quiet.emulate_media(color_scheme=scheme)
    quiet.goto(f"{gateway}{path}")
    found = quiet.locator(_TEXTS).evaluate_all(_COLOURS)
    assert len(found) > 20
    weak = [(told, ink, paper) for told, ink, paper in found if contrast(ink, paper) < CONTRAST]
    assert weak == []


def test_dark_is_dark(quiet: Page, gateway: str) -> None:
    papers = {}
    for scheme in ("light", "dark"):
        quiet.emulate_media(color_scheme=scheme)
        quiet.goto(f"{gateway}/")
        papers[scheme] = luminance(quiet.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert papers["dark"] < 0.1
    assert papers["light"] > 0.8


def test_a_number_leads_to_its_explanation_and_that_to_its_data(quiet: Page, gateway: str) -> None:
    quiet.goto(f"{gateway}/")
    row = quiet.get_by_role("row", name=re.compile("^Held"))
    number = row.locator("a[href^='/portfolios/held/explain?measure=var_99_1d']")
    shown = number.inner_text()
    number.click()
    expect(quiet.locator(".headline")).to_have_text(shown)
    for told in ("Formula", "Source", "Function", "Stored", "Computed now from its inputs"):
        expect(quiet.locator("dt", has_text=told).first).to_be_visible()
    expect(quiet.get_by_role("row", name=re.compile("run-of-portfolios"))).to_be_visible()
    expect(quiet.get_by_text("2022-12", exact=True)).to_be_visible()
    quiet.get_by_role("link", name="Every close, return and scenario as JSON").click()
    assert '"recomputed"' in quiet.content()


def test_the_worth_leads_to_the_price_of_a_position_and_the_write_of_it(quiet: Page, gateway: str) -> None:
    quiet.goto(f"{gateway}/portfolios/held")
    worth = quiet.locator(".tiles li", has_text="Worth").get_by_role("link")
    shown = worth.inner_text()
    worth.click()
    expect(quiet.locator(".headline")).to_have_text(shown)
    position = quiet.get_by_role("row", name=re.compile("^AAPL"))
    position.get_by_role("link").first.click()
    expect(quiet.get_by_role("heading", level=1)).to_have_text("close_adjusted of AAPL")
    given = quiet.get_by_role("table", name="The bar as it was given")
    given.get_by_role("link").last.click()
    expect(quiet.locator("dd", has_text="prices").first).to_be_visible()
    expect(quiet.get_by_text("run-of-prices")).to_be_visible()


def test_a_value_of_a_chart_leads_to_its_explanation(quiet: Page, gateway: str) -> None:
    quiet.goto(f"{gateway}/portfolios/held")
    quiet.locator("summary", has_text="Values by month").first.click()
    number = quiet.get_by_role("table", name=re.compile("^Wealth of 1")).get_by_role("link").last
    shown = number.inner_text()
    number.click()
    expect(quiet.get_by_role("heading", level=1)).to_have_text("wealth of held")
    expect(quiet.locator(".headline")).to_have_text(shown)


def test_a_column_leads_to_its_meaning_and_write(quiet: Page, gateway: str) -> None:
    quiet.goto(f"{gateway}/portfolios/held")
    quiet.get_by_role("region", name="Backtests").get_by_role("link", name="Kupiec p").click()
    expect(quiet.get_by_role("row", name=re.compile("^kupiec_p_value"))).to_be_in_viewport()
    expect(quiet.locator("dd", has_text="pages").first).to_be_attached()


def test_the_keyboard_reaches_the_content_and_an_explanation(quiet: Page, gateway: str) -> None:
    quiet.goto(f"{gateway}/portfolios/held")
    quiet.keyboard.press("Tab")
    skip = quiet.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    quiet.keyboard.press("Enter")
    for _ in range(10):
        quiet.keyboard.press("Tab")
        if "explain?measure=volatility" in (quiet.evaluate("document.activeElement.href") or ""):
            break
    assert quiet.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    quiet.keyboard.press("Enter")
    expect(quiet.get_by_role("heading", level=1)).to_have_text("volatility of held")


_REACHED = """() => {
  const node = document.activeElement;
  return [node.tagName, (node.textContent || '').trim().slice(0, 40), getComputedStyle(node).outlineStyle];
}"""


@pytest.mark.parametrize("path", ["/portfolios/held", "/instruments/AAPL", "/quality"])
def test_every_control_is_reached_by_the_keyboard_and_seen(quiet: Page, gateway: str, path: str) -> None:
    quiet.goto(f"{gateway}{path}")
    controls = quiet.locator("a[href], button, input:not([type=hidden]), summary, [tabindex='0']").evaluate_all(
        "nodes => nodes.filter(node => node.checkVisibility()).length"
    )
    reached = []
    for _ in range(controls):
        quiet.keyboard.press("Tab")
        reached.append(quiet.evaluate(_REACHED))
    assert [told for told in reached if told[0] == "BODY"] == []  # the last Tab would leave the page
    assert [told for told in reached if told[2] == "none"] == []
    quiet.keyboard.press("Tab")
    assert quiet.evaluate("document.activeElement === document.body")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_its_landmarks_and_headings_in_order(quiet: Page, gateway: str, path: str) -> None:
    quiet.goto(f"{gateway}{path}")
    levels = quiet.locator("h1, h2, h3, h4").evaluate_all("nodes => nodes.map(node => +node.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    expect(quiet.locator("main")).to_have_count(1)
    expect(quiet.get_by_role("banner")).to_have_count(1)
    named = quiet.locator("[role=region]").evaluate_all("nodes => nodes.map(node => node.ariaLabel)")
    assert len(named) == len(set(named))
    ids = quiet.locator("[id]").evaluate_all("nodes => nodes.map(node => node.id)")
    assert len(ids) == len(set(ids))
    assert quiet.evaluate("document.documentElement.lang") == "en"


def test_the_values_of_a_chart_open_by_the_keyboard(quiet: Page, gateway: str) -> None:
    quiet.goto(f"{gateway}/portfolios/held")
    summary = quiet.locator("summary", has_text="deepest falls")
    summary.focus()
    table = quiet.get_by_role("table", name=re.compile("deepest falls"))
    expect(table).to_have_count(0)
    quiet.keyboard.press("Enter")
    expect(table).to_be_visible()
    expect(table.get_by_role("columnheader")).to_have_text(["Fall", "Depth", "Peak", "Trough", "Recovered", "Sessions"])


def test_a_chart_tells_its_values_to_the_pointer(quiet: Page, gateway: str) -> None:
    quiet.goto(f"{gateway}/portfolios/held")
    strips = quiet.locator("svg[aria-label^='Wealth'] .hit")
    box = strips.nth(30).bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    told = quiet.evaluate("([x, y]) => document.elementFromPoint(x, y - window.scrollY).textContent", [x, y])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d: wealth [\d.]+", told)


def test_the_tear_sheet_prints_in_few_pages_and_stays_light(quiet: Page, gateway: str) -> None:
    quiet.emulate_media(color_scheme="dark")
    quiet.goto(f"{gateway}/portfolios/held/tear-sheet")
    assert luminance(quiet.evaluate("getComputedStyle(document.body).backgroundColor")) > 0.9
    printed = quiet.pdf(prefer_css_page_size=True, print_background=True)
    assert 1 <= len(re.findall(rb"/Type */Page\b", printed)) <= 4


def test_the_pdf_opens(page: Page, gateway: str) -> None:
    answer = page.goto(f"{gateway}/portfolios/held/tear-sheet.pdf")
    assert answer is not None
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/pdf"


def test_a_page_of_another_port_shows_a_chart(page: Page, gateway: str) -> None:
    """As Dagster's asset page does: an ``img`` of this host, and another port."""
    with serving_page(f'<img alt="chart" src="{gateway}/charts/wealth/held.svg">') as elsewhere:
        page.goto(elsewhere)
        picture = page.get_by_role("img", name="chart")
        expect(picture).to_be_visible()
        page.wait_for_load_state("load")
        assert picture.evaluate("node => node.naturalWidth") == 560


def test_spans_and_methods_are_chosen_by_links(quiet: Page, gateway: str) -> None:
    quiet.goto(f"{gateway}/portfolios/held")
    quiet.get_by_role("link", name="one year").click()
    expect(quiet.locator("[aria-current]")).to_have_text(["one year", "Filtered historical"])
    quiet.get_by_role("link", name="Gaussian").click()
    expect(quiet.locator("[aria-current]")).to_have_text(["one year", "Gaussian"])


def test_what_is_not_there_is_told_in_words(page: Page, gateway: str) -> None:
    answer = page.goto(f"{gateway}/portfolios/none-such")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
    page.get_by_role("link", name="To the overview of portfolios").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Portfolios")


def test_a_chart_is_an_image_that_another_page_can_show(page: Page, gateway: str) -> None:
    page.goto(f"{gateway}/charts/wealth/held.svg")
    size = page.locator("svg").first.bounding_box()
    assert size is not None
    assert size["width"] > 100
    line = page.locator(".line").first.evaluate("node => getComputedStyle(node).stroke")
    assert line == "rgb(31, 95, 191)"  # its style sheet is its own


@contextmanager
def serving_page(body: str) -> Iterator[str]:
    """Address of a page on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(f"<!doctype html><title>x</title>{body}".encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def contrast(ink: str, paper: str) -> float:
    """Ratio of WCAG 2.2."""
    high, low = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2 of an ``rgb(…)``."""
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", colour)[:3])
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
